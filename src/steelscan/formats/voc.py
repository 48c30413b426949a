"""Pascal VOC: ``JPEGImages/`` and ``SegmentationClass/*.png``, whose colours are the classes.

(Everingham et al. 2010.) ``labelmap.txt`` gives the colours, one line ``name:red,green,blue::``
per class, as CVAT writes it; black is defect-free steel. Without it ``class_names.txt`` (labelme)
names them in the order of VOC's palette. A grey PNG holds the numbers of those lines, and 0 for
defect-free steel. VOC marks a rim around objects with the value 255, colour 224,224,192, as
neither: it is read as defect-free, and counted.

CVAT and Datumaro write no PNG for a clean picture, and list it in ``ImageSets/Segmentation/``: such
a picture counts as clean. It does not if clean pictures of this data set have PNGs (one is black,
or ``labelmap.txt`` has the comment that is written here), or if an object in
``Annotations/STEM.xml`` or a mask file of another type contradicts it.
"""

import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from steelscan.data import picture_frame
from steelscan.data.annotations import check_mask_size
from steelscan.data.files import ByStem, Files, open_files, plain
from steelscan.formats.annotated_picture import (
    AnnotatedPicture,
    Loss,
    Pictures,
    check_class_names,
    one_class_per_pixel,
)
from steelscan.formats.class_names import make_classes
from steelscan.formats.parsing import png_of, refuse_doctype, text_lines, xml_errors
from steelscan.formats.picture_folder import pictures_of, refuse_strays
from steelscan.formats.picture_index import PictureIndex
from steelscan.strip import Classes, Frame
from steelscan.strip.errors import DatasetError, Fault, FaultPolicy, MaskError, PictureError
from steelscan.strip.files import write_bytes, write_text

_CHANNEL = frozenset(map(str, range(256)))
_REMEDY = "Write lines as 'background:0,0,0::' and 'scratch:128,0,0::'"
_COMPLETE = "# each picture has a PNG"
"""A comment in ``labelmap.txt``, so that a lost PNG is noticed."""


class _LabelMap(NamedTuple):
    classes: Classes
    values: tuple[int, ...]
    """Number of each class's line, counted without comments."""
    colours: tuple[int, ...]
    """Colour of each class as one number."""


def read(path: Path, policy: FaultPolicy, index: PictureIndex | None) -> Pictures:
    """Read a folder or zip, picture by picture, sorted by name; only the headers of pictures.

    Pictures that are listed but have no PNG come last. Raises DatasetError if ``labelmap.txt`` or
    pictures are missing, PictureError for a file that is not a picture, and MaskError for a mask
    that is missing, of another size or of unknown colours.
    """
    files = open_files(path)
    labels = _label_map(files)
    folder = files.under("SegmentationClass")
    mask_files = list(folder.walk(links=True))
    names = [name for name in mask_files if name.lower().endswith(".png")]
    masks, images = ByStem(names), index.files if index else files.under("JPEGImages")
    frames = dict(pictures_of(images, policy))
    refuse_strays(names, folder, images, policy)
    without_png: dict[str, Frame] = {}
    listed, all_have_png = _listed(files), _all_have_png(files)
    for image, frame in frames.items():
        png = masks.find(image)
        if png is None:
            without_png[image] = frame
            continue
        with policy.skipping():
            content = folder.picture_bytes(png, MaskError)
            picture = _picture(image, frame, labels, content, folder.where(png))
            all_have_png = all_have_png or not (picture.masks.any() or picture.ignored)
            yield picture
    others = [name for name in mask_files if not name.lower().endswith(".png")]
    clean = _CleanPictures(files, set() if all_have_png else listed, others)
    for image, frame in without_png.items():
        with policy.skipping():
            clean.check(image)
            problem = "has no PNG, is listed in ImageSets/Segmentation/, and counts as clean"
            policy.note(Fault.NO_ANNOTATION, image, problem)
            no_masks = np.zeros((len(labels.classes), *frame), np.bool_)
            yield AnnotatedPicture(image, frame, no_masks, labels.classes)


