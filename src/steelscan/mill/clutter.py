"""Harmless things on the steel, which are in no mask: paint, drops, stains, marks."""

import cv2
import numpy as np

from steelscan.mill.field import Field, blur, canvas, fractal, noise, smoothstep, white
from steelscan.mill.spec import Mill
from steelscan.mill.steel import Style


def add_clutter(rng: np.random.Generator, surface: Field, style: Style, mill: Mill) -> Field:
    """Return the surface with some harmless things added."""
    often = rng.random(6)
    if often[0] < 0.3:
        surface = surface + _stains(rng, mill)
    if often[1] < 0.35:
        surface = surface + _soft_bands(rng, mill)
    if often[2] < 0.6:
        surface = surface + _drops(rng, mill)
    if often[3] < 0.45:
        surface = surface + _nicks(rng, mill)
    if often[4] < 0.15:
        surface = surface + _paint(rng, mill)
    if often[5] < 0.3 and style.side:
        surface = surface + _flaked_end(rng, style, mill)
    return np.asarray(surface, np.float32)


def _stains(rng: np.random.Generator, mill: Mill) -> Field:
    """Water or oil: wide, slightly darker patches with one clear edge."""
    unit = mill.unit
    wet = fractal(rng, mill.frame, (130 * unit, 300 * unit), octaves=5)
    wet += 0.08 * white(rng, mill.frame) + np.float32(rng.normal(-0.9, 0.4))
    stain = -smoothstep(wet, 0.0, rng.uniform(0.2, 1.2))
    return np.asarray(np.float32(rng.uniform(0.06, 0.25)) * stain, np.float32)


def _soft_bands(rng: np.random.Generator, mill: Mill) -> Field:
    """Bright or dark bands along the rolling direction, with soft edges."""
    unit = mill.unit
    bands = canvas(mill.frame)
    x = np.arange(mill.width, dtype=np.float32)[None]
    for _ in range(int(rng.integers(1, 4))):
        wave = noise(rng, (mill.height, 1), (90 * unit, 1)) * np.float32(3 * unit)
        far = (x + wave - np.float32(rng.uniform(0, mill.width))) / (rng.uniform(4, 22) * unit)
        strength = rng.uniform(0.06, 0.2) * rng.choice([-1, 1])
        bands += (strength * np.exp(-(far**2))).astype(np.float32)
    return bands * (1 + 0.4 * fractal(rng, mill.frame, (60 * unit, 12 * unit)))


def _drops(rng: np.random.Generator, mill: Mill) -> Field:
    """Drops and bubbles: small dark dots or bright rings, alone or in clouds."""
    unit = mill.unit
    drawn = canvas(mill.frame)
    cloud = rng.uniform(0, [mill.width, mill.height])
    for _ in range(int(rng.integers(3, 25))):
        near = rng.random() < 0.5
        x, y = rng.normal(cloud, 60 * unit) if near else rng.uniform(0, [mill.width, mill.height])
        radius = max(1, round(rng.lognormal(0.5, 0.5) * unit))
        ring = rng.random() < 0.3
        tone = float(rng.uniform(0.1, 0.4)) if ring else float(rng.uniform(-0.55, -0.2))
        center = round(x), round(y)
        cv2.circle(drawn, center, radius, tone, 1 if ring else -1, cv2.LINE_AA)
    return blur(drawn, 0.8)


def _nicks(rng: np.random.Generator, mill: Mill) -> Field:
    """Short bright nicks in all directions."""
    drawn = canvas(mill.frame)
    for _ in range(int(rng.integers(3, 20))):
        start = rng.uniform(0, [mill.width, mill.height])
        angle, length = rng.uniform(0, np.pi), rng.lognormal(1.5, 0.5) * mill.unit
        stop = start + length * np.array([np.cos(angle), np.sin(angle)])
        ends = [(round(float(x)), round(float(y))) for x, y in (start, stop)]
        cv2.line(drawn, ends[0], ends[1], float(rng.uniform(0.3, 1.2)), 1, cv2.LINE_AA)
    return drawn


def _paint(rng: np.random.Generator, mill: Mill) -> Field:
    """White paint: blots in a few vertical rows, some as rings, with splashes."""
    unit = mill.unit
    frame = mill.frame
    sketch = canvas(frame)
    left = rng.uniform(0.2, 0.7) * mill.width
    for _ in range(int(rng.integers(2, 5))):
        x = left + rng.uniform(0, 130) * unit
        top, reach = rng.uniform(-0.1, 0.6) * mill.height, rng.uniform(0.15, 0.7) * mill.height
        for y in np.arange(top, top + reach, 11 * unit):
            radius = max(1, round(rng.uniform(3, 13) * unit))
            center = round(x + rng.normal(0, 5) * unit), round(float(y))
            cv2.circle(sketch, center, radius, float(rng.random() < 0.75), -1)
    for _ in range(int(rng.integers(5, 60))):
        spot = round(left + rng.normal(60, 110) * unit), round(rng.uniform(0, mill.height))
        cv2.circle(sketch, spot, max(1, round(rng.exponential(1.6) * unit)), 1.0, -1)
    ragged = blur(sketch, 3 * unit) + 0.25 * fractal(rng, frame, (14 * unit, 9 * unit), octaves=4)
    body = smoothstep(ragged, 0.38, 0.46)
    if rng.random() < 0.6:  # it dried at the rim: the middle stays grey
        body = body * (1 - 0.9 * smoothstep(ragged, 0.62, 0.7))
    return 2.2 * body * smoothstep(blur(sketch, 5 * unit), 0.01, 0.06)


def _flaked_end(rng: np.random.Generator, style: Style, mill: Mill) -> Field:
    """Scale flaked off near the end of the steel: dark and bright shreds."""
    unit = mill.unit
    x = np.arange(mill.width, dtype=np.float32)[None]
    stop = np.float32(style.black * mill.width)
    distance = (x - stop if style.side < 0 else mill.width - stop - x) / np.float32(60 * unit)
    near = np.exp(-((distance - np.float32(rng.uniform(0, 1.5))) ** 2))
    shreds = fractal(rng, mill.frame, (18 * unit, 30 * unit), octaves=4)
    grit = blur(white(rng, mill.frame), 0.8)
    flaked = smoothstep(shreds + near * 2.6 - 0.12 * np.abs(distance), 2.5, 2.75)
    tone = np.float32(rng.choice([-0.4, 0.35]))
    return np.asarray(flaked * (tone + 0.25 * grit), np.float32)
