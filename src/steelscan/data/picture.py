"""Reading one picture as a grey strip, and refusing what only looks like one.

Pillow decodes, because it refuses a JPEG that breaks off half-way; OpenCV fills the rest with
grey, and the strip would pass inspection.
"""

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from steelscan.strip import Fault, Frame, MaskError, Picture, PictureError

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"))
"""Endings of picture files, in lower case."""

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
_LOSSY = frozenset(("JPEG", "MPO", "jpeg", "tiff_jpeg"))
"""Formats of files, and compressions of TIFF, that no mask outlives."""

_EIGHT_BITS = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"))
_DEEP_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION = 0x0112
_TURNED = range(2, 9)
"""Orientations that turn or mirror; 1 is upright, and all others mean nothing."""

_TINT = 32
"""Red, green and blue of grey steel may lie so far apart: cameras and JPEG tint it a little."""

Source = Path | bytes | BinaryIO
"""A file by its path, its content, or an open file."""

# Some cameras and programs write mebibytes of text into a picture, compressed or not.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


class IndexPicture(NamedTuple):
    """A mask picture as it is stored."""

    values: NDArray[np.uint8]
    """uint8 ``(height, width)``."""

    palette: NDArray[np.uint8] | None
    """Colours of the values from 0 up, uint8 ``(values, 3)``; None where values are grey."""

    one_bit: bool
    """Whether its values are 0 and 1 because it has but one bit: black and white."""


def read_picture(source: Source, name: object = None) -> Picture:
    """Read a picture as uint8 ``(height, width)``, grey from 0 (black) to 255 (white).

    Colour is turned to its luma, once; a JPEG never leaves the decoder in colour. Raises
    PictureError, naming ``name`` or the path, for a file that is missing, empty, cut off or no
    picture, for more than 8 bits a pixel, transparency, several pages, a stored turn (EXIF
    orientation: nobody can know which way its masks were drawn), and for over 178 million pixels.
    """
    with _opened(source, name) as (image, where):
        image.draft("L", image.size)  # a colour JPEG: skip the colours while decoding
        image.load()
        if image.has_transparency_data:
            alpha = image.convert("RGBA").getchannel("A")
            if alpha.getextrema() != (255, 255):
                remedy = "Save it as grey without transparency"
                _refuse(where, "has transparent pixels", remedy, Fault.TRANSPARENT)
        return np.array(image if image.mode == "L" else image.convert("L"))


def picture_frame(source: Source, name: object = None) -> Frame:
    """Read height and width of a picture from its header, without decoding it.

    Raises PictureError as `read_picture` does, save for damage further down the file and for
    transparency.
    """
    with _opened(source, name) as (image, _):
        return Frame(image.height, image.width)


def read_index_picture(source: Source, name: object = None) -> NDArray[np.uint8]:
    """Read a mask picture, uint8 ``(height, width)``: the stored pixel values, as they are.

    Raises MaskError as `open_index_picture` does.
    """
    return open_index_picture(source, name).values


def open_index_picture(source: Source, name: object = None) -> IndexPicture:
    """Read a mask picture: the stored pixel values, as they are, and its palette.

    Of 16 bits a pixel, and of red, green and blue that are equal, the one value is read. Raises
    MaskError for JPEG, for colour, for values over 255, and for all that makes `read_picture`
    raise.
    """
    try:
        with _opened(source, name, masks=True) as (image, where):
            if _LOSSY & {image.format, image.info.get("compression")}:
                remedy = "Save masks without loss, as PNG"
                _refuse(where, "is a JPEG, which changes the values of pixels", remedy)
            image.load()
            palette = _colours(image) if image.mode == "P" else None
            return IndexPicture(_values(image, where), palette, image.mode == "1")
    except PictureError as error:
        raise error.as_(MaskError) from error


def read_palette(source: Source) -> bytes | None:
    """Red, green and blue of a mask picture's values from 0 up, from its header; None: no palette.

    Raises PictureError.
    """
    with _opened(source, None, masks=True) as (image, _):
        return _colours(image).tobytes() if image.mode == "P" else None


def _colours(image: Image.Image) -> NDArray[np.uint8]:
    return np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)


