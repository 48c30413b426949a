"""Pictures of what the recipes of `scripts/nine` outline on held-out synthetic strips."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from contact_sheet import save
from nine_results import ALL, label_of, records_of
from records import Record, shown
from steelscan.data import Dataset
from steelscan.evaluation.metrics import Pairs, count_pixels, dice
from steelscan.pages import class_color
from steelscan.pages.outline import outline
from steelscan.strip import Masks, decode
from steelscan.strip.files import write_bytes

WIDTH = 1000
"""Pixels of a picture; it is legible at this width."""

GAP = 8
LINE = 20
"""Height in pixels of a line of text."""

MOST_BYTES = 150_000

Pixels = NDArray[np.uint8]


def write_strip(path: Path, place: Path, dataset: Dataset) -> bool:
    """Draw one held-out strip outlined by all that is done, with its truth; return if any is."""
    done = {name: record for name in ALL for record in records_of(place, name)}
    if not done:
        return False
    (row,) = shown(dataset, next(iter(done.values())).images, 1)
    truth, picture = dataset.masks(row), dataset.picture(row)
    width = (WIDTH - GAP) // 2
    tiles = [_titled("true masks", outline(picture, truth, width=width))]
    for name, record in done.items():
        masks = _masks(record, dataset, row)
        title = f"{label_of(name).strip(chr(96))}: Dice {dice_of(masks, truth):.2f}"
        tiles.append(_titled(title, outline(picture, masks, width=width)))
    if len(tiles) % 2:
        tiles.append(np.full_like(tiles[0], 255))
    rows = [_in_a_row(tiles[at : at + 2]) for at in range(0, len(tiles), 2)]
    legend = _legend(dataset.classes.names)
    write_bytes(path, _palette_png(_below([legend, *rows]), 64))
    return True


def write_found(path: Path, record: Record, dataset: Dataset) -> None:
    """Draw two held-out strips, true masks above and predicted ones below; under 150 kB."""
    tiles = [_legend(dataset.classes.names)]
    for row in shown(dataset, record.images):
        picture, truth, masks = (
            dataset.picture(row),
            dataset.masks(row),
            _masks(record, dataset, row),
        )
        tiles.append(_titled("true masks", outline(picture, truth, width=WIDTH)))
        title = f"predicted: Dice {dice_of(masks, truth):.2f}"
        tiles.append(_titled(title, outline(picture, masks, width=WIDTH)))
    drawn = _below(tiles)
    for greys in (64, 48, 32, 24, 16, 12, 8):
        content = _palette_png(drawn, greys)
        if len(content) < MOST_BYTES:
            break
    write_bytes(path, content)


def dice_of(masks: Masks, truth: Masks) -> float:
    """Return the mean Dice of a strip over the classes that it has."""
    pairs = Pairs.of([count_pixels(masks, truth)])
    return float(dice(pairs)[pairs.truth > 0].mean())


def _masks(record: Record, dataset: Dataset, row: int) -> Masks:
    """Return the predicted masks of a strip that the record keeps."""
    texts = record.masks[dataset.names[row]]
    return np.stack([decode(text, dataset.frames[row]) for text in texts])


def _titled(title: str, picture: Pixels) -> Pixels:
    """Return a picture with a line of text above."""
    line = Image.new("RGB", (picture.shape[1], LINE), "white")
    ImageDraw.Draw(line).text((0, 2), title, (40, 44, 52), _font())
    return np.vstack([np.asarray(line), picture])


def _legend(classes: Sequence[str]) -> Pixels:
    """Return a line with the colour of each class."""
    line = Image.new("RGB", (WIDTH, LINE), "white")
    draw, left = ImageDraw.Draw(line), 0.0
    for index, name in enumerate(classes):
        draw.rectangle((left, 6, left + 10, 16), class_color(index))
        draw.text((left + 16, 2), f"class {name}", (40, 44, 52), _font())
        left += 40 + draw.textlength(f"class {name}", _font())
    return np.asarray(line)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=14)


def _in_a_row(tiles: Sequence[Pixels]) -> Pixels:
    space = np.full((len(tiles[0]), GAP, 3), 255, np.uint8)
    return np.hstack([tiles[0], *(part for tile in tiles[1:] for part in (space, tile))])


def _below(tiles: Sequence[Pixels]) -> Pixels:
    space = np.full((GAP, WIDTH, 3), 255, np.uint8)
    return np.vstack([part for tile in tiles for part in (tile, space)])


def _palette_png(shown: Pixels, greys: int) -> bytes:
    content = io.BytesIO()
    save(shown, content, greys)
    return content.getvalue()
