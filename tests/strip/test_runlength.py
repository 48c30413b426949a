"""Run lengths against two other implementations, and on every real mask."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from steelscan.strip import Frame, decode, encode, parse_runs
from steelscan.strip.errors import MaskError
from steelscan.strip.tables import read_mask_table

PYCOCOTOOLS_IS_OLD = "ignore::DeprecationWarning"
MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))
SEVERSTAL = Frame(256, 1600)


def naive_encode(mask: np.ndarray) -> str:
    """The definition, pixel by pixel: numbered from 1, down each column first."""
    numbers: list[int] = []
    pixel, inside = 0, False
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            pixel += 1
            if mask[row, column] and not inside:
                numbers += [pixel, 0]
            inside = bool(mask[row, column])
            if inside:
                numbers[-1] += 1
    return " ".join(map(str, numbers))


def naive_decode(text: str, frame: Frame) -> np.ndarray:
    """The competition's method, with the subtraction of 1 that many solutions forgot."""
    flat = np.zeros(frame.pixels, np.bool_)
    numbers = [int(number) for number in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(frame.width, frame.height).T


def coco_mask(text: str, frame: Frame) -> np.ndarray:
    """Through COCO's counts: alternating lengths of 0 and 1, down the columns as well."""
    counts, at = [], 1
    for start, length in np.array(text.split(), int).reshape(-1, 2).tolist():
        counts += [start - at, length]
        at = start + length
    counts.append(frame.pixels + 1 - at)
    packed = coco.frPyObjects({"size": list(frame), "counts": counts}, *frame)
    return coco.decode(packed).astype(bool)


@given(MASKS)
def test_round_trip_and_second_implementation(mask: np.ndarray) -> None:
    frame = Frame(*mask.shape)
    text = encode(mask)
    assert text == naive_encode(mask)
    assert np.array_equal(decode(text, frame), mask)
    assert np.array_equal(naive_decode(text, frame), mask)
    assert decode(text, frame).dtype == np.bool_


@given(MASKS)
def test_encode_does_not_depend_on_the_memory_layout(mask: np.ndarray) -> None:
    assert encode(np.asfortranarray(mask)) == encode(mask)
    assert encode(mask[::-1][::-1]) == encode(mask)
    assert encode(mask.T) == naive_encode(mask.T)


@pytest.mark.filterwarnings(PYCOCOTOOLS_IS_OLD)
@given(MASKS)
def test_coco_reads_the_same_mask(mask: np.ndarray) -> None:
    assert np.array_equal(coco_mask(encode(mask), Frame(*mask.shape)), mask)


@pytest.mark.filterwarnings(PYCOCOTOOLS_IS_OLD)
def test_every_real_mask_round_trips(real_data: Path) -> None:
    table = read_mask_table(real_data / "severstal" / "masks.csv.gz")
    assert len(table.rows) == 2854
    count = 0
    for image, row in table.rows.items():
        for text in row.values():
            mask = decode(text, SEVERSTAL, image)
            assert encode(mask) == " ".join(text.split()), image
            assert mask.sum() == parse_runs(text, SEVERSTAL)[:, 1].sum()
            count += 1
            if count % 20 == 0:  # the slow implementations, on every twentieth
                assert np.array_equal(naive_decode(text, SEVERSTAL), mask)
                assert np.array_equal(coco_mask(text, SEVERSTAL), mask)
    assert count > 3000


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("", []),
        ("   ", []),
        ("1 1", [(0, 0)]),
        ("3 1", [(2, 0)]),
        ("4 1", [(0, 1)]),
        ("3 2", [(2, 0), (0, 1)]),
        ("12 1", [(2, 3)]),
        ("1 1 3 1 12 1", [(0, 0), (2, 0), (2, 3)]),
        ("1 2 3 1", [(0, 0), (1, 0), (2, 0)]),
        ("1\t1\n3 1\r\n", [(0, 0), (2, 0)]),
    ],
)
def test_by_hand(text: str, pixels: list[tuple[int, int]]) -> None:
    mask = decode(text, Frame(3, 4))
    assert list(zip(*(axis.tolist() for axis in np.nonzero(mask.T)[::-1]), strict=True)) == pixels


def test_full_and_empty() -> None:
    assert encode(np.ones((3, 4), np.bool_)) == "1 12"
    assert decode("1 12", Frame(3, 4)).all()
    assert encode(np.zeros((3, 4), np.bool_)) == ""
    assert not decode("", Frame(3, 4)).any()


def test_top_and_bottom_rows_are_not_wrapped() -> None:
    """A mask shifted by one pixel is the best-known error of programs for this data set."""
    mask = np.zeros((4, 3), np.bool_)
    mask[0] = mask[3] = True
    assert encode(mask) == "1 1 4 2 8 2 12 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", "is odd"),
        ("1 2 3", "is odd"),
        ("0 2", "outside the frame 3x4"),
        ("1 0", "outside the frame"),
        ("12 2", "outside the frame"),
        ("13 1", "outside the frame"),
        ("9223372036854775807 9223372036854775807", "outside the frame"),
        ("99999999999999999999999 1", "outside the frame"),
        ("-1 2", "not only numbers"),
        ("1 a", "not only numbers"),
        ("1.5 2", "not only numbers"),
        ("nan nan", "not only numbers"),
        ("\uff11 1", "not only numbers"),
        ("1 3 2 2", "overlaps"),
        ("5 2 1 2", "overlaps"),
        ("1 2 1 2", "overlaps"),
    ],
)
def test_refusals_name_the_place(text: str, message: str) -> None:
    with pytest.raises(MaskError, match=message) as caught:
        decode(text, Frame(3, 4), "strip.jpg, class 2")
    assert caught.value.where == "strip.jpg, class 2"


@given(st.text(alphabet="0123456789 -.x", max_size=12))
def test_any_text_is_a_mask_or_a_mask_error(text: str) -> None:
    try:
        mask = decode(text, Frame(3, 4))
    except MaskError:
        return
    assert np.array_equal(mask, naive_decode(text, Frame(3, 4)))


@pytest.mark.parametrize("mask", [np.zeros((3, 4), np.uint8), np.zeros((1, 3, 4), np.bool_)])
def test_encode_refuses_other_arrays(mask: np.ndarray) -> None:
    with pytest.raises(MaskError):
        encode(mask)