def _values(image: Image.Image, where: object) -> NDArray[np.uint8]:
    """The one value of each pixel. Raises PictureError where it has several, or one over 255."""
    values = np.array(image)
    if image.mode in ("LA", "RGBA") and (values[..., -1] != 255).any():
        remedy = "Save it with one 8-bit channel whose values are the classes"
        _refuse(where, "has transparent pixels", remedy, Fault.TRANSPARENT)
    if values.ndim == 3:
        colours = values[..., : 1 if image.mode == "LA" else 3]
        values = colours[..., 0]
        if image.mode not in ("LA", "RGB", "RGBA") or (colours != values[..., None]).any():
            found = f"is coloured (mode {image.mode}), and no file says which class a colour is"
            remedy = (
                "Save it with one 8-bit channel whose values are the classes, or lay coloured "
                "masks out as Pascal VOC, with their colours in labelmap.txt"
            )
            _refuse(where, found, remedy, Fault.MODE)
    if values.max(initial=0) > 255 or values.min(initial=0) < 0:
        found = f"holds the value {values.max() if values.max() > 255 else values.min()}"
        remedy = "Number the classes from 1 to 255, and save it with 8 bits a pixel"
        _refuse(where, found, remedy, Fault.UNKNOWN_CLASS)
    return values.astype(np.uint8, copy=False)


def has_colour(source: Source) -> bool:
    """Whether any pixel of a picture is clearly no grey. Raises PictureError."""
    with _opened(source, None) as (image, _):
        if image.mode in ("1", "L", "LA"):
            return False
        colours = np.asarray(image.convert("RGB"))
        return bool((colours.max(axis=2) - colours.min(axis=2)).max() > _TINT)


@contextmanager
def _opened(
    source: Source, name: object, masks: bool = False
) -> Iterator[tuple[Image.Image, object]]:
    where = name or (source if isinstance(source, Path) else "picture")
    try:
        with _file(source) as file:
            if not file.read(1):
                _refuse(where, "is empty (0 bytes)", "Copy the file again")
            file.seek(0)
            with Image.open(file, formats=_FORMATS) as image:
                if not (masks and image.mode in _DEEP_GREY):
                    _check_depth(image, where)
                _check_header(image, where)
                yield image, where
    except PictureError:
        raise
    except Exception as error:
        _refuse_unreadable(where, error)


def _file(source: Source) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if isinstance(source, Path) and source.exists() and not (source.is_file() or source.is_dir()):
        _refuse(source, "is a pipe, a device or a socket", "Name a picture file")
    return source.open("rb") if isinstance(source, Path) else nullcontext(source)


def _check_depth(image: Image.Image, where: object) -> None:
    if image.mode.startswith(("I", "F")) or _is_deep(image):
        remedy = "Convert it to 8 bits with the range that your camera uses"
        found = f"has more than 8 bits a channel (mode {image.mode})"
        _refuse(where, found, remedy, Fault.DEEP)
    if image.mode not in _EIGHT_BITS:
        remedy = "Save it as 8-bit grey or RGB"
        _refuse(where, f"is a {image.mode} picture", remedy, Fault.MODE)


def _check_header(image: Image.Image, where: object) -> None:
    if getattr(image, "n_frames", 1) > 1:
        found = f"holds {getattr(image, 'n_frames', 0)} pictures"
        _refuse(where, found, "Save each as a file of its own", Fault.PAGES)
    tagged = "exif" in image.info or image.format == "TIFF"
    if tagged and image.getexif().get(_ORIENTATION) in _TURNED:
        remedy = "Save it upright, without the orientation tag, as its masks were drawn"
        _refuse(where, "is stored turned or mirrored (EXIF orientation)", remedy, Fault.TURNED)


def _is_deep(image: Image.Image) -> bool:
    """Whether the file holds 16 bits a channel, of which Pillow would silently keep 8."""
    stored = [str(tile.args) for tile in getattr(image, "tile", ())]
    return any(deep in mode for mode in stored for deep in (";16B", ";16L", ";16N"))


def _refuse_unreadable(where: object, error: Exception) -> NoReturn:
    """Translate what Pillow raised; its readers raise almost anything on bad bytes."""
    if isinstance(error, FileNotFoundError):
        _refuse(where, "does not exist", "Check the path")
    if isinstance(error, IsADirectoryError):
        _refuse(where, "is a folder", "Name a picture file")
    if isinstance(error, PermissionError):
        _refuse(where, "cannot be opened (no permission)", "Check the rights of the file")
    if isinstance(error, UnidentifiedImageError):
        _refuse(where, "is no JPEG, PNG, BMP, TIFF or WebP picture", "Convert it to one of them")
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        _refuse(where, "has too many pixels for one picture", "Cut it into shorter strips")
    if isinstance(error, ValueError) and "MAX_TEXT" in str(error):
        found = f"carries more than {PngImagePlugin.MAX_TEXT_MEMORY >> 20} MiB of text"
        _refuse(where, found, "Save it without metadata")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    _refuse(where, f"is damaged or cut off ({reason})", "Copy or export the file again")


def _refuse(where: object, found: str, remedy: str, fault: Fault = Fault.UNREADABLE) -> NoReturn:
    raise PictureError(where, found, remedy, fault)
