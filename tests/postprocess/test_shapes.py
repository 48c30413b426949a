"""Rules on shapes, against flood fills and contours written without arrays."""

from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steelscan.postprocess import (
    FillEdges,
    FillHoles,
    MinArea,
    OneClassPerPixel,
    Polygons,
    RemoveSmallComponents,
    ScaledMinArea,
    Threshold,
    clean,
)
from steelscan.postprocess.areas import min_area
from steelscan.postprocess.components import fill_holes, remove_small_components
from steelscan.postprocess.outlines import fill_edges, polygons

CORNERS = tuple(product((-1, 0, 1), repeat=2))
EDGES = ((0, 1), (1, 0), (0, -1), (-1, 0))
ONLY_REMOVE = (
    MinArea(pixels=9),
    ScaledMinArea(pixels=4),
    RemoveSmallComponents(pixels=4),
    OneClassPerPixel(),
)
ONLY_ADD = (FillHoles(), FillHoles(pixels=3), FillEdges(pixels=0))
TWICE_IS_ONCE = (*ONLY_REMOVE, *ONLY_ADD[:2])
small_masks = arrays(np.bool_, (2, 7, 9), elements=st.booleans())


@st.composite
def tangled(draw):
    """Masks of all densities: dense ones touch at corners, and have rings in rings."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    masks = random.random((2, height, width)) < random.uniform(0.1, 0.95)
    if draw(st.booleans()):
        masks = masks.repeat(2, 1).repeat(2, 2)
    if draw(st.booleans()):
        rings = np.maximum(*np.abs(np.indices(masks.shape[1:]) - draw(st.integers(2, 7)))) % 2 == 0
        masks = masks & rings if draw(st.booleans()) else rings ^ (masks & masks[::-1])
    return masks


def points(mask, value=True):
    return {(int(row), int(at)) for row, at in np.argwhere(mask == value)}


def flood_fill(left, steps):
    """The components of a set of ``(row, column)``, each a set."""
    left, components = set(left), []
    while left:
        waiting, component = [left.pop()], set()
        while waiting:
            row, at = waiting.pop()
            component.add((row, at))
            around = {(row + down, at + right) for down, right in steps} & left
            waiting += around
            left -= around
        components.append(component)
    return components


def holes(mask):
    """The 4-connected pieces of background without a pixel at the border."""
    height, width = mask.shape
    border = {(row, at) for row, at in np.ndindex(mask.shape) if row % (height - 1 or 1) == 0}
    border |= {(row, at) for row, at in np.ndindex(mask.shape) if at % (width - 1 or 1) == 0}
    return [part for part in flood_fill(points(mask, False), EDGES) if not part & border]


def after(masks, rule):
    """The masks after a cleaner."""
    maps_u8 = masks * np.uint8(255)
    return clean(maps_u8, [Threshold(), rule], np.array([0.5, 1], np.float32)[: len(masks)])


@given(small_masks, st.tuples(st.integers(0, 40), st.integers(0, 40)))
def test_min_area_empties_a_class_or_leaves_it_whole(masks, pixels):
    cleaned = min_area(masks, MinArea(pixels=pixels))
    for before, found, least in zip(masks.tolist(), cleaned.tolist(), pixels, strict=True):
        size = sum(pixel for line in before for pixel in line)
        assert found == (before if size >= least else [[False] * 9] * 7)


@settings(max_examples=150, deadline=None)
@given(tangled(), st.tuples(st.integers(0, 40), st.integers(0, 12)))
def test_small_components_are_those_of_a_flood_fill(masks, pixels):
    cleaned = remove_small_components(masks, RemoveSmallComponents(pixels=pixels))
    for before, found, least in zip(masks, cleaned, pixels, strict=True):
        parts = flood_fill(points(before), CORNERS)
        assert points(found) == set().union(*(part for part in parts if len(part) >= least))


@settings(max_examples=150, deadline=None)
@given(tangled(), st.tuples(st.integers(0, 12), st.integers(0, 40)))
def test_holes_are_those_of_a_flood_fill_of_the_background(masks, pixels):
    for rule, below in (
        (FillHoles(pixels=pixels), pixels),
        (FillHoles(), (masks.size + 1,) * 2),
    ):
        filled = fill_holes(masks, rule)
        for before, found, most in zip(masks, filled, below, strict=True):
            small = [part for part in holes(before) if len(part) < most]
            assert points(found) == points(before).union(*small)


@pytest.mark.parametrize("density", [0.1, 0.3, 0.6, 0.75])
def test_noise_with_many_specks_and_holes_is_cleaned_by_the_same_rules(density):
    masks = np.random.default_rng(0).random((1, 90, 120)) < density
    parts, gaps = flood_fill(points(masks[0]), CORNERS), holes(masks[0])
    assert len(parts) > 100 or len(gaps) > 100
    cleaned = remove_small_components(masks, RemoveSmallComponents(pixels=4))
    assert points(cleaned[0]) == set().union(*(part for part in parts if len(part) >= 4))
    filled = fill_holes(masks, FillHoles())
    assert points(filled[0]) == points(masks[0]).union(*gaps)
    filled = fill_holes(masks, FillHoles(pixels=2))
    assert points(filled[0]) == points(masks[0]).union(*(gap for gap in gaps if len(gap) < 2))


def test_components_touch_at_corners_and_not_around_the_edge():
    mask = np.zeros((1, 4, 6), np.bool_)
    mask[0, [0, 1, 2], [0, 1, 2]] = True  # one diagonal of three
    mask[0, [0, 3], [5, 5]] = True  # two single pixels, neighbours only around the edge
    cleaned = remove_small_components(mask, RemoveSmallComponents(pixels=2))
    assert np.argwhere(cleaned[0]).tolist() == [[0, 0], [1, 1], [2, 2]]


def test_an_island_is_no_part_of_its_ring_and_holds_its_own_hole():
    mask = np.zeros((1, 11, 11), np.bool_)
    mask[0, 1:10, 1:10] = True
    mask[0, 2:9, 2:9] = False  # a ring of 32 around 49
    mask[0, 3:8, 3:8] = True
    mask[0, 4:7, 4:7] = False  # a ring of 16 around 9, and 24 pixels between the rings
    sizes = {16: 48, 17: 32, 32: 32, 33: 0}
    for pixels, left in sizes.items():
        assert remove_small_components(mask, RemoveSmallComponents(pixels=pixels)).sum() == left
    for pixels, added in {9: 0, 10: 9, 24: 9, 25: 33}.items():
        assert fill_holes(mask, FillHoles(pixels=pixels)).sum() == 48 + added
    big_in_small = mask.copy()
    big_in_small[0, 4:7, 4:7] = True
    big_in_small[0, 3:8, 2:9] = False
    big_in_small[0, 5, 5] = True
    assert fill_holes(big_in_small, FillHoles()).sum() == 81


def canny(plane):
    """Edges of a bool plane: maxima of its slope across the edge.

    Sobel's slopes, their sum without signs, and the nearest of four directions (Canny 1986, as
    OpenCV has it for thresholds that all slopes exceed).
    """
    value = np.pad(plane.astype(int), 2).tolist()
    height, width = len(value), len(value[0])
    slopes = {}
    for row, at in product(range(1, height - 1), range(1, width - 1)):
        left, right = (
            value[row - 1][at + to] + 2 * value[row][at + to] + value[row + 1][at + to]
            for to in (-1, 1)
        )
        above, below = (
            value[row + to][at - 1] + 2 * value[row + to][at] + value[row + to][at + 1]
            for to in (-1, 1)
        )
        slopes[row, at] = right - left, below - above

    def steep(row, at):
        return sum(map(abs, slopes.get((row, at), (0, 0))))

    lines = np.zeros((height, width), np.bool_)
    for (row, at), (across, down) in slopes.items():
        if abs(down) < abs(across) * np.tan(np.pi / 8):
            one, other, equal = (row, at - 1), (row, at + 1), True
        elif abs(down) > abs(across) * np.tan(3 * np.pi / 8):
            one, other, equal = (row - 1, at), (row + 1, at), True
        else:
            side = -1 if across * down < 0 else 1
            one, other, equal = (row - 1, at - side), (row + 1, at + side), False
        here = steep(row, at)
        beyond = here >= steep(*other) if equal else here > steep(*other)
        lines[row, at] = here > steep(*one) and beyond
    return lines[2:-2, 2:-2]


@settings(max_examples=60, deadline=None)
@given(tangled(), st.integers(0, 12))
def test_edges_are_filled_as_by_loops(masks, pixels):
    filled = fill_edges(masks, FillEdges(pixels=pixels))
    for before, found in zip(masks, filled, strict=True):
        room = np.pad(before, 3)
        lines = canny(room)
        solid = (points(lines) | points(room)).union(*holes(lines))
        inner = {
            (row, at) for row, at in solid if all((row + a, at + b) in solid for a, b in CORNERS)
        }
        height, width = before.shape
        inner = {(row - 3, at - 3) for row, at in inner} & set(np.ndindex(height, width))
        parts = flood_fill(inner | points(before), CORNERS)
        assert points(found) == set().union(*(part for part in parts if len(part) >= pixels))


def test_edges_close_holes_and_narrow_notches_and_leave_wide_ones_and_borders():
    mask = np.zeros((1, 40, 60), np.bool_)
    mask[0, 10:30, 0:40] = True  # ends at the picture's border
    mask[0, 15:20, 10:15] = False  # a hole
    mask[0, 10:22, 25] = False  # a notch of one pixel
    mask[0, 20:30, 30:36] = False  # a bay of six
    mask[0, 2, 50:52] = True  # a speck
    filled = fill_edges(mask, FillEdges(pixels=20))[0]
    assert filled[15:20, 10:15].all()
    assert filled[11:22, 25].all()
    assert not filled[21:30, 31:35].any()
    assert not filled[:10].any()
    assert not filled[30:].any()
    assert not filled[:, 40:].any()


def distance(point, start, end):
    """From a point to the line between two points, all three complex numbers."""
    along, to = end - start, point - start
    share = (to * along.conjugate()).real / abs(along) ** 2 if along else 0.0
    return abs(to - min(max(share, 0.0), 1.0) * along)


def is_within(point, sides):
    """Whether a ray to the right crosses the polygon's sides an odd number of times."""
    odd = False
    for one, other in sides:
        if (one.imag > point.imag) != (other.imag > point.imag):
            share = (point.imag - one.imag) / (other.imag - one.imag)
            odd ^= point.real < one.real + share * (other.real - one.real)
    return odd


