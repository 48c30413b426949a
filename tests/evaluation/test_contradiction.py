"""Labels that predictions contradict: one error of each kind, planted by hand."""

import numpy as np
import pytest

from steelscan.evaluation.metrics import contradictions, regions_of

FRAME = (3, 40, 60)
PLACE = (slice(5, 15), slice(10, 30))


def masks(*drawn):
    """Bool masks: (class, rows, columns) each."""
    made = np.zeros(FRAME, np.bool_)
    for at, rows, columns in drawn:
        made[at, rows, columns] = True
    return made


def levels(found, sure=230, doubt=10):
    return np.where(found, sure, doubt).astype(np.uint8)


def agreeing(at):
    """A strip whose label and prediction agree, of one class."""
    label = masks((at, *PLACE))
    return regions_of(levels(label), label, label)


USUAL = [agreeing(at) for at in (0, 1, 2) for _ in range(10)]


def told(found, label, probabilities=None):
    strip = regions_of(levels(found) if probabilities is None else probabilities, found, label)
    return contradictions([*USUAL, strip])[-1]


def test_nothing_is_said_where_both_agree():
    assert contradictions(USUAL) == [[] for _ in USUAL]
    assert contradictions([]) == []
    assert told(masks(), masks()) == []


def test_a_region_that_the_label_lacks_is_missed():
    (found,) = told(masks((1, *PLACE)), masks())
    assert (found.kind, found.class_index, found.box) == ("missed", 1, (5, 10, 10, 20))
    assert found.probability == pytest.approx(230 / 255)
    # ten of eleven regions found are confirmed; one of either is added
    assert found.score == pytest.approx(230 / 255 * 11 / 13)


def test_a_region_that_no_network_sees_is_denied():
    (found,) = told(masks(), masks((2, *PLACE)))
    assert (found.kind, found.class_index, found.rival) == ("denied", 2, None)
    assert found.probability == pytest.approx(10 / 255)
    usual = (10 * 230 / 255 + 10 / 255) / 11
    assert found.score == pytest.approx((1 - 10 / 255) * usual)


def test_a_region_of_another_class_is_told_once():
    (found,) = told(masks((1, *PLACE)), masks((0, *PLACE)))
    assert (found.kind, found.class_index, found.rival) == ("other class", 0, 1)
    assert found.score == pytest.approx(230 / 255 * 11 / 13 * (1 - 10 / 255))


def test_a_mask_moved_aside_is_out_of_place():
    moved = masks((0, PLACE[0], slice(22, 42)))
    (found,) = told(masks((0, *PLACE)), moved)
    assert found.kind == "out of place"
    assert found.probability == pytest.approx(8 / 20)
    slightly = told(masks((0, *PLACE)), masks((0, PLACE[0], slice(11, 31))))
    assert slightly[0].score < found.score / 5


def test_what_the_networks_do_not_know_weighs_little():
    """Class 2 is never found: that one more of it is denied says nothing."""
    label = masks((2, *PLACE))
    unknown = [agreeing(0) for _ in range(10)]
    unknown += [regions_of(levels(masks()), masks(), label) for _ in range(10)]
    found = contradictions([*unknown, regions_of(levels(masks()), masks(), masks((0, *PLACE)))])
    assert found[-1][0].score > 10 * max(each[0].score for each in found[10:-1])


def test_the_surer_and_larger_of_two_missed_regions_is_the_worse():
    def score(found, sure):
        return told(found, masks(), levels(found, sure))[0].score

    whole = masks((1, *PLACE))
    assert score(whole, 250) > score(whole, 150)
    assert score(whole, 230) > 5 * score(masks((1, slice(5, 7), slice(10, 14))), 230)