class _CleanPictures:
    """Decides which pictures without a PNG are clean."""

    def __init__(self, files: Files, listed: set[str], other_masks: Iterable[str]) -> None:
        self._listed = listed
        self._masks, self._others = files.under("SegmentationClass"), ByStem(other_masks)
        self._objects = files.under("Annotations")
        names = self._objects.walk(links=True) if "Annotations" in files.folders() else ()
        self._of_objects = ByStem(name for name in names if name.lower().endswith(".xml"))

    def check(self, image: str) -> None:
        """Raise MaskError if a picture is not listed, or has an object or another mask file."""
        if plain(image) not in self._listed:
            where = self._masks.where(PurePosixPath(image).with_suffix(".png").as_posix())
            remedy = "Add it; that of a clean strip is black"
            raise MaskError(where, "is missing", remedy, Fault.NO_MASK)
        other = self._others.find(image)
        if other is not None:
            remedy = "Save the mask again without loss, as PNG"
            raise MaskError(self._masks.where(other), "is not a PNG", remedy, Fault.NO_MASK)
        name = self._of_objects.find(image)
        if name is not None and _has_object(self._objects.read(name), self._objects.where(name)):
            problem = f"has an object, but {image} has no PNG in SegmentationClass/"
            remedy = "Add the PNG; if the steel is defect-free, remove the object"
            raise MaskError(self._objects.where(name), problem, remedy, Fault.NO_MASK)


def _has_object(content: bytes, where: str) -> bool:
    """Return whether an XML file of VOC lists an object. Raises DatasetError."""
    refuse_doctype(io.BytesIO(content), where)
    with xml_errors(where, "Export it again"):
        return next(ElementTree.fromstring(content).iter("object"), None) is not None


def _listed(files: Files) -> set[str]:
    """Return the pictures that the lists of a segmentation data set name, without endings."""
    folder = files.under("ImageSets/Segmentation")
    lists = [name for name in folder.names() if name.lower().endswith(".txt")]
    lines = (line.strip().strip('"') for name in lists for line in text_lines(folder, name))
    return {plain(f"{line}.png") for line in lines}


def _all_have_png(files: Files) -> bool:
    """Return whether a comment in ``labelmap.txt`` declares that clean pictures have PNGs too."""
    return files.exists("labelmap.txt") and _COMPLETE.encode() in files.read("labelmap.txt")


def _label_map(files: Files) -> _LabelMap:
    if not files.exists("labelmap.txt"):
        return _palette_map(files)
    where = files.where("labelmap.txt")
    names: list[str] = []
    colours: list[int] = []
    for line in text_lines(files, "labelmap.txt", errors="replace"):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        parts = [part.strip() for part in rest.split(":")[0].split(",")]
        if len(parts) != 3 or not all(map(_CHANNEL.__contains__, parts)):
            raise DatasetError(where, f"has the line {line[:60]!r}", _REMEDY)
        names.append(name.strip())
        colours.append(_packed(*map(int, parts)))
    if len(set(colours)) != len(colours):
        raise DatasetError(where, "gives two classes one colour", _REMEDY)
    defects = [at for at, packed in enumerate(colours) if packed]
    classes = make_classes([names[at] for at in defects], where)
    # Line numbers are the grey values only if defect-free steel has line 0.
    shift = 0 if 0 in colours else 1
    values = tuple(at + shift for at in defects)
    return _LabelMap(classes, values, tuple(colours[at] for at in defects))


