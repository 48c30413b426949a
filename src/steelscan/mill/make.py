"""One strip of the mill: a scene on the steel, and the camera's picture of it."""

from dataclasses import dataclass

import cv2
import numpy as np

from steelscan.mill.clutter import add_clutter
from steelscan.mill.damage import add_damage
from steelscan.mill.field import Field, blur, white
from steelscan.mill.outline import Outline, draw_outlines, fill
from steelscan.mill.rolls import Stream, name_of, roll_of, scene_of, stream
from steelscan.mill.spec import Mill
from steelscan.mill.steel import Style, bare_steel, draw_style, light
from steelscan.strip import InputError, Masks, Picture


@dataclass(frozen=True)
class MilledStrip:
    """A strip with its truth: no pixel has two classes.

    Attributes:
        name: nine hexadecimal digits and ``.jpg``.
        picture: uint8 ``(height, width)``.
        masks: bool ``(4, height, width)``.
        roll: the group of strips that share steel, light and camera.
    """

    name: str
    picture: Picture
    masks: Masks
    roll: int


def make_strip(mill: Mill, index: int) -> MilledStrip:
    """Make strip ``index``, counted from 0: the same values always, in any order or process.

    Raises InputError when the mill has no such strip.
    """
    scene, roll = _find(mill, index)
    style = draw_style(stream(mill, Stream.STYLE, roll), mill)
    outlines = _outlines(mill, scene, style)
    rng = stream(mill, Stream.STEEL, scene)
    surface = bare_steel(rng, style, mill)
    surface = add_clutter(stream(mill, Stream.CLUTTER, scene), surface, style, mill)
    surface = add_damage(stream(mill, Stream.DAMAGE, scene), surface, outlines, mill)
    lit = light(rng, surface, style, _steel(mill, scene, style), mill)
    shift = _shift(mill, index, scene)
    picture = _expose(mill, index, np.asarray(_moved(lit, shift), np.float32), style)
    return MilledStrip(name_of(mill, index), picture, _masks(mill, outlines, shift), roll)


def make_masks(mill: Mill, index: int) -> Masks:
    """Make only the masks of strip ``index``: bool ``(4, height, width)``, as `make_strip` does.

    Raises InputError when the mill has no such strip.
    """
    scene, roll = _find(mill, index)
    style = draw_style(stream(mill, Stream.STYLE, roll), mill)
    return _masks(mill, _outlines(mill, scene, style), _shift(mill, index, scene))


def _find(mill: Mill, index: int) -> tuple[int, int]:
    if not 0 <= index < mill.strips:
        raise InputError(f"strip {index}", f"the mill has {mill.strips} strips", "Count from 0")
    return scene_of(mill, index), roll_of(mill, index)


def _steel(mill: Mill, scene: int, style: Style) -> range:
    """The columns that show steel; beyond them it is black."""
    wander = stream(mill, Stream.CLASSES, scene).normal(0, 0.02)
    black = round(min(max(style.black + wander, 0.01), 0.9) * mill.width)
    if style.side == 0:
        return range(mill.width)
    return range(black, mill.width) if style.side < 0 else range(mill.width - black)


def _outlines(mill: Mill, scene: int, style: Style) -> list[Outline]:
    rng = stream(mill, Stream.OUTLINES, scene)
    if rng.random() < mill.clean_share:
        return []
    weights = np.array([weight for _, weight in mill.combinations])
    chosen = rng.choice(weights.size, p=weights / weights.sum())
    class_ids = mill.combinations[chosen][0]
    return draw_outlines(rng, mill, class_ids, _steel(mill, scene, style))


def _shift(mill: Mill, index: int, scene: int) -> tuple[int, int]:
    """How far a near-duplicate lies off the strip that it repeats: columns, rows."""
    if index == scene:
        return 0, 0
    most = max(1, round(6 * mill.unit))
    across, along = stream(mill, Stream.REPEAT, index).integers(-most, most + 1, 2)
    return int(across), int(along)


def _moved(plane: Field | Picture, shift: tuple[int, int]) -> cv2.typing.MatLike:
    """Shift a picture or a mask; what comes into view mirrors what is beside it."""
    if shift == (0, 0):
        return plane
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    size = plane.shape[1], plane.shape[0]
    return cv2.warpAffine(
        plane, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
    )


def _masks(mill: Mill, outlines: list[Outline], shift: tuple[int, int]) -> Masks:
    masks = fill(outlines, mill)
    for plane in masks:
        plane[:] = np.asarray(_moved(plane.view(np.uint8), shift)) > 0
    return masks


def _expose(mill: Mill, index: int, lit: Field, style: Style) -> Picture:
    """The camera: brightness of the day, sensor noise, 8 bits."""
    rng = stream(mill, Stream.CAMERA, index)
    lit = lit * np.float32(rng.uniform(0.95, 1.05))
    grain = 0.75 * white(rng, mill.frame) + 0.9 * blur(white(rng, mill.frame), 0.8)
    seen = lit + np.float32(style.noise) * (0.08 + 0.92 * lit / 100) * grain
    return np.clip(seen, 0, 255).astype(np.uint8)
