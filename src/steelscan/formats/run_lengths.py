"""The competition's folder: ``train_images/``, ``train.csv`` of run lengths, ``classes.csv``.

A submission is the same table: to read it, rename it to ``train.csv`` and put it next to the folder
of its pictures.
"""

from pathlib import Path

from steelscan.data.annotations import write_classes
from steelscan.formats.annotated_picture import Loss, Pictures
from steelscan.formats.index_pngs import read
from steelscan.strip import Classes, encode
from steelscan.strip.tables import write_mask_table

__all__ = ["read", "write"]  # `index_pngs.read` detects which of the two layouts it reads


def write(path: Path, classes: Classes, pictures: Pictures) -> tuple[Loss, ...]:
    """Write ``train.csv`` and ``classes.csv``; the caller writes ``train_images/``.

    Nothing is lost. Raises DatasetError, MaskError and OutputError.
    """
    rows = ((each.image, [encode(mask) for mask in each.masks]) for each in pictures)
    write_mask_table(path / "train.csv", rows, "joined")
    write_classes(path, classes)
    return ()
