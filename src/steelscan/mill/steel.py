"""Steel without defects: the surface and the light that the strips of a roll share.

A surface is a float32 field ``(height, width)``, 1 where the steel reflects as usual.
"""

from dataclasses import dataclass

import numpy as np

from steelscan.mill.field import Field, blur, canvas, fractal, noise, resize, smoothstep, white
from steelscan.mill.spec import Mill


@dataclass(frozen=True)
class Style:
    """Properties that the strips of a roll share; strengths range from 0 to about 1."""

    brightness: float
    """Grey level of the brightest part."""
    peak: float
    """Position along the width at which the light is brightest, 0 to 1."""
    falloff: float
    """Share of the light that is lost at the far end of the width."""
    slope: float
    """Loss of light from the bright to the dark long edge; negative if the upper edge is bright."""
    noise: float
    """Deviation of the sensor noise at grey level 100."""
    side: int
    """The end of the steel in the picture: -1 left, 1 right, 0 none."""
    black: float
    """Share of the width beyond that end."""
    grain: float
    mottle: float
    bands: float
    lines: float
    speckle: float
    ripple: float
    scale: float
    streaks: float
    checker: float


def draw_style(rng: np.random.Generator, mill: Mill) -> Style:
    """Draw the properties of a roll."""

    def sometimes(share: float, low: float = 0.3) -> float:
        present, strength = rng.random(2)
        return float(low + (1 - low) * strength) if present < share else 0.0

    return Style(
        brightness=float(np.clip(rng.lognormal(np.log(112), 0.24), 55, 175)),
        peak=float(rng.uniform(0.35, 0.65)),
        falloff=float(rng.uniform(0.3, 0.6)),
        slope=float(rng.choice([-0.4, 1.0], p=[0.25, 0.75]) * rng.beta(1.3, 1.8)),
        noise=float(rng.uniform(3.0, 8.0)),
        side=int(rng.choice([-1, 1]) * (rng.random() < mill.black_share)),
        black=float(0.02 + 0.7 * rng.random() ** 1.7),
        grain=float(rng.uniform(0.03, 0.1)),
        mottle=float(rng.uniform(0.2, 1)),
        bands=float(rng.uniform(0.1, 1)),
        lines=float(rng.uniform(0.2, 1)),
        speckle=sometimes(0.4),
        ripple=sometimes(0.25),
        scale=sometimes(0.3),
        streaks=sometimes(0.35),
        checker=sometimes(0.03, low=0.8),
    )


def bare_steel(rng: np.random.Generator, style: Style, mill: Mill) -> Field:
    """Return the surface of one strip with nothing on it."""
    shape, unit = mill.frame, mill.unit
    surface = np.float32(1) + np.float32(0.055 * style.mottle) * fractal(
        rng, shape, (90 * unit, 120 * unit), octaves=4
    )
    across = noise(rng, (1, mill.width), (1, 45 * unit)) + 0.6 * noise(
        rng, (1, mill.width), (1, 9 * unit)
    )
    surface += (
        np.float32(0.055 * style.bands)
        * across
        * (1 + 0.5 * noise(rng, shape, (150 * unit, 60 * unit)))
    )
    surface += np.float32(0.03 * style.lines) * noise(rng, shape, (1, 25 * unit))
    surface += np.float32(0.03 * style.bands) * noise(rng, shape, (70 * unit, 1.5))
    surface += _grain(rng, style, mill)
    if style.speckle:
        surface += _speckle(rng, style.speckle, mill)
    if style.ripple:
        surface += _ripple(rng, style.ripple, mill)
    if style.scale:
        surface += _scale(rng, style.scale, mill)
    if style.streaks:
        surface += _streaks(rng, style.streaks, mill)
    if style.checker:
        surface += _checker(rng, style.checker, mill)
    return surface


def light(
    rng: np.random.Generator, surface: Field, style: Style, steel: range, mill: Mill
) -> Field:
    """Return grey levels of a surface in the roll's light, black outside the columns ``steel``."""
    height, width = mill.frame
    x = np.linspace(0, 1, width, dtype=np.float32)
    far = np.abs(x - style.peak) / max(style.peak, 1 - style.peak)
    along = 1 - np.float32(style.falloff) * far**1.7
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    dark = y if style.slope < 0 else 1 - y
    strength = abs(style.slope)
    # A lamp close to one long edge makes a saturated spot in the middle.
    lobe = (1 + 1.1 * strength * (1 - dark) ** 2) * (1 - 0.45 * strength * dark)
    lamp = np.float32(style.brightness) * along * (1 + (lobe - 1) * (1 - 0.6 * far))
    lit = np.maximum(surface, 0.03) * lamp
    if len(steel) == width:
        return np.asarray(lit, np.float32)
    wave = noise(rng, (height, 1), (90 * mill.unit, 1)) * np.float32(0.6 * mill.unit)
    column = np.arange(width, dtype=np.float32)[None]
    distance = column - steel.start if steel.start else steel.stop - column
    depth = (distance + wave) / np.float32(max(mill.unit, 0.3))
    rim = 1 - 0.45 * np.exp(-np.maximum(depth, 0) / 12) + 0.25 * np.exp(-(((depth - 9) / 2.5) ** 2))
    glow = np.float32(style.brightness * 0.03) * np.exp(np.minimum(depth, 0) / 150)
    return np.asarray(np.where(depth > 0, lit * rim, 0.6 + glow), np.float32)