@settings(max_examples=60, deadline=None)
@given(tangled(), st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]))
def test_polygons_are_those_of_each_component_by_itself(masks, eps):
    drawn = polygons(masks, Polygons(eps=eps))
    for before, found in zip(masks, drawn, strict=True):
        surely, perhaps = set(), set()
        for part in flood_fill(points(before), CORNERS):
            plane = np.zeros(before.shape, np.uint8)
            plane[tuple(zip(*part, strict=True))] = 1
            line = cv2.findContours(plane, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0]
            corners = [complex(*each) for each in cv2.approxPolyDP(line, eps, True)[:, 0].tolist()]
            sides = list(zip(corners, corners[1:] + corners[:1], strict=True))
            for row, at in np.ndindex(before.shape):
                near = min(distance(complex(at, row), *side) for side in sides)
                within = is_within(complex(at, row), sides)
                if near < 1e-9 or (within and near > 0.75):
                    surely.add((row, at))
                if near < 0.75 or within:
                    perhaps.add((row, at))
        kept = set().union(*holes(before))
        assert surely - kept <= points(found) <= perhaps - kept


@given(tangled())
def test_polygons_that_may_not_leave_the_outline_are_the_mask(masks):
    assert np.array_equal(polygons(masks, Polygons(eps=0.0)), masks)


