"""``answered.csv`` of a run: which strips its submission answers, and their sizes. No torch."""

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

from steelscan.pipeline.run_folder import RunFolder
from steelscan.strip import (
    Frame,
    RunError,
    SteelscanError,
    check_frame,
    read_rows,
    write_rows,
)

if TYPE_CHECKING:
    from steelscan.data import Dataset

_COLUMNS = ("image", "height", "width")
_REMEDY = "Give the same train command again: it fits no network twice"


def write_answered(
    run: RunFolder, dataset: "Dataset", rows: Mapping[str, int], left_out: Container[str]
) -> None:
    """List the strips of a submission in its order; one that was left out has no size.

    ``rows`` are places among the test strips, or among the strips with masks where there are no
    test strips. Raises OutputError.
    """
    frame_of = dataset.test_frame if dataset.test_names else dataset.frames.__getitem__
    strips = (
        (image, "", "") if image in left_out else (image, *frame_of(row))
        for image, row in rows.items()
    )
    write_rows(run.answered, _COLUMNS, strips)
    run.seal(run.answered)


def read_answered(run: RunFolder) -> dict[str, Frame | None]:
    """The strips of a run's submission with their sizes; None where one was left out.

    Raises RunError when the training has not come so far, or when the file is broken.
    """
    path = run.answered
    content = run.read(path)
    try:
        table = read_rows(content, path, _REMEDY)
        if not table.whole:
            raise ValueError("its last line is cut off")
        return {
            image: check_frame(Frame(int(height), int(width)), path) if height or width else None
            for image, height, width in table.select(_COLUMNS)
        }
    except (SteelscanError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(path, f"is broken ({reason})", "Remove it and train again") from None


def frames_of(run: RunFolder) -> set[Frame]:
    """The sizes of the strips that a run's submission answers; none where that is not known."""
    try:
        return {frame for frame in read_answered(run).values() if frame is not None}
    except RunError:
        return set()