def _grain(rng: np.random.Generator, style: Style, mill: Mill) -> Field:
    """The grain of rolled steel, rougher in places, with a few dark specks."""
    sand = white(rng, mill.frame)
    sand = blur(sand, 0.6) + 0.8 * blur(sand, 1.1)
    rough = 1 + 0.25 * noise(rng, mill.frame, (80 * mill.unit, 160 * mill.unit))
    specks = np.minimum(sand + np.float32(3.0), 0)
    return np.asarray(np.float32(style.grain) * sand * rough + 0.6 * specks, np.float32)


def _speckle(rng: np.random.Generator, strength: float, mill: Mill) -> Field:
    """Bright points of rough steel, dense in some bands."""
    unit = mill.unit
    where = smoothstep(fractal(rng, mill.frame, (120 * unit, 160 * unit)), -0.3, 1.6)
    glints = blur(white(rng, mill.frame), 0.6 + 0.4 * min(unit, 1)) * np.float32(3.2)
    glints = np.maximum(glints - 1.7, 0) - np.float32(0.08)
    return np.asarray(np.float32(0.7 * strength) * where * glints, np.float32)


def _ripple(rng: np.random.Generator, strength: float, mill: Mill) -> Field:
    """Nearly horizontal waves across the strip."""
    unit = mill.unit
    y = np.arange(mill.height, dtype=np.float32)[:, None] / np.float32(unit)
    bend = noise(rng, mill.frame, (200 * unit, 350 * unit)) * 14
    fine = noise(rng, mill.frame, (20 * unit, 45 * unit)) * 2.2
    waves = 0.6 * np.sin((y + bend + fine) * np.float32(2 * np.pi / rng.uniform(7, 16)))
    waves += 0.7 * noise(rng, mill.frame, (3 * unit, 45 * unit))
    where = smoothstep(fractal(rng, mill.frame, (110 * unit, 240 * unit)), -0.5, 1.6)
    return np.asarray(np.float32(0.14 * strength) * where * waves, np.float32)


def _scale(rng: np.random.Generator, strength: float, mill: Mill) -> Field:
    """Thin scale that flaked off: two greys with a clear border."""
    unit = mill.unit
    flakes = fractal(rng, mill.frame, (60 * unit, 12 * unit), octaves=4)
    where = noise(rng, mill.frame, (170 * unit, 200 * unit))
    flakes += 0.15 * white(rng, mill.frame) + 0.9 * where
    tone = np.float32(rng.choice([-0.2, 0.16]) * strength)
    return np.asarray(tone * smoothstep(flakes, 0.9, 1.4), np.float32)


def _streaks(rng: np.random.Generator, strength: float, mill: Mill) -> Field:
    """Short dull streaks along the rolling direction, softer than scratches and harmless."""
    unit = mill.unit
    threads = fractal(rng, mill.frame, (45 * unit, 4 * unit), octaves=2)
    where = noise(rng, mill.frame, (110 * unit, 90 * unit))
    return np.float32(-0.17 * strength) * smoothstep(threads + where, 1.3, 3.0)


def _checker(rng: np.random.Generator, strength: float, mill: Mill) -> Field:
    """A checker plate: bright ribs in two directions, each next to its shadow."""
    unit = mill.unit
    y = np.arange(mill.height, dtype=np.float32)[:, None] / np.float32(128 * unit)
    x = np.arange(mill.width, dtype=np.float32)[None] / np.float32(rng.uniform(85, 115) * unit)
    x, y = x + np.float32(rng.random()), y + np.float32(rng.random())
    ribs = canvas(mill.frame)
    for phase in (x + y, x - y):
        off = phase - np.round(phase)
        ribs += 0.35 * np.exp(-((off / 0.035) ** 2)) - 0.75 * np.exp(-(((off - 0.07) / 0.03) ** 2))
        ribs -= 0.35 * np.exp(-(((off + 0.06) / 0.025) ** 2))
    worn = resize(white(rng, (4, 12)), mill.frame) * np.float32(0.2) + 1
    return np.asarray(np.float32(strength) * ribs * worn, np.float32)
