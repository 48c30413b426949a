"""``predicted.csv`` of a run: the strips of its submission, and their sizes. No torch."""

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

from steelscan.pipeline.run_folder import RunFolder
from steelscan.strip import Frame
from steelscan.strip.errors import RunError
from steelscan.strip.tables import write_rows

if TYPE_CHECKING:
    from steelscan.data import Dataset

_COLUMNS = ("image", "height", "width")


def write_predicted_strips(
    run: RunFolder, dataset: "Dataset", rows: Mapping[str, int], left_out: Container[str]
) -> None:
    """List the strips of a submission in its order; one that was left out has no size.

    ``rows`` are indices of test strips, or of strips with masks if there are no test strips.
    Raises OutputError.
    """
    frame_of = dataset.test_frame if dataset.test_names else dataset.frames.__getitem__
    strips = (
        (image, "", "") if image in left_out else (image, *frame_of(row))
        for image, row in rows.items()
    )
    write_rows(run.predicted, _COLUMNS, strips)
    run.seal(run.predicted)


def read_predicted_strips(run: RunFolder) -> dict[str, Frame | None]:
    """Return the strips of a run's submission with their sizes; None for one that was left out.

    Raises RunError if training has not written the file yet, or if it is damaged.
    """
    with run.reading_table(run.predicted) as table:
        return {
            image: Frame(int(height), int(width)).checked(run.predicted)
            if height or width
            else None
            for image, height, width in table.select(_COLUMNS)
        }


def predicted_frames(run: RunFolder) -> set[Frame]:
    """Return the sizes of the strips of a run's submission; none if they are not known."""
    try:
        return {frame for frame in read_predicted_strips(run).values() if frame is not None}
    except RunError:
        return set()