@settings(max_examples=60, deadline=None)
@given(tangled(), st.sampled_from([0.5, 1.0, 3.0]))
def test_polygons_leave_holes_open_and_every_component_there(masks, eps):
    drawn = polygons(masks, Polygons(eps=eps))
    for before, found in zip(masks, drawn, strict=True):
        assert not points(found) & set().union(*holes(before))
        assert all(part & points(found) for part in flood_fill(points(before), CORNERS))


@pytest.mark.parametrize("rule", ONLY_REMOVE, ids=repr)
@settings(max_examples=50)
@given(masks=tangled())
def test_these_rules_only_remove(rule, masks):
    assert not (after(masks, rule) & ~masks).any()


@pytest.mark.parametrize("rule", ONLY_ADD, ids=repr)
@settings(max_examples=50)
@given(masks=tangled())
def test_these_rules_only_add(rule, masks):
    assert not (masks & ~after(masks, rule)).any()


@pytest.mark.parametrize("rule", TWICE_IS_ONCE, ids=repr)
@settings(max_examples=50)
@given(masks=tangled())
def test_applying_a_rule_twice_changes_nothing(rule, masks):
    once = after(masks, rule)
    assert np.array_equal(after(once, rule), once)


@pytest.mark.parametrize(
    "rule", [MinArea(), ScaledMinArea(pixels=0), RemoveSmallComponents(), FillHoles(pixels=1)]
)
@given(masks=tangled())
def test_a_least_area_of_zero_changes_nothing(rule, masks):
    assert np.array_equal(after(masks, rule), masks)
