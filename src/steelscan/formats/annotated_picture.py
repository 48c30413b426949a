"""The masks of one picture, independent of any annotation format."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.data.files import key, plain
from steelscan.formats.picture_names import check_name
from steelscan.strip import Classes, Frame, Mask, Masks, check_masks
from steelscan.strip.errors import DatasetError


@dataclass(frozen=True, eq=False)
class AnnotatedPicture:
    """What every reader yields and every writer takes: one picture and its masks."""

    image: str
    """File name of the picture, with ``/`` between folders."""

    frame: Frame

    masks: Masks
    """bool ``(classes, height, width)``; masks may overlap and have holes."""

    classes: Classes

    clipped: int = 0
    """Number of polygons that were cut at the border of the picture."""

    dropped: int = 0
    """Number of polygons that were too small to cover the centre of a pixel."""

    boxes: int = 0
    """Number of boxes and ellipses; their whole area was filled."""

    incomplete: bool = False
    """Whether annotations were left out, so that the picture must not count as clean."""

    ignored: int = 0
    """Number of pixels marked as neither defect-free nor defective; read as defect-free."""

    def by_class(self) -> dict[str, Mask]:
        """Return the mask of each class, bool ``(height, width)``, by the name of the class."""
        return dict(zip(self.classes.names, self.masks, strict=True))


Pictures: TypeAlias = Iterator[AnnotatedPicture]


class Loss(NamedTuple):
    """What a format could not store of one mask."""

    image: str
    class_name: str
    pixels: int
    """Number of pixels that will differ when the file is read again."""

    why: str


def checked(
    pictures: Iterable[AnnotatedPicture], path: Path, by_stem: bool = False, flat: bool = False
) -> tuple[Classes, Pictures]:
    """Return the classes of pictures that are to be written, and the pictures, checked one by one.

    Raises DatasetError if there is no picture, if a picture has other classes than the first one,
    if a name is unsafe, and if two names are equal for the format: equal names, with
    ``by_stem`` equal names without their endings, with ``flat`` names with folders. Raises
    MaskError for masks that are not bool or not of their frame.
    """
    rest = iter(pictures)
    first = next(rest, None)
    if first is None:
        raise DatasetError(path, "is given no picture", "Convert a data set that has pictures")
    return first.classes, _checked(chain([first], rest), first.classes, path, by_stem, flat)


def _checked(
    pictures: Iterable[AnnotatedPicture], classes: Classes, path: Path, by_stem: bool, flat: bool
) -> Pictures:
    used: set[str] = set()
    for picture in pictures:
        image = check_name(picture.image, path)
        if picture.classes != classes:
            remedy = "Give every picture the same classes, in the same order"
            raise DatasetError(path, f"is given other classes with {image}", remedy)
        check_masks(picture.masks, len(classes), picture.frame, image)
        if flat and "/" in image:
            problem = f"is given {image}, but this format has no folders"
            raise DatasetError(path, problem, "Put all pictures into one folder")
        name = plain(image) if by_stem else key(image)
        if name in used:
            problem = f"is given {image} and another picture of the same name"
            ending = " without their endings" if by_stem else ""
            remedy = f"Rename one of them: this format identifies pictures by their names{ending}"
            raise DatasetError(path, problem, remedy)
        used.add(name)
        yield picture


def check_class_names(
    classes: Classes, path: Path, file: str, refused: Callable[[str], bool] = lambda _: False
) -> None:
    """Raise DatasetError if a name cannot be written as one line of a file, or is ``refused``."""
    for name in classes.names:
        if name != name.strip() or not name.isprintable() or refused(name):
            problem = f"cannot hold the class {name!r} in {file}"
            raise DatasetError(path, problem, "Rename the class, or choose another format")


def one_class_per_pixel(picture: AnnotatedPicture) -> tuple[NDArray[np.uint8], list[Loss]]:
    """Return class ids, uint8 ``(height, width)`` with 0 for no defect, and what that loses.

    Where masks overlap, the later class wins. Raises DatasetError for over 254 classes.
    """
    classes = picture.classes
    if len(classes) > 254:
        problem = f"has {len(classes)} classes, an index picture holds at most 254"
        raise DatasetError(picture.image, problem, "Choose a format with one mask per class")
    index = np.zeros(picture.frame, np.uint8)
    for class_id, mask in zip(classes.ids, picture.masks, strict=True):
        index[mask] = class_id
    losses = []
    for class_id, (name, mask) in zip(classes.ids, picture.by_class().items(), strict=True):
        pixels = int((mask & (index != class_id)).sum())
        if pixels:
            why = "were under the mask of a later class"
            losses.append(Loss(picture.image, name, pixels, why))
    return index, losses
