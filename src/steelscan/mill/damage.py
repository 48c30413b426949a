"""How a defect changes the steel inside its outline.

Every painter returns a change, float32 ``(height, width)`` of the outline's box; the surface is
multiplied by 1 + change. Outlines are loose: the damage keeps a few pixels away from them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np

from steelscan.mill.field import Field, blur, canvas, fractal, noise, smoothstep, white
from steelscan.mill.outline import Outline
from steelscan.mill.spec import Mill
from steelscan.strip import Frame


@dataclass(frozen=True)
class DefectBox:
    """The box around the part of an outline that is in the frame.

    Attributes:
        rows: the box's rows of the frame.
        columns: the box's columns.
        depth: float32, distance in pixels to the outline (not to the picture's edge), 0 outside.
        across: float32, from about 0 at the outline's left edge to 1 at its right edge, tilted
            like the outline.
        breadth: mean width of the outline in pixels.
        unit: pixels per pixel of the reference frame.
    """

    rows: slice
    columns: slice
    depth: Field
    across: Field
    breadth: float
    unit: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the box."""
        return self.depth.shape[0], self.depth.shape[1]

    def body(self, ragged: Field | float = 0.0, margin: float = 4.0) -> Field:
        """Return 1 inside and 0 in the annotator's margin; ``ragged`` makes the border uneven."""
        # Annotators leave less margin around smaller defects.
        room = min(margin * self.unit, 0.3 * float(self.depth.max()))
        frayed = self.depth - np.maximum(ragged, 0) * np.float32(room)
        return smoothstep(frayed, 0.5 * room, 1.3 * room + 0.5)


Painter = Callable[[np.random.Generator, DefectBox, float], Field]


def add_damage(
    rng: np.random.Generator, surface: Field, outlines: Sequence[Outline], mill: Mill
) -> Field:
    """Return the surface with a defect in every outline."""
    damaged = surface.copy()
    for class_id, group in groupby(outlines, key=lambda outline: outline.class_id):
        variant = float(rng.random())  # the defects of one mask look alike
        faint = rng.random() < mill.faint_share
        strength = rng.uniform(0.2, 0.4) if faint else rng.uniform(0.8, 1.35)
        for outline in group:
            box = _cut_box(outline, mill.frame, mill.unit)
            change = _PAINTERS[class_id](rng, box, variant)
            change *= np.float32(strength * rng.uniform(0.85, 1.15))
            damaged[box.rows, box.columns] *= 1 + np.clip(change, -0.9, 2.5)
    return damaged


def _cut_box(outline: Outline, frame: Frame, unit: float) -> DefectBox:
    low = np.maximum(outline.polygon.min(0) - 1, 0)
    high = np.minimum(outline.polygon.max(0) + 2, [frame.width, frame.height])
    rows, columns = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
    pad = 64  # the polygon continues beyond the picture's edge, and so must its depth
    size = (rows.stop - rows.start + 2 * pad, columns.stop - columns.start + 2 * pad)
    drawn = np.zeros(size, np.uint8)
    cv2.fillPoly(drawn, [outline.polygon - [columns.start - pad, rows.start - pad]], 1)
    if rows.start == 0:
        drawn[:pad] = drawn[pad]
    if rows.stop == frame.height:
        drawn[-pad:] = drawn[-pad - 1]
    depth = np.asarray(cv2.distanceTransform(drawn, cv2.DIST_L2, 3), np.float32)
    drawn, depth = drawn[pad:-pad, pad:-pad], depth[pad:-pad, pad:-pad]
    width = drawn.shape[1]
    left = drawn.argmax(1)[:, None]
    right = width - 1 - drawn[:, ::-1].argmax(1)[:, None]
    breadth = float(np.maximum(right - left, 1).mean())
    y = np.arange(drawn.shape[0])
    axis = np.polyval(np.polyfit(y, (left + right)[:, 0] / 2, 1), y)[:, None]
    across = ((np.arange(width)[None] - axis) / breadth + 0.5).astype(np.float32)
    return DefectBox(rows, columns, depth, across, breadth, unit)


def _threads(
    rng: np.random.Generator, box: DefectBox, cell: tuple[float, float], octaves: int = 1
) -> Field:
    """Noise in threads that follow the outline's edges; ``cell`` (along, across) in pixels."""
    height = box.shape[0]
    breadth = max(2, round(box.breadth))
    sheet = fractal(rng, (height, breadth), (cell[0] * box.unit, cell[1]), octaves)
    along = np.repeat(np.arange(height, dtype=np.float32)[:, None], box.shape[1], 1)
    across = box.across * np.float32(breadth - 1)
    bent = cv2.remap(sheet, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(bent, np.float32)


def _grit(rng: np.random.Generator, box: DefectBox, sigma: float) -> Field:
    """Noise of deviation 1, blurred by ``sigma`` pixels."""
    grain = blur(white(rng, box.shape), sigma)
    return grain / np.float32(max(float(grain.std()), 1e-3))


def _pits(rng: np.random.Generator, box: DefectBox, variant: float) -> Field:
    """Class 1: a few elongated dark pits with bright flecks."""
    unit = box.unit
    dark, bright = canvas(box.shape), canvas(box.shape)
    ys, xs = np.nonzero(box.depth >= min(4 * unit, 0.45 * float(box.depth.max())))
    crowd = smoothstep(fractal(rng, box.shape, (18 * unit, 12 * unit)), -1.2, 1)
    chance = np.cumsum((crowd * box.depth)[ys, xs] + 0.01)
    count = 2 + int(xs.size / (110 * unit**2 + 20))
    for pick in np.searchsorted(chance, rng.uniform(0, chance[-1], count)):
        x, y = int(xs[pick]), int(ys[pick])
        across = max(1, round(rng.uniform(1, 3.5) * unit))
        along = max(1, round(across * rng.uniform(1, 3)))
        cv2.ellipse(dark, (x, y), (across, along), rng.normal(0, 10), 0, 360, 1.0, -1)
        if rng.random() < 0.3 + 0.5 * variant:
            fleck = (max(1, across // 2), max(1, along // 2))
            cv2.ellipse(bright, (x + across, y), fleck, rng.normal(0, 20), 0, 360, 1.0, -1)
    rough = 0.12 * _grit(rng, box, 1.0) - 0.1
    tone = -0.6 * blur(dark, 0.7 + 0.4 * unit) + (0.7 + 0.9 * variant) * blur(bright, 0.7)
    return np.asarray((tone + rough) * box.body(), np.float32)


def _lines(
    rng: np.random.Generator, box: DefectBox, spacing: float, thick: tuple[float, float]
) -> Field:
    """Scratches along the outline, 0 to 1, of different position, depth, width and wear."""
    height, unit = box.shape[0], box.unit
    count = max(1, round(box.breadth / (spacing * unit + 2)))
    total = canvas(box.shape)
    for line in range(count):
        middle = (line + 0.5 + rng.normal(0, 0.25 if count > 1 else 0.07)) / count
        wander = noise(rng, (height, 1), (90 * unit, 1)) * np.float32(0.7 * unit)
        off = (box.across - np.float32(middle)) * np.float32(box.breadth) - wander
        worn = 0.75 + 0.3 * noise(rng, (height, 1), (70 * unit, 1))
        worn += 0.12 * noise(rng, (height, 1), (9 * unit, 1))
        width = np.float32(max(0.7, rng.uniform(*thick) * unit))
        depth = 1.0 if count == 1 else rng.uniform(0.45, 1.0)
        total = np.maximum(total, np.float32(depth) * worn / (1 + (off / width) ** 4))
    return np.clip(total, 0, 1.2)


def _hairlines(rng: np.random.Generator, box: DefectBox, variant: float) -> Field:
    """Class 2: one or two thin, faint, uneven lines along the outline."""
    dark = _lines(rng, box, 13, (0.9, 2.0))
    change = -0.5 * dark - 0.1
    if variant > 0.5:
        change = change + 0.35 * np.roll(dark, max(2, round(3 * box.unit)), axis=1)
    return np.asarray(change * box.body(margin=2), np.float32)


def _scratches(rng: np.random.Generator, box: DefectBox, variant: float) -> Field:
    """Class 3: dark scratches, bright scratches, chatter marks or a bright winding trace."""
    unit = box.unit
    if variant < 0.5:
        lines = _lines(rng, box, 16, (1.2, 4.5))
        threads = smoothstep(_threads(rng, box, (150, 2.5)), 0.3, 1.6)
        glint = smoothstep(_threads(rng, box, (18, 1.6)), 1.4, 2.4)
        change = -0.06 - 0.65 * lines - 0.25 * threads + 0.45 * glint * (lines + 0.3)
    elif variant < 0.7:
        core = _lines(rng, box, 24, (2.0, 5.0))
        shadow = np.roll(core, max(2, round(5 * unit)), axis=1)
        change = core * (0.8 + 0.45 * _grit(rng, box, 0.8)) - 0.35 * shadow - 0.08
    elif variant < 0.87:
        columns = _lines(rng, box, 20, (3.0, 8.0))
        chatter = _threads(rng, box, (9, 5), octaves=3)
        shade = chatter - np.roll(chatter, 2, axis=1)
        tracks = smoothstep(_threads(rng, box, (5, 30)), 1.0, 2.0) * 0.4
        pits = (columns + tracks) * smoothstep(chatter, -0.6, 0.6)
        change = columns * 0.3 * np.clip(shade, -0.5, 3) - 0.7 * pits - 0.06
    else:
        path = noise(rng, (box.shape[0], 1), (70 * unit, 1)) * np.float32(0.1) + 0.5
        trace = np.exp(-(((box.across - path) / 0.27) ** 2))
        glints = np.maximum(_grit(rng, box, 1.0), -0.6)
        change = trace * (0.35 + 0.5 * glints)
    return np.asarray(change * box.body(_threads(rng, box, (20, 3)), margin=3), np.float32)


def _rough_patch(rng: np.random.Generator, box: DefectBox, variant: float) -> Field:
    """Class 4: relief lit from one side, dark or bright, with a bright rim and a shadow."""
    unit = box.unit
    relief = fractal(rng, box.shape, (38 * unit, 45 * unit), octaves=4)
    body = box.body(1.3 * relief + 0.8, margin=7)
    slope = np.asarray(cv2.Sobel(relief + 1.5 * body, cv2.CV_32F, 1, 1, ksize=3), np.float32)
    slope += 0.5 * (relief - np.roll(relief, max(1, round(2 * unit)), axis=0))
    shade = blur(slope, 0.8 * max(unit, 0.4))
    shade = np.clip(shade / np.float32(max(float(shade.std()), 1e-3)), -2.5, 3)
    edge = body * (1 - body) * 4
    if variant < 0.3:  # broken scale: flat and dark
        change = body * (-0.42 + 0.06 * shade + 0.05 * relief) - 0.25 * edge
    elif variant < 0.8:  # rolled in: rough, with bright ridges
        change = body * (-0.35 + 0.28 * shade + 0.12 * relief)
        change += 0.5 * edge * smoothstep(relief, 0.0, 1.0) - 0.3 * edge
    else:  # a raised shell: bright
        change = body * (0.15 + 0.5 * shade + 0.25 * relief) - 0.4 * edge
    return np.asarray(change + 0.05 * body * _grit(rng, box, 0.8), np.float32)


_PAINTERS: dict[int, Painter] = {1: _pits, 2: _hairlines, 3: _scratches, 4: _rough_patch}
