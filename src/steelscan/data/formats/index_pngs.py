"""Index pictures: ``images/``, ``masks/*.png`` whose values are the classes, ``classes.csv``.

The value 255 has no meaning of its own here: on reading it is refused like every value that
``classes.csv`` does not name, and is a class where that names it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from PIL import Image

from steelscan.data.dataset import open_dataset
from steelscan.data.formats.class_pngs import png_of
from steelscan.data.formats.labelled import Labelled, Loss, check_all, flatten
from steelscan.strip import Classes, write_bytes, write_rows


def read(path: Path) -> Iterator[Labelled]:
    """Read a folder or zip, as `open_dataset` does, with all its errors."""
    dataset = open_dataset(path)
    for at, (name, frame) in enumerate(zip(dataset.names, dataset.frames, strict=True)):
        yield Labelled(name, frame, dataset.masks(at), dataset.classes)


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write ``masks/`` and ``classes.csv``; ``images/`` is the caller's.

    Returns what lay under later classes. Raises DatasetError, MaskError and OutputError.
    """
    losses: list[Loss] = []
    classes: Classes | None = None
    for each in check_all(labelled, path, by_stem=True, flat=True):
        classes = each.classes
        index, lost = flatten(each)
        losses += lost
        name = PurePosixPath(each.image).with_suffix(".png")
        write_bytes(path / "masks" / name, png_of(Image.fromarray(index)))
    if classes is not None:
        rows = zip(classes.ids, classes.names, strict=True)
        write_rows(path / "classes.csv", ("value", "name"), rows)
    return tuple(losses)
