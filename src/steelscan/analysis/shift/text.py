"""Write the result of `find_shift`: text, JSON, a ranking of training strips, folds and a page."""

from pathlib import Path

import numpy as np

from steelscan.analysis.shift.page import write_page
from steelscan.analysis.shift.shift import Shift
from steelscan.data import check_apart
from steelscan.data.folds import FOLDS_KIND, write_folds
from steelscan.evaluation.adversarial import like_test_folds
from steelscan.strip.files import check_output, output_folder, write_text
from steelscan.strip.tables import write_rows


def check_outputs(
    data: Path, out: Path, test: Path | str | None = None, folds: Path | None = None
) -> None:
    """Create the output folder, before any strip is read.

    Raises InputError if it is the data set or in a folder of pictures, OutputError if it cannot be
    written or ``folds`` would replace a file of another kind.
    """
    if folds is not None:
        check_output(folds, FOLDS_KIND)
    check_apart(out, data, test)
    output_folder(out)


def shift_text(shift: Shift) -> str:
    """Return the result in a few lines."""
    lines = (
        f"Training strips: {shift.train}, test strips: {shift.test}",
        f"AUC: {shift.auc.text()}",
        shift.sentence,
        *(f"Note: {note}" for note in shift.notes),
    )
    return "\n".join(lines)


def write_shift(shift: Shift, out: Path, folds: Path | None = None, share: float = 0.2) -> str:
    """Write the result into a folder and return it as text. Raises OutputError, PictureError.

    Writes ``shift.json`` and ``shift.html``. If the strips can be distinguished, also
    ``likeness.csv``, the training strips that are most like the test strips first, and to
    ``folds`` two folds, of which fold 0, a ``share`` of the strips that is most like the test
    strips, is for validation. Otherwise neither is written, and an older ``likeness.csv`` is
    deleted, because a ranking would be luck.
    """
    ranking = out / "likeness.csv"
    if not shift.differ:
        ranking.unlink(missing_ok=True)
    else:
        columns = ("rank", "image", "group", "likeness", "group_likeness")
        rows = (
            (rank, name, group, f"{likeness:.4f}", f"{mean:.4f}")
            for rank, (name, group, likeness, mean) in enumerate(shift.likeness_rows(), start=1)
        )
        write_rows(ranking, columns, rows)
        if folds is not None:
            trains = np.flatnonzero(~shift.strips.is_test)
            images = [shift.strips.names[row] for row in trains.tolist()]
            groups = shift.strips.groups[trains]
            fold_of = like_test_folds(shift.scores.likeness, groups, share)
            write_folds(folds, images, groups, fold_of)
    write_text(out / "shift.json", shift.model_dump_json(indent=2) + "\n")
    write_page(out / "shift.html", shift)
    return shift_text(shift)
