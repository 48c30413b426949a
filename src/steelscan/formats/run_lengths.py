"""The competition's folder: ``train_images/``, ``train.csv`` of run lengths, ``classes.csv``.

A submission is the same table: renamed to ``train.csv`` and laid beside its pictures, it is read.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from steelscan.data.annotations import write_classes
from steelscan.formats.index_pngs import read as _read
from steelscan.formats.labelled import Labelled, Loss, check_all
from steelscan.formats.shelf import Shelf
from steelscan.strip import STRICT, Classes, Watch, encode, write_mask_table


def read(path: Path, watch: Watch = STRICT, shelf: Shelf | None = None) -> Iterator[Labelled]:
    """Read a folder or zip in either layout; see `index_pngs.read`, which tells the two apart."""
    return _read(path, watch, shelf)


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write ``train.csv`` and ``classes.csv``; ``train_images/`` is the caller's. Nothing is lost.

    Raises DatasetError, MaskError and OutputError.
    """
    classes: list[Classes] = []

    def rows() -> Iterator[tuple[str, list[str]]]:
        for each in check_all(labelled, path, by_stem=True, flat=True):
            classes[:] = [each.classes]
            yield each.image, [encode(mask) for mask in each.masks]

    write_mask_table(path / "train.csv", rows(), "joined")
    write_classes(path, classes[0])
    return ()
