"""Pascal VOC: ``JPEGImages/`` and ``SegmentationClass/*.png``, whose colours are the classes.

(Everingham et al. 2010.) ``labelmap.txt`` gives the colours, a line ``name:red,green,blue::`` a
class, as CVAT writes it; black is sound steel. Without it ``class_names.txt`` (labelme) names them
in the order of VOC's palette. CVAT and Datumaro write no PNG for a clean picture, and list it in
``ImageSets/Segmentation/``: there it counts as clean, unless a black PNG or a comment in
``labelmap.txt``, as written here, shows that clean pictures have one too; or a mask of another kind
or an object in ``Annotations/STEM.xml`` contradicts it. A grey PNG holds the
numbers of those lines, and 0 for sound steel. VOC marks a rim around objects with the value 255,
colour 224,224,192, as neither: here it is read as sound, and counted.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from steelscan.data import ByStem, Files, open_files, picture_frame, plain
from steelscan.formats.class_names import text_lines
from steelscan.formats.class_pngs import png_of
from steelscan.formats.content import pictures, read_mask_file, refuse_doctype, refuse_strays
from steelscan.formats.labelled import (
    Labelled,
    Loss,
    check_all,
    check_mask_size,
    flatten,
    make_classes,
)
from steelscan.formats.shelf import Shelf
from steelscan.strip import (
    STRICT,
    Classes,
    DatasetError,
    Fault,
    Frame,
    MaskError,
    PictureError,
    Watch,
    blank_masks,
    write_bytes,
    write_text,
)

_LEVELS = frozenset(map(str, range(256)))
_REMEDY = "Write lines as 'background:0,0,0::' and 'scratch:128,0,0::'"


_COMPLETE = "# each picture has a PNG"
"""A comment in ``labelmap.txt``, by which a PNG that was lost is missed."""


class _LabelMap(NamedTuple):
    classes: Classes
    values: tuple[int, ...]
    """Number of each class's line, counted without comments."""
    colours: tuple[int, ...]
    """Colour of each class as one number."""


def read(path: Path, watch: Watch = STRICT, shelf: Shelf | None = None) -> Iterator[Labelled]:
    """Read a folder or zip, picture by picture, sorted by name; of pictures only the headers.

    Pictures that are listed without a PNG come last.

    Raises DatasetError when ``labelmap.txt`` or pictures are missing, PictureError for what is no
    picture, and MaskError for masks that are missing, of another size or of unknown colours.
    """
    files = open_files(path)
    labels = _label_map(files)
    folder = files.under("SegmentationClass")
    there = list(folder.walk(links=True))
    names = [name for name in there if name.lower().endswith(".png")]
    masks, inside = ByStem(names), shelf.files if shelf else files.under("JPEGImages")
    found = dict(pictures(inside, watch))
    refuse_strays(names, folder, inside, watch)
    bare: dict[str, Frame] = {}
    listed, whole = _listed(files), _all_have_one(files)
    for image, frame in found.items():
        png = masks.find(image)
        if png is None:
            bare[image] = frame
            continue
        with watch.leaving_out():
            content = read_mask_file(folder, png)
            labelled = _labelled(image, frame, labels, content, folder.where(png))
            whole = whole or not (labelled.masks.any() or labelled.ignored)
            yield labelled
    denied = _Denied(files, [name for name in there if not name.lower().endswith(".png")])
    yield from _bare(bare, set() if whole else listed, labels.classes, denied, watch)


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write ``SegmentationClass/``, ``labelmap.txt`` and ``ImageSets/Segmentation/default.txt``.

    ``JPEGImages/`` is the caller's. Returns what lay under later classes. Raises DatasetError,
    also for a class with a colon in its name, MaskError and OutputError.
    """
    losses: list[Loss] = []
    names: list[str] = []
    classes: Classes | None = None
    palette = [part for value in range(256) for part in colour(value)]
    for each in check_all(labelled, path, by_stem=True):
        classes = classes or _check_writable(each.classes, path)
        index, lost = flatten(each)
        losses += lost
        names.append(PurePosixPath(each.image).with_suffix("").as_posix())
        image = Image.fromarray(index)
        image.putpalette(palette)
        write_bytes(path / "SegmentationClass" / f"{names[-1]}.png", png_of(image))
    listed = ("background", *(classes.names if classes else ()))
    lines = (f"{name}:{','.join(map(str, colour(at)))}::\n" for at, name in enumerate(listed))
    head = f"# label:color_rgb:parts:actions\n{_COMPLETE}\n"
    write_text(path / "labelmap.txt", head + "".join(lines))
    write_text(path / "ImageSets/Segmentation/default.txt", "".join(f"{name}\n" for name in names))
    return tuple(losses)


def colour(value: int) -> tuple[int, int, int]:
    """Red, green and blue of a value in VOC's palette: its bits, dealt out from the highest."""
    parts = [0, 0, 0]
    for at in range(8):
        for channel in range(3):
            parts[channel] |= (value >> (3 * at + channel) & 1) << (7 - at)
    return parts[0], parts[1], parts[2]


