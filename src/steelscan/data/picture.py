"""Read one picture as a grey strip; damaged and ambiguous pictures raise an error.

Pillow decodes, because it raises an error for a truncated JPEG; OpenCV would fill the rest with
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

from steelscan.strip import Frame, Picture
from steelscan.strip.errors import Fault, MaskError, PictureError

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"))
"""Suffixes of picture files, in lower case."""

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
_LOSSY = frozenset(("JPEG", "MPO", "jpeg", "tiff_jpeg"))
"""File formats, and compressions of TIFF, that change the values of a mask."""

_EIGHT_BITS = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"))
_DEEP_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION = 0x0112
_ROTATED = range(2, 9)
"""Orientations that rotate or mirror; 1 is upright, and all others have no meaning."""

_TINT = 32
"""Largest difference between red, green and blue of grey steel, as cameras and JPEG tint it."""

Source = Path | bytes | BinaryIO
"""A path, the content of a file, or an open file."""

# Some cameras and programs write mebibytes of text into a picture, compressed or not.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


class IndexPicture(NamedTuple):
    """A mask picture as stored."""

    values: NDArray[np.uint8]
    """uint8 ``(height, width)``."""

    palette: NDArray[np.uint8] | None
    """Colours of the values from 0 up, uint8 ``(values, 3)``; None for grey pictures."""

    one_bit: bool
    """Whether its values are 0 and 1 because it has one bit per pixel: black and white."""


def read_picture(source: Source, name: object = None) -> Picture:
    """Read a picture as uint8 ``(height, width)``, grey from 0 (black) to 255 (white).

    Colour is converted to luma once; a JPEG is decoded directly to grey. Raises PictureError, with
    ``name`` or the path, if the file is missing, empty, truncated or no picture; if it has more
    than 8 bits per channel, transparency, several pages, or over 178 million pixels; and if it has
    an EXIF orientation, because the orientation of its masks is then unknown.
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

    Raises PictureError as `read_picture` does, except for transparency and for damage after the
    header.
    """
    with _opened(source, name) as (image, _):
        return Frame(image.height, image.width)


def open_index_picture(source: Source, name: object = None) -> IndexPicture:
    """Read a mask picture: the stored pixel values and its palette.

    Pictures with 16 bits per pixel, or with equal red, green and blue, are accepted. Raises
    MaskError for JPEG, for colour, for values over 255, and whenever `read_picture` raises.
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
    """Read the palette of a mask picture from its header: red, green, blue per value; None without.

    Raises PictureError.
    """
    with _opened(source, None, masks=True) as (image, _):
        return _colours(image).tobytes() if image.mode == "P" else None


def _colours(image: Image.Image) -> NDArray[np.uint8]:
    return np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)


def _values(image: Image.Image, where: object) -> NDArray[np.uint8]:
    """Return one value per pixel. Raises PictureError if a pixel has several, or one over 255."""
    values = np.array(image)
    if image.mode in ("LA", "RGBA") and (values[..., -1] != 255).any():
        remedy = "Save it with one 8-bit channel whose values are the classes"
        _refuse(where, "has transparent pixels", remedy, Fault.TRANSPARENT)
    if values.ndim == 3:
        colours = values[..., : 1 if image.mode == "LA" else 3]
        values = colours[..., 0]
        if image.mode not in ("LA", "RGB", "RGBA") or (colours != values[..., None]).any():
            problem = f"is coloured (mode {image.mode}), and the class of a colour is unknown"
            remedy = (
                "Save it with one 8-bit channel whose values are the classes, or use the layout of "
                "Pascal VOC with the colours in labelmap.txt"
            )
            _refuse(where, problem, remedy, Fault.MODE)
    if values.max(initial=0) > 255 or values.min(initial=0) < 0:
        problem = f"has the value {values.max() if values.max() > 255 else values.min()}"
        remedy = "Number the classes from 1 to 255, and save it with 8 bits per pixel"
        _refuse(where, problem, remedy, Fault.UNKNOWN_CLASS)
    return values.astype(np.uint8, copy=False)


def has_colour(source: Source) -> bool:
    """Return whether a pixel of a picture is clearly not grey. Raises PictureError."""
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
        _refuse(source, "is a pipe, a device or a socket", "Choose a picture file")
    return source.open("rb") if isinstance(source, Path) else nullcontext(source)


def _check_depth(image: Image.Image, where: object) -> None:
    if image.mode.startswith(("I", "F")) or _is_deep(image):
        remedy = "Convert it to 8 bits with the range of your camera"
        problem = f"has more than 8 bits per channel (mode {image.mode})"
        _refuse(where, problem, remedy, Fault.DEEP)
    if image.mode not in _EIGHT_BITS:
        remedy = "Save it as 8-bit grey or RGB"
        _refuse(where, f"is a {image.mode} picture", remedy, Fault.MODE)


def _check_header(image: Image.Image, where: object) -> None:
    if getattr(image, "n_frames", 1) > 1:
        problem = f"contains {getattr(image, 'n_frames', 0)} pictures"
        _refuse(where, problem, "Save each picture in its own file", Fault.PAGES)
    tagged = "exif" in image.info or image.format == "TIFF"
    if tagged and image.getexif().get(_ORIENTATION) in _ROTATED:
        remedy = "Save it upright, without the orientation tag, as its masks were drawn"
        _refuse(where, "is stored rotated or mirrored (EXIF orientation)", remedy, Fault.TURNED)


def _is_deep(image: Image.Image) -> bool:
    """Return whether the file has 16 bits per channel, of which Pillow would keep 8 in silence."""
    stored = [str(tile.args) for tile in getattr(image, "tile", ())]
    return any(deep in mode for mode in stored for deep in (";16B", ";16L", ";16N"))


def _refuse_unreadable(where: object, error: Exception) -> NoReturn:
    """Raise PictureError for an error of Pillow, whose readers raise almost any type."""
    if isinstance(error, FileNotFoundError):
        _refuse(where, "does not exist", "Check the path")
    if isinstance(error, IsADirectoryError):
        _refuse(where, "is a folder", "Choose a picture file")
    if isinstance(error, PermissionError):
        _refuse(where, "cannot be opened (no permission)", "Check the permissions of the file")
    if isinstance(error, UnidentifiedImageError):
        _refuse(where, "is no JPEG, PNG, BMP, TIFF or WebP picture", "Convert it to one of them")
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        _refuse(where, "has too many pixels for one picture", "Cut it into shorter strips")
    if isinstance(error, ValueError) and "MAX_TEXT" in str(error):
        problem = f"contains more than {PngImagePlugin.MAX_TEXT_MEMORY >> 20} MiB of text"
        _refuse(where, problem, "Save it without metadata")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    _refuse(where, f"is damaged or cut off ({reason})", "Copy or export the file again")


def _refuse(where: object, problem: str, remedy: str, fault: Fault = Fault.UNREADABLE) -> NoReturn:
    raise PictureError(where, problem, remedy, fault)
