"""Make one strip: steel with defects, and the camera's picture of it."""

from dataclasses import dataclass

import cv2
import numpy as np

from steelscan.mill.clutter import add_clutter
from steelscan.mill.damage import add_damage
from steelscan.mill.field import Field, blur, white
from steelscan.mill.outline import Outline, draw_masks, draw_outlines
from steelscan.mill.rolls import Stream, name_of, roll_of, scene_of, stream
from steelscan.mill.spec import Mill
from steelscan.mill.steel import bare_steel, draw_style, light
from steelscan.strip import Masks, Picture
from steelscan.strip.errors import InputError


@dataclass(frozen=True)
class MilledStrip:
    """A strip with its true masks; no pixel has two classes.

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
    """Make strip ``index``, counted from 0: always the same, in any order or process.

    Raises InputError if the mill has no such strip.
    """
    scene = Scene(mill, index)
    return MilledStrip(name_of(mill, index), scene.picture(), scene.masks(), scene.roll)


class Scene:
    """The piece of steel that a strip shows, with its defects, and the camera's view of it."""

    def __init__(self, mill: Mill, index: int) -> None:
        """Draw where the defects are. Raises InputError if the mill has no such strip."""
        if not 0 <= index < mill.strips:
            problem = f"the mill has {mill.strips} strips"
            raise InputError(f"strip {index}", problem, "Give an index from 0")
        self._mill, self._index = mill, index
        self._scene = scene_of(mill, index)
        self.roll = roll_of(mill, index)
        self._style = draw_style(stream(mill, Stream.STYLE, self.roll), mill)
        self._steel = self._steel_columns()
        self._outlines = self._draw_outlines()
        self._shift = self._draw_shift()

    def masks(self) -> Masks:
        """Return the masks: bool ``(4, height, width)``."""
        masks = draw_masks(self._outlines, self._mill)
        for plane in masks:
            plane[:] = np.asarray(self._shifted(plane.view(np.uint8))) > 0
        return masks

    def picture(self) -> Picture:
        """Return the picture: uint8 ``(height, width)``."""
        mill, style = self._mill, self._style
        rng = self._stream(Stream.STEEL)
        surface = bare_steel(rng, style, mill)
        surface = add_clutter(self._stream(Stream.CLUTTER), surface, style, mill)
        surface = add_damage(self._stream(Stream.DAMAGE), surface, self._outlines, mill)
        lit = light(rng, surface, style, self._steel, mill)
        return self._expose(np.asarray(self._shifted(lit), np.float32))

    def _stream(self, purpose: Stream) -> np.random.Generator:
        return stream(self._mill, purpose, self._scene)

    def _steel_columns(self) -> range:
        """Return the columns that show steel; the others are black."""
        width, style = self._mill.width, self._style
        wander = self._stream(Stream.CLASSES).normal(0, 0.02)
        black = round(min(max(style.black + wander, 0.01), 0.9) * width)
        if style.side == 0:
            return range(width)
        return range(black, width) if style.side < 0 else range(width - black)

    def _draw_outlines(self) -> list[Outline]:
        mill, rng = self._mill, self._stream(Stream.OUTLINES)
        if rng.random() < mill.clean_share:
            return []
        weights = np.array([weight for _, weight in mill.combinations])
        chosen = rng.choice(weights.size, p=weights / weights.sum())
        return draw_outlines(rng, mill, mill.combinations[chosen][0], self._steel)

    def _draw_shift(self) -> tuple[int, int]:
        """Draw the offset, columns and rows, of a near-duplicate from the strip that it repeats."""
        if self._index == self._scene:
            return 0, 0
        most = max(1, round(6 * self._mill.unit))
        rng = stream(self._mill, Stream.REPEAT, self._index)
        across, along = rng.integers(-most, most + 1, 2)
        return int(across), int(along)

    def _shifted(self, plane: Field | Picture) -> cv2.typing.MatLike:
        """Shift a picture or a mask; reflect it at the border."""
        if self._shift == (0, 0):
            return plane
        matrix = np.array([[1, 0, self._shift[0]], [0, 1, self._shift[1]]], np.float64)
        size = plane.shape[1], plane.shape[0]
        return cv2.warpAffine(
            plane, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
        )

    def _expose(self, lit: Field) -> Picture:
        """Apply the camera: exposure, sensor noise, 8 bits."""
        frame = self._mill.frame
        rng = stream(self._mill, Stream.CAMERA, self._index)
        lit = lit * np.float32(rng.uniform(0.95, 1.05))
        grain = 0.75 * white(rng, frame) + 0.9 * blur(white(rng, frame), 0.8)
        noisy = lit + np.float32(self._style.noise) * (0.08 + 0.92 * lit / 100) * grain
        return np.clip(noisy, 0, 255).astype(np.uint8)
