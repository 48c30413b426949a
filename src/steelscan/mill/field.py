"""Random fields, from which textures are made. All are float32 ``(height, width)``."""

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def white(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Independent normal values: mean 0, deviation 1."""
    return rng.standard_normal(shape, dtype=np.float32)


def noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float]) -> Field:
    """Smooth values of mean 0 and deviation about 1, interpolated over ``cell`` pixels (y, x)."""
    height, width = shape
    cells = (
        min(height, round(height / max(cell[0], 1)) + 2),
        min(width, round(width / max(cell[1], 1)) + 2),
    )
    coarse = white(rng, cells)
    if cells == shape:
        return coarse
    return resize(coarse, shape) * np.float32(1.25)  # interpolation smooths by a fifth


def fractal(
    rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float], octaves: int = 3
) -> Field:
    """Noise with ``octaves`` sizes of cells, each half of the one before; deviation about 1."""
    total = noise(rng, shape, cell)
    for octave in range(1, octaves):
        finer = (cell[0] / 2**octave, cell[1] / 2**octave)
        total += np.float32(0.6**octave) * noise(rng, shape, finer)
    return total / np.float32(sum(0.36**octave for octave in range(octaves)) ** 0.5)


def smoothstep(field: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, with a smooth step between."""
    t = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def resize(field: Field, shape: tuple[int, int]) -> Field:
    """Enlarge a field smoothly."""
    large = cv2.resize(field, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.float32)


def blur(field: Field, sigma: float) -> Field:
    """Gaussian blur; ``sigma`` in pixels."""
    return np.asarray(cv2.GaussianBlur(field, (0, 0), max(sigma, 0.3)), np.float32)


def canvas(shape: tuple[int, int]) -> Field:
    """An empty field to draw on."""
    return np.zeros(shape, np.float32)
