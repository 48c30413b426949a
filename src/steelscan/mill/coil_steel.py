"""The steel of a coil side, made in blocks that fade into each other.

Block k is drawn from its own random numbers and reaches a fade beyond its ends. Where two blocks
overlap, the cosine and the sine of one angle weight their deviations, so that their variance
stays the same. A pixel thus depends on its place on the coil only, not on how the coil is cut.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from steelscan.mill.clutter import add_clutter
from steelscan.mill.coil_spec import CoilMill, CoilStream, piece_of
from steelscan.mill.field import Field, blur, white
from steelscan.mill.steel import bare_steel, draw_style

_BLOCK, _FADE = 2048, 512  # in pixels of the reference frame


class CoilSteel:
    """Steel without defects, the light and the noise of the cameras, of one side of a coil."""

    def __init__(self, mill: CoilMill, coil: int, side: int) -> None:
        self._mill, self._coil, self._side = mill, coil, side
        self._length = max(64, round(_BLOCK * mill.unit))
        self._fade = max(16, round(_FADE * mill.unit))
        self._piece = piece_of(mill, self._length + self._fade)
        rng = mill.stream(CoilStream.STYLE, coil, side)
        # The ribs of a checker plate would not meet between blocks.
        self._style = replace(draw_style(rng, self._piece), checker=0.0)
        self._lamp = self._draw_lamp(rng)
        self._block = lru_cache(maxsize=2)(self._make_block)

    def surface(self, start: int, stop: int) -> tuple[Field, Field]:
        """Return reflection and noise, each float32 ``(stop - start, across)``.

        The reflection is 1 where the steel reflects as usual; the noise has deviation 1.
        """
        total = np.zeros((2, stop - start, self._mill.across), np.float32)
        for number in range(max(0, start - self._fade) // self._length, stop // self._length + 1):
            first = number * self._length
            block = self._block(number)
            low, high = max(start, first), min(stop, first + block.shape[1])
            total[:, low - start : high - start] += block[:, low - first : high - first]
        return total[0] + 1, total[1]

    def expose(self, surface: Field, noise: Field) -> Field:
        """Return the grey levels, from 0 to 255, of a surface in this light; black beyond edges."""
        lit = np.maximum(surface, 0.03) * self._lamp
        grain = np.float32(self._style.noise) * (0.08 + 0.92 * lit / 100)
        return np.asarray(np.clip(lit + 0.6 + grain * noise, 0, 255), np.float32)

    def _make_block(self, number: int) -> Field:
        mill, piece, style = self._mill, self._piece, self._style
        rng = mill.stream(CoilStream.STEEL, self._coil, self._side, number)
        steel = add_clutter(rng, bare_steel(rng, style, piece), style, piece) - 1
        grain = 0.75 * white(rng, piece.frame) + 0.9 * blur(white(rng, piece.frame), 0.8)
        row = np.arange(piece.height, dtype=np.float32)[:, None] + 0.5
        begin = np.clip(row / self._fade, 0, 1) if number else np.ones_like(row)
        end = np.clip((piece.height - row) / self._fade, 0, 1)
        weight = np.sin(np.float32(np.pi / 2) * begin) * np.sin(np.float32(np.pi / 2) * end)
        return np.asarray(np.stack([steel, grain]) * weight, np.float32)

    def _draw_lamp(self, rng: np.random.Generator) -> Field:
        """Return the light across the coil, float32 ``(across,)``: cameras differ slightly."""
        mill, style = self._mill, self._style
        x = np.arange(mill.across, dtype=np.float32)
        far = np.abs(x / mill.across - style.peak) / max(style.peak, 1 - style.peak)
        gain = np.repeat(rng.uniform(0.94, 1.06, mill.cameras), mill.height)
        lamp = style.brightness * (1 - 0.5 * style.falloff * far**1.7) * gain
        depth = np.minimum(x - mill.margin, mill.across - mill.margin - 1 - x) / mill.unit
        inside = np.maximum(depth, 0)
        rim = 1 - 0.45 * np.exp(-inside / 12) + 0.25 * np.exp(-(((depth - 9) / 2.5) ** 2))
        return np.asarray(np.where(depth >= 0, lamp * rim, 0), np.float32)