class _Denied:
    """Files which say that a picture without a PNG is not clean."""

    def __init__(self, files: Files, others: Iterable[str]) -> None:
        self.masks, self._others = files.under("SegmentationClass"), ByStem(others)
        self._objects = files.under("Annotations")
        there = self._objects.walk(links=True) if "Annotations" in files.folders() else ()
        self._of_objects = ByStem(name for name in there if name.lower().endswith(".xml"))

    def check(self, image: str) -> None:
        """Raise MaskError where a mask of another kind, or an object's box, belongs to it."""
        other = self._others.find(image)
        if other is not None:
            remedy = "Save the mask anew without loss, as PNG"
            raise MaskError(self.masks.where(other), "is no PNG", remedy, Fault.NO_MASK)
        name = self._of_objects.find(image)
        if name is not None and _holds_object(self._objects.read(name), self._objects.where(name)):
            found = f"holds an object, and {image} has no PNG in SegmentationClass/"
            remedy = "Add the PNG; if the steel is sound, remove the object"
            raise MaskError(self._objects.where(name), found, remedy, Fault.NO_MASK)


def _holds_object(content: bytes, where: str) -> bool:
    """Whether an XML file of VOC describes a thing in its picture. Raises DatasetError."""
    refuse_doctype(io.BytesIO(content), where)
    try:
        return next(ElementTree.fromstring(content).iter("object"), None) is not None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        found = f"is no whole XML file ({error})"
        remedy = "Export it again"
        raise DatasetError(where, found, remedy, Fault.UNREADABLE_FILE) from None


def _bare(
    bare: Mapping[str, Frame], listed: set[str], classes: Classes, denied: _Denied, watch: Watch
) -> Iterator[Labelled]:
    """The pictures without a PNG: clean where they are listed."""
    for image, frame in bare.items():
        with watch.leaving_out():
            if plain(image) not in listed:
                where = denied.masks.where(PurePosixPath(image).with_suffix(".png").as_posix())
                remedy = "Add it; that of a clean strip is black"
                raise MaskError(where, "is missing", remedy, Fault.NO_MASK)
            denied.check(image)
            found = "has no PNG, is listed in ImageSets/Segmentation/, and counts as clean"
            watch.note(Fault.NO_ANNOTATION, image, found)
            yield Labelled(image, frame, np.zeros((len(classes), *frame), np.bool_), classes)


def _listed(files: Files) -> set[str]:
    """Pictures that the lists of a segmentation data set name, without endings."""
    folder = files.under("ImageSets/Segmentation")
    lists = [name for name in folder.names() if name.lower().endswith(".txt")]
    lines = (line.strip().strip('"') for name in lists for line in text_lines(folder, name))
    return {plain(f"{line}.png") for line in lines}


def _all_have_one(files: Files) -> bool:
    """Whether ``labelmap.txt`` says that clean pictures have a PNG too."""
    return files.exists("labelmap.txt") and _COMPLETE.encode() in files.read("labelmap.txt")


