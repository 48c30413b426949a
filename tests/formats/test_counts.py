"""Counts of pixels, COCO's string and Label Studio's bits, against other implementations."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_api

from steelscan.formats import label_studio_rle as rle
from steelscan.formats.counts import from_counts, pack_counts, to_counts, unpack_counts
from steelscan.strip.errors import MaskError

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


@given(MASKS)
def test_packed_counts_are_those_of_pycocotools(mask: np.ndarray) -> None:
    theirs = coco_api.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = to_counts(mask.T.reshape(-1))
    assert pack_counts(counts) == theirs["counts"].decode()
    assert unpack_counts(theirs["counts"].decode(), "here") == counts
    assert np.array_equal(from_counts(counts, mask.size, "here"), mask.T.reshape(-1))


@given(st.lists(st.integers(0, 2**31), max_size=12))
def test_any_counts_survive_packing(counts: list[int]) -> None:
    assert unpack_counts(pack_counts(counts), "here") == counts


def naive_unpack(packed: Sequence[int]) -> list[int]:
    """Label Studio's bits, one after another."""
    stream = iter([byte >> at & 1 for byte in packed for at in range(7, -1, -1)])

    def take(size: int) -> int:
        return sum(next(stream) << at for at in range(size - 1, -1, -1))

    count, width = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    out: list[int] = []
    while len(out) < count:
        run = take(1)
        length = take(sizes[take(2)]) + 1
        out += [take(width)] * length if run else [take(width) for _ in range(length)]
    return out


@given(hnp.arrays(np.bool_, st.integers(1, 700)))
def test_packed_bits(values: np.ndarray) -> None:
    packed = rle.pack(values)
    assert naive_unpack(packed) == (values * 255).tolist()
    assert np.array_equal(rle.unpack(list(packed), values.size, "here"), values * np.uint8(255))


def test_long_runs_of_packed_bits() -> None:
    values = np.repeat([True, False, True], [70_000, 65_536, 1])
    assert np.array_equal(rle.unpack(rle.pack(values), values.size, "here") > 0, values)


def test_bits_of_the_converter() -> None:
    """The example of Label Studio's own converter: runs and single values."""
    packed = [0, 0, 0, 18, 57, 27, 252, 96, 32, 1, 0, 6, 0, 40, 0, 192, 3, 128, 17, 56, 32]
    values = [1, 1, 1, 1, 2, 3, 5, 6, 7, 8, 4, 4, 4, 4, 4, 4, 4, 4]
    assert rle.unpack(packed, 18, "here").tolist() == values == naive_unpack(packed)
    for short in range(len(packed)):
        with pytest.raises(MaskError):
            rle.unpack(packed[:short], 18, "here")
