"""Every format: written and read again, by synthetic, random and real masks."""

import importlib
import pkgutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from steelscan import formats as package
from steelscan.data import open_dataset
from steelscan.formats import FORMATS, AnnotatedPicture, Format
from steelscan.strip.errors import DatasetError

ALL = pytest.mark.parametrize("each", FORMATS.values(), ids=lambda each: each.name)


NAMES = ("scratch", "hole", "Riß 😀")


def closed(mask: np.ndarray) -> np.ndarray:
    """A mask with its holes filled: all that the outside does not reach by its sides."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, numbers = cv2.connectedComponents(outside, connectivity=4)
    return (numbers != numbers[0, 0])[1:-1, 1:-1]


def expected(each: Format, masks: np.ndarray) -> np.ndarray:
    """What a format can store of masks."""
    out = masks.copy()
    if not each.overlaps:
        for at in range(len(out)):
            out[at] &= ~masks[at + 1 :].any(axis=0)
    if not each.holes:
        out = np.stack([closed(mask) for mask in out])
    return out


def dice(one: np.ndarray, other: np.ndarray) -> float:
    both = one.sum() + other.sum()
    return float(2 * (one & other).sum() / both) if both else 1.0


def test_every_format_is_found() -> None:
    modules = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    formats = {module.__name__.rpartition(".")[2] for module in modules if hasattr(module, "write")}
    assert formats == {each.name for each in FORMATS.values()} == FORMATS.keys()
    assert len(FORMATS) == 9


@ALL
@given(
    pair=st.integers(1, 12).flatmap(
        lambda side: hnp.arrays(
            np.bool_, st.tuples(st.just(2), st.just(3), st.just(side), st.integers(1, 12))
        )
    )
)
@settings(max_examples=12, deadline=None)
def test_round_trip_of_any_masks(
    each: Format,
    pair: np.ndarray,
    round_trip: Callable[..., Any],
    annotated: Callable[..., AnnotatedPicture],
) -> None:
    pictures = [annotated(f"s {at}%.jpg", masks) for at, masks in enumerate(pair)]
    with tempfile.TemporaryDirectory() as folder:
        back, losses = round_trip(Path(folder), each, pictures)
    assert set(back) == {one.image for one in pictures}
    lost = {(loss.image, loss.class_name): loss.pixels for loss in losses}
    assert len(lost) == len(losses)
    for one in pictures:
        masks = back[one.image].masks
        assert (masks.dtype, back[one.image].frame) == (np.bool_, one.frame)
        assert back[one.image].classes == one.classes
        assert np.array_equal(masks, expected(each, one.masks))
        for name, was, now in zip(NAMES, one.masks, masks, strict=True):
            assert lost.get((one.image, name), 0) == (was != now).sum()


@ALL
def test_every_pair_of_formats(
    each: Format, milled: list[AnnotatedPicture], tmp_path: Path, round_trip: Callable[..., Any]
) -> None:
    first, losses = round_trip(tmp_path / "first", each, milled)
    assert losses == ()
    for other in FORMATS.values():
        back, losses = round_trip(tmp_path / other.name, other, list(first.values()))
        assert losses == ()
        for one in milled:
            assert np.array_equal(back[one.image].masks, one.masks)
            assert back[one.image].classes == one.classes


def test_polygons_of_masks_of_real_size(
    tmp_path: Path,
    round_trip: Callable[..., Any],
    annotated: Callable[..., AnnotatedPicture],
    mill_masks: Callable[..., np.ndarray],
) -> None:
    pictures = [annotated(f"s{at}.jpg", mill_masks(at, 256, 1600)) for at in range(4)]
    for name in ("coco", "yolo"):
        each = FORMATS[name]
        back, _ = round_trip(tmp_path / name, each, pictures)
        for one in pictures:
            assert all(map(lambda *pair: dice(*pair) > 0.995, back[one.image].masks, one.masks))


@ALL
@pytest.mark.parametrize(("name", "step"), [("severstal", 1), ("tile", 25)])
def test_real_masks(
    each: Format,
    name: str,
    step: int,
    real_data: Path,
    tmp_path: Path,
    round_trip: Callable[..., Any],
) -> None:
    dataset = open_dataset(real_data / name)
    chosen = range(0, len(dataset), step)
    pictures = [
        AnnotatedPicture(dataset.names[at], dataset.frames[at], dataset.masks(at), dataset.classes)
        for at in chosen
    ]
    back, losses = round_trip(tmp_path, each, pictures)
    assert len(back) == len(pictures) >= 26
    wrong = sum(int((back[one.image].masks != one.masks).sum()) for one in pictures)
    assert wrong == sum(loss.pixels for loss in losses)
    assert each.name == "yolo" or wrong == 0  # no pixel of either set has two classes
    pixels = sum(int(one.masks.sum()) for one in pictures)
    assert wrong < 0.005 * pixels


def test_zips_are_read(
    milled: list[AnnotatedPicture],
    tmp_path: Path,
    zipped: Callable[..., Path],
    round_trip: Callable[..., Any],
) -> None:
    for each in FORMATS.values():
        if not each.file:
            back, _ = round_trip(tmp_path / each.name, each, milled)
            inside = {
                one.image: one.masks.tobytes() for one in each.read(zipped(tmp_path / each.name))
            }
            assert inside == {name: one.masks.tobytes() for name, one in back.items()}


def test_only_headers_of_pictures_are_read(
    milled: list[AnnotatedPicture], tmp_path: Path, round_trip: Callable[..., Any]
) -> None:
    for each in FORMATS.values():
        back, _ = round_trip(tmp_path / each.name, each, milled)
        for one in milled:
            place = tmp_path / each.name / each.pictures / one.image
            place.write_bytes(place.read_bytes()[:-30])
        again = list(each.read(tmp_path / each.name / each.file))
        assert len(again) == len(back) == 6


def test_names_below_folders(
    tmp_path: Path,
    round_trip: Callable[..., Any],
    annotated: Callable[..., AnnotatedPicture],
) -> None:
    """Pictures of equal names in two folders stay apart, or are refused where folders end."""
    masks = np.zeros((2, 3, 6, 6), np.bool_)
    masks[0, 0, :2], masks[1, 1, 3:] = True, True
    pictures = [annotated("one/a.jpg", masks[0]), annotated("two/a.jpg", masks[1])]
    flat = {"index_pngs", "label_studio", "run_lengths"}
    for each in FORMATS.values():
        root = tmp_path / each.name
        if each.name in flat:
            with pytest.raises(DatasetError, match="has no folders"):
                round_trip(root, each, pictures)
        else:
            back, _ = round_trip(root, each, pictures)
            assert all(np.array_equal(back[one.image].masks, one.masks) for one in pictures)
