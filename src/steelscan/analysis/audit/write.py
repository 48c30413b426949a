"""Audit a data set; write the results into a folder, and as text."""

from collections.abc import Iterator
from pathlib import Path

from steelscan.analysis.audit.audit import Audit, audit_labels
from steelscan.analysis.audit.page import page_text
from steelscan.data import check_apart, open_dataset
from steelscan.formats import convert, format_named
from steelscan.pipeline import RunFolder
from steelscan.strip.errors import OnError, OutputError
from steelscan.strip.files import output_folder, write_text
from steelscan.strip.tables import write_rows

_COLUMNS = ("rank", "image", "class", "kind", "score", "reason")


def write_audit(
    data: Path,
    out: Path,
    *,
    run: Path | None = None,
    most: int = 100,
    to: str | None = None,
    on_error: OnError = "stop",
) -> Audit:
    """Search a data set for wrong labels; write ``audit.html``, ``suspects.csv``, ``audit.json``.

    With a finished ``run`` of this data set, labels are also compared with its out-of-fold
    predictions; see `audit_labels`. The page shows the first ``most`` strips. With ``to`` these
    strips are also written as a data set in that annotation format, into ``relabel_FORMAT`` in the
    folder, to be corrected in its program.

    Raises what `open_dataset`, `StoredOutputs` and `convert` raise.
    """
    if to is not None:
        format_named("--to", to)
    check_apart(out, data)
    dataset = open_dataset(data, on_error)
    relabel = output_folder(out) / f"relabel_{to}"
    if to is not None and relabel.exists():
        raise OutputError(relabel, "exists already", "Remove it, or choose another --out")
    outputs = None
    if run is not None:
        from steelscan.pipeline import StoredOutputs

        outputs = StoredOutputs(RunFolder(run), dataset)
    audit = audit_labels(dataset, outputs)
    write_rows(out / "suspects.csv", _COLUMNS, _rows(audit))
    write_text(out / "audit.json", audit.model_dump_json(indent=2) + "\n")
    write_text(out / "audit.html", page_text(audit, outputs, most))
    if to is not None and audit.suspects:
        names = {strip.name for strip in audit.suspects[:most]}
        convert(data, relabel, to, on_error=on_error, only=names)
    return audit


def audit_text(audit: Audit) -> str:
    """Return the result in a few lines."""
    kinds = ", ".join(f"{kind} {count}" for kind, count in audit.counts.items())
    first = f"Strips worth a second look: {audit.suspected} of {audit.strips}"
    return "\n".join(
        [f"{first} ({kinds})" if kinds else first, *(f"Note: {note}" for note in audit.notes)]
    )


def _rows(audit: Audit) -> Iterator[tuple[object, ...]]:
    for rank, strip in enumerate(audit.suspects, start=1):
        for each in strip.reasons:
            score = f"{each.score:.4f}"
            yield rank, strip.name, each.class_name or "", each.kind, score, each.reason
