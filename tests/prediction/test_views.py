"""Views: each undoes itself and does what its name says, to the last two axes alone."""

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelscan.prediction import View
from steelscan.prediction.torch_model import mirror

MEANINGS = {"identity": lambda plane: plane, "hflip": np.fliplr, "vflip": np.flipud}
every_view = pytest.mark.parametrize("view", get_args(View))


def test_the_suite_holds_every_view():
    assert set(get_args(View)) == set(MEANINGS)
    assert len(MEANINGS) == 3


@every_view
@given(st.integers(1, 6), st.integers(1, 7), st.integers(1, 3))
def test_a_view_turns_every_plane_and_twice_undoes_it(view, height, width, classes):
    planes = torch.arange(classes * height * width).reshape(classes, height, width)
    mirrored = mirror(planes, view)
    expected = [MEANINGS[view](plane) for plane in planes.numpy()]
    assert np.array_equal(mirrored.numpy(), expected)
    assert torch.equal(mirror(mirrored, view), planes)
    assert torch.equal(mirror(planes[None, None], view)[0, 0], mirrored)


@every_view
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_what_is_mirrored_is_left_alone_and_keeps_its_type(view, dtype):
    planes = torch.arange(6, dtype=dtype).reshape(1, 2, 3)
    assert mirror(planes, view).dtype == dtype
    assert planes.flatten().tolist() == [0, 1, 2, 3, 4, 5]