def _palette_map(files: Files) -> _LabelMap:
    """Return the classes of a file that names them in the order of VOC's palette."""
    where = files.where("class_names.txt")
    if not files.exists("class_names.txt"):
        raise DatasetError(files.where("labelmap.txt"), "is missing", _REMEDY)
    names = [line.strip() for line in text_lines(files, "class_names.txt") if line.strip()]
    names = [name for name in names if name != "__ignore__"]
    if not names or names[0] not in ("_background_", "background"):
        problem = "does not begin with _background_"
        raise DatasetError(where, problem, "Write labelmap.txt. " + _REMEDY)
    values = tuple(range(1, len(names)))
    classes = make_classes(names[1:], where)
    return _LabelMap(classes, values, tuple(_packed(*colour(value)) for value in values))


def _picture(
    image: str, frame: Frame, labels: _LabelMap, content: bytes, where: str
) -> AnnotatedPicture:
    pixels, grey = _pixels(content, where)
    check_mask_size(where, pixels.shape, image, frame)
    known, ignored = (labels.values, 255) if grey else (labels.colours, _packed(*colour(255)))
    ignored = -1 if ignored in known else ignored
    unknown = pixels[~np.isin(pixels, (0, ignored, *known))]
    if unknown.size:
        value = unknown[0] if grey else ",".join(map(str, int(unknown[0]).to_bytes(3)))
        problem = (
            f"has the value {value} at {unknown.size} pixels, which labelmap.txt does not name"
        )
        remedy = "Add it there, and store masks without loss"
        raise MaskError(where, problem, remedy, Fault.UNKNOWN_CLASS)
    masks = frame.empty_masks(len(known), where)
    for value, mask in zip(known, masks, strict=True):
        np.equal(pixels, value, out=mask)
    count = int((pixels == ignored).sum())
    return AnnotatedPicture(image, frame, masks, labels.classes, ignored=count)


def _pixels(content: bytes, where: str) -> tuple[NDArray[np.int32], bool]:
    """Return the values of a grey PNG or packed colours of another, and whether it is grey."""
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
    except Exception as error:  # Pillow's readers raise almost anything for damaged files
        problem = f"is damaged or not a PNG ({str(error)[:80]})"
        remedy = "Copy or export the file again"
        raise MaskError(where, problem, remedy, Fault.UNREADABLE) from error


def _packed(red: int, green: int, blue: int) -> int:
    return red << 16 | green << 8 | blue


def write(path: Path, classes: Classes, pictures: Pictures) -> tuple[Loss, ...]:
    """Write ``SegmentationClass/``, ``labelmap.txt`` and ``ImageSets/Segmentation/default.txt``.

    The caller writes ``JPEGImages/``. Returns the pixels under later classes. Raises DatasetError,
    also for a class with a colon in its name, MaskError and OutputError.
    """
    losses: list[Loss] = []
    names: list[str] = []
    palette = [part for value in range(256) for part in colour(value)]
    check_class_names(
        classes, path, "labelmap.txt", lambda name: ":" in name or name.startswith("#")
    )
    for picture in pictures:
        index, lost = one_class_per_pixel(picture)
        losses += lost
        names.append(PurePosixPath(picture.image).with_suffix("").as_posix())
        write_bytes(path / "SegmentationClass" / f"{names[-1]}.png", png_of(index, palette))
    labels = ("background", *classes.names)
    lines = (f"{name}:{','.join(map(str, colour(at)))}::\n" for at, name in enumerate(labels))
    head = f"# label:color_rgb:parts:actions\n{_COMPLETE}\n"
    write_text(path / "labelmap.txt", head + "".join(lines))
    write_text(path / "ImageSets/Segmentation/default.txt", "".join(f"{name}\n" for name in names))
    return tuple(losses)


def colour(value: int) -> tuple[int, int, int]:
    """Return red, green and blue of a value in VOC's palette: its bits in turn, highest first."""
    parts = [0, 0, 0]
    for at in range(8):
        for channel in range(3):
            parts[channel] |= (value >> (3 * at + channel) & 1) << (7 - at)
    return parts[0], parts[1], parts[2]
