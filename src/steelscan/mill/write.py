"""Write a milled data set in the layout of the competition."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2

from steelscan.mill.make import make_strip
from steelscan.mill.rolls import first_of_next_roll, name_of
from steelscan.mill.spec import Mill
from steelscan.strip import Frame, Picture, encode, track
from steelscan.strip.errors import OutputError
from steelscan.strip.files import output_folder, writing
from steelscan.strip.tables import write_mask_table, write_rows

_QUALITY = 92  # of the JPEG files, of 100

_LEAST = 0.1
"""Least bytes of a pixel on disk."""


def write_mill(mill: Mill, folder: Path, test_strips: int = 0) -> None:
    """Make all strips and write them in the layout of the competition.

    Writes ``train_images/*.jpg`` (grey), ``train.csv`` (one row per class on a strip, none for
    clean strips) and ``groups.csv`` (image, group: the roll); with ``test_strips`` also
    ``test_images/*.jpg`` from other rolls, and their masks as ``test.csv``. ``train.csv`` is
    written last: if it is missing, the same call completes the folder.

    Raises OutputError if the folder contains other pictures or a complete data set, cannot be
    written, or is on a disk without enough space.
    """
    refuse_too_much(mill.frame, folder, mill.strips + test_strips)
    train = range(mill.strips)
    start = first_of_next_roll(mill)
    whole = mill.but(strips=start + max(test_strips, 1))
    test = range(start, start + test_strips)
    parts = {"train_images": train, "test_images": test}
    names = {part: [name_of(whole, index) for index in parts[part]] for part in parts}
    refuse_filled(folder, names)
    if test_strips:
        truth, _ = _write_pictures(whole, test, folder / "test_images")
        write_mask_table(folder / "test.csv", truth, "columns")
    truth, rolls = _write_pictures(whole, train, folder / "train_images")
    groups = ((name, f"roll{roll:05d}") for name, roll in rolls.items())
    write_rows(folder / "groups.csv", ("image", "group"), groups)
    write_mask_table(folder / "train.csv", truth, "columns")


def refuse_too_much(frame: Frame, folder: Path, strips: int) -> None:
    """Raise OutputError without enough space; pictures of an interrupted call are replaced."""
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    least = int(_LEAST * strips * frame.pixels)
    with writing(folder):
        free = shutil.disk_usage(there).free
        if least > free and there == folder.resolve():
            free += sum(path.stat().st_size for path in folder.glob("*_images/*.jpg"))
    if least > free:
        problem = f"{strips} strips of {frame} need {least} bytes, {free} bytes are free"
        raise OutputError(folder, problem, "Make fewer or smaller strips, or choose another disk")


def refuse_filled(folder: Path, parts: Mapping[str, Iterable[str]]) -> None:
    """Raise OutputError for a data set, or files in a part that are not among its names."""
    remedy = "Choose an empty folder, or remove this one first"
    if (folder / "train.csv").exists():
        raise OutputError(folder / "train.csv", "a data set exists already", remedy)
    for part, names in parts.items():
        ours = set(names)
        for path in sorted((folder / part).glob("*")):
            if path.name not in ours:
                raise OutputError(path, "this file is not one of this mill", remedy)


def _write_pictures(
    mill: Mill, indices: range, folder: Path
) -> tuple[list[tuple[str, list[str]]], dict[str, int]]:
    """Write pictures; return their run lengths and their rolls by name."""
    output_folder(folder)
    truth: dict[str, list[str]] = {}
    rolls: dict[str, int] = {}
    strips = (make_strip(mill, index) for index in indices)
    for strip in track(strips, f"Making {folder.name}", len(indices)):
        write_jpeg(folder / strip.name, strip.picture)
        truth[strip.name] = [encode(mask) for mask in strip.masks]
        rolls[strip.name] = strip.roll
    return sorted(truth.items()), dict(sorted(rolls.items()))


def write_jpeg(path: Path, picture: Picture) -> None:
    """Write a grey picture, uint8 ``(height, width)``. Raises OutputError."""
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    with writing(path):
        path.write_bytes(content.tobytes())  # torn files are replaced until train.csv exists