def _label_map(files: Files) -> _LabelMap:
    if not files.exists("labelmap.txt"):
        return _palette_map(files)
    where = files.where("labelmap.txt")
    names: list[str] = []
    colours: list[int] = []
    for line in files.read("labelmap.txt").decode(errors="replace").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        parts = [part.strip() for part in rest.split(":")[0].split(",")]
        if len(parts) != 3 or not all(map(_LEVELS.__contains__, parts)):
            raise DatasetError(where, f"holds the line {line[:60]!r}", _REMEDY)
        names.append(name.strip())
        colours.append(_packed(*map(int, parts)))
    if len(set(colours)) != len(colours):
        raise DatasetError(where, "gives two classes one colour", _REMEDY)
    numbered = [at for at, packed in enumerate(colours) if packed]
    classes = make_classes([names[at] for at in numbered], where)
    # Line numbers are the grey values only where sound steel has line 0.
    shift = 0 if 0 in colours else 1
    values = tuple(at + shift for at in numbered)
    return _LabelMap(classes, values, tuple(colours[at] for at in numbered))


def _palette_map(files: Files) -> _LabelMap:
    """The classes of a file that names them in the order of VOC's palette."""
    if not files.exists("class_names.txt"):
        raise DatasetError(files.where("labelmap.txt"), "is missing", _REMEDY)
    names = [line.strip() for line in text_lines(files, "class_names.txt") if line.strip()]
    names = [name for name in names if name != "__ignore__"]
    if not names or names[0] not in ("_background_", "background"):
        found = "does not begin with _background_"
        raise DatasetError(files.where("class_names.txt"), found, "Write labelmap.txt. " + _REMEDY)
    values = tuple(range(1, len(names)))
    classes = make_classes(names[1:], files.where("class_names.txt"))
    return _LabelMap(classes, values, tuple(_packed(*colour(value)) for value in values))


def _labelled(image: str, frame: Frame, labels: _LabelMap, content: bytes, where: str) -> Labelled:
    pixels, grey = _pixels(content, where)
    check_mask_size(where, pixels.shape, image, frame)
    known, ignored = (labels.values, 255) if grey else (labels.colours, _packed(*colour(255)))
    ignored = -1 if ignored in known else ignored
    strange = pixels[~np.isin(pixels, (0, ignored, *known))]
    if strange.size:
        shown = strange[0] if grey else ",".join(map(str, int(strange[0]).to_bytes(3)))
        found = (
            f"holds the value {shown} at {strange.size} pixels, which labelmap.txt does not name"
        )
        remedy = "Name it there, and store masks losslessly"
        raise MaskError(where, found, remedy, Fault.UNKNOWN_CLASS)
    masks = blank_masks(len(known), frame, where)
    for value, mask in zip(known, masks, strict=True):
        np.equal(pixels, value, out=mask)
    return Labelled(image, frame, masks, labels.classes, ignored=int((pixels == ignored).sum()))


def _pixels(content: bytes, where: str) -> tuple[NDArray[np.int32], bool]:
    """Values of a grey PNG or packed colours of a coloured one, and whether it is grey."""
    try:
        picture_frame(content, where)
    except PictureError as error:
        raise error.as_(MaskError) from error
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.mode in ("1", "L"):
                return np.asarray(image).astype(np.int32), True
            red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(np.int32), 2, 0)
            return red << 16 | green << 8 | blue, False
    except Exception as error:  # Pillow's readers raise almost anything on bad bytes
        found = f"is damaged or no PNG ({str(error)[:80]})"
        remedy = "Copy or export the file again"
        raise MaskError(where, found, remedy, Fault.UNREADABLE) from error


def _packed(red: int, green: int, blue: int) -> int:
    return red << 16 | green << 8 | blue


def _check_writable(classes: Classes, path: Path) -> Classes:
    for name in classes.names:
        if ":" in name or name != name.strip() or name.startswith("#") or not name.isprintable():
            found = f"cannot hold the class {name!r} in labelmap.txt"
            raise DatasetError(path, found, "Rename the class, or choose another format")
    return classes
