"""``pairs.csv`` of a run: pixel counts of each class and evaluated strip. No torch here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics import Pairs
from steelscan.pipeline.run_folder import RunFolder
from steelscan.strip.tables import write_rows

if TYPE_CHECKING:
    from steelscan.pipeline.context import RunContext

EVALUATED_PARTS = ("held out", "out of fold")
"""The parts of a run's evaluated strips, the more trustworthy one first."""

_NAMES = ("part", "image")
_NUMBERS = ("group", "fold", "class", "predicted", "truth", "shared")


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Evaluated strips of one part of a run: ``groups`` and ``folds`` are int64 ``(strips,)``."""

    images: tuple[str, ...]
    groups: NDArray[np.int64]
    folds: NDArray[np.int64]
    pairs: Pairs


def evaluated_parts(context: "RunContext", pairs: Mapping[str, Pairs]) -> dict[str, Evaluated]:
    """Return the pairs of each part of a run, with their strips."""
    return {
        part: Evaluated(
            tuple(context.dataset.names[row] for row in rows.tolist()),
            context.groups[rows],
            context.folds[rows],
            pairs[part],
        )
        for part, rows in context.parts.items()
    }


def write_evaluated(run: RunFolder, parts: Mapping[str, Evaluated]) -> None:
    """Write one row per strip and class of all parts. Raises OutputError."""
    rows = (row for part, each in parts.items() for row in _rows(part, each))
    write_rows(run.pairs, (*_NAMES, *_NUMBERS), rows)
    run.seal(run.pairs)


def read_evaluated(run: RunFolder, classes: int) -> dict[str, Evaluated]:
    """Read the parts of a run, with so many classes, as `write_evaluated` wrote them.

    Raises RunError if the folder is no run, if the run has not written the file yet, or if it is
    broken.
    """
    run.load_record()
    with run.reading_table(run.pairs) as table:
        cells = [list(map(int, row)) for row in table.select(_NUMBERS)]
        numbers = np.array(cells, np.int64).reshape(-1, len(_NUMBERS))
        names = [(part, image) for part, image in table.select(_NAMES)]
        return {
            part: _part(part, names, numbers, classes)
            for part in dict.fromkeys(part for part, _ in names)
        }


def _rows(part: str, evaluated: Evaluated) -> Iterator[tuple[object, ...]]:
    pairs = evaluated.pairs
    counts = np.stack([pairs.predicted, pairs.truth, pairs.shared], axis=2).tolist()
    groups, folds = evaluated.groups.tolist(), evaluated.folds.tolist()
    strips = zip(evaluated.images, groups, folds, counts, strict=True)
    for image, group, fold, of_classes in strips:
        for class_id, of_class in enumerate(of_classes, start=1):
            yield part, image, group, fold, class_id, *of_class


def _part(
    part: str, names: Sequence[tuple[str, str]], numbers: NDArray[np.int64], classes: int
) -> Evaluated:
    """Return the strips of a part. Raises ValueError unless each has its classes in order."""
    rows = [row for row, (of_part, _) in enumerate(names) if of_part == part]
    images = [names[row][1] for row in rows]
    strips = numbers[rows].reshape(-1, classes, len(_NUMBERS))
    repeated = images != [image for image in images[::classes] for _ in range(classes)]
    if repeated or len(set(images)) != len(strips):
        raise ValueError(f"the strips {part} are not each listed once with all classes")
    if (strips[:, :, 2] != np.arange(1, classes + 1)).any():
        raise ValueError(f"the classes of some strip {part} are not 1 to {classes}")
    predicted, truth, shared = np.moveaxis(strips[:, :, 3:], 2, 0)
    groups, folds = strips[:, 0, 0], strips[:, 0, 1]
    return Evaluated(tuple(images[::classes]), groups, folds, Pairs(predicted, truth, shared))
