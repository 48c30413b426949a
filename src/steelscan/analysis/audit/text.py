"""An audit as plain text."""

from steelscan.analysis.audit.audit import Audit


def audit_text(audit: Audit) -> str:
    """Return the result in a few lines."""
    kinds = ", ".join(f"{kind} {count}" for kind, count in audit.counts.items())
    first = f"Strips worth a second look: {audit.suspected} of {audit.strips}"
    return "\n".join(
        [f"{first} ({kinds})" if kinds else first, *(f"Note: {note}" for note in audit.notes)]
    )
