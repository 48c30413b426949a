"""Connected components, against a flood fill in Python."""

from collections import deque
from typing import Literal

import numpy as np
import pytest

from steelscan.strip import Mask, connected_components, label_components

STEPS = {4: [(0, 1), (1, 0), (0, -1), (-1, 0)]}
STEPS[8] = [*STEPS[4], (1, 1), (1, -1), (-1, 1), (-1, -1)]


def flood(mask: Mask, neighbours: int) -> set[frozenset[tuple[int, int]]]:
    left = set(zip(*np.nonzero(mask), strict=True))
    components = set()
    while left:
        queue, component = deque([left.pop()]), set()
        while queue:
            y, x = queue.popleft()
            component.add((int(y), int(x)))
            for near in ((y + dy, x + dx) for dy, dx in STEPS[neighbours]):
                if near in left:
                    left.remove(near)
                    queue.append(near)
        components.add(frozenset(component))
    return components


@pytest.mark.parametrize("neighbours", [4, 8])
@pytest.mark.parametrize("density", [0.0, 0.1, 0.45, 0.7, 1.0])
def test_components_are_those_of_a_flood_fill(neighbours: Literal[4, 8], density: float) -> None:
    mask = np.random.default_rng(1).random((13, 40))[:, ::2] < density  # not contiguous
    labels, boxes, areas = connected_components(mask, neighbours)
    assert (labels > 0).tolist() == mask.tolist()
    assert boxes.shape == (len(areas), 4)
    components = set()
    for number, (box, area) in enumerate(zip(boxes, areas, strict=True), start=1):
        pixels = np.argwhere(labels == number)
        top, left = pixels.min(0)
        height, width = pixels.max(0) - pixels.min(0) + 1
        assert box.tolist() == [top, left, height, width]
        assert area == len(pixels)
        components.add(frozenset(map(tuple, pixels.tolist())))
    assert components == flood(mask, neighbours)
    if neighbours == 8:
        alone, count = label_components(mask)
        assert count == len(components)
        assert (alone == labels).all()
