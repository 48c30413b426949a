"""An audit as plain text."""

from steelscan.analysis.audit.audit import Audit


def audit_text(found: Audit) -> str:
    """Return the result in a few lines."""
    kinds = ", ".join(f"{kind} {count}" for kind, count in found.counts.items())
    verb = "is" if found.suspected == 1 else "are"
    first = f"{found.suspected} of {found.strips} strips {verb} worth a second look"
    return "\n".join(
        [f"{first}: {kinds}" if kinds else first, *(f"Note: {note}" for note in found.notes)]
    )
