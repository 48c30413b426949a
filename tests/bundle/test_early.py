"""The level at which strips leave early, against every level tried in turn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan.bundle.early import early_exit
from steelscan.evaluation import upper_bound


def lost(level, highest, truth, found):
    return sum(
        1
        for high, true, seen in zip(highest, truth, found, strict=True)
        if true and seen and 0 <= high <= level
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.1, 0.5]))
def test_it_is_the_highest_that_the_budget_allows(seed, budget):
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 60)
    highest = rng.integers(-1, 256, count)
    truth = rng.random(count) < 0.5
    found = (rng.random(count) < 0.7) & (highest >= 0)
    early = early_exit(highest, truth, found, budget)
    allowed = [
        level for level in range(255)
        if lost(level, highest, truth, found) <= budget * truth.sum() + 1e-9
    ]  # fmt: skip
    if early is None:
        assert not allowed
        return
    assert early.level == max(allowed)
    assert early.escapes == lost(early.level, highest, truth, found)
    assert early.left == sum(0 <= high <= early.level for high in highest)
    assert early.shown == sum(high >= 0 for high in highest)
    if truth.any():
        assert early.at_most == pytest.approx(upper_bound(early.escapes, int(truth.sum())))
    assert str(early.left) in early.text()
