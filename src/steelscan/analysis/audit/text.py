"""An audit as plain text."""

from steelscan.analysis.audit.audit import Audit


def audit_text(audit: Audit) -> str:
    """Return the result in a few lines."""
    kinds = ", ".join(f"{kind} {count}" for kind, count in audit.counts.items())
    verb = "is" if audit.suspected == 1 else "are"
    first = f"{audit.suspected} of {audit.strips} strips {verb} worth a second look"
    return "\n".join(
        [f"{first}: {kinds}" if kinds else first, *(f"Note: {note}" for note in audit.notes)]
    )
