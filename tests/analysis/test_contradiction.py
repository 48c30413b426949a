"""Labels that predictions contradict: one error of each kind, made by hand."""

import numpy as np
import pytest

from steelscan.analysis.audit.contradiction import contradictions, regions_of

FRAME = (3, 40, 60)
PLACE = (slice(5, 15), slice(10, 30))


def masks(*drawn):
    """Bool masks: (class, rows, columns) each."""
    made = np.zeros(FRAME, np.bool_)
    for at, rows, columns in drawn:
        made[at, rows, columns] = True
    return made


def probabilities(predicted, high=230, low=10):
    return np.where(predicted, high, low).astype(np.uint8)


def agreeing(at):
    """A strip whose label and prediction agree, of one class."""
    label = masks((at, *PLACE))
    return regions_of(probabilities(label), label, label)


USUAL = [agreeing(at) for at in (0, 1, 2) for _ in range(10)]


def errors(predicted, label, values=None):
    strip = regions_of(probabilities(predicted) if values is None else values, predicted, label)
    return contradictions([*USUAL, strip])[-1]


def test_no_error_if_both_agree():
    assert contradictions(USUAL) == [[] for _ in USUAL]
    assert contradictions([]) == []
    assert errors(masks(), masks()) == []


def test_a_region_that_the_label_lacks_is_missed():
    (found,) = errors(masks((1, *PLACE)), masks())
    assert (found.kind, found.class_index, found.box) == ("missed", 1, (5, 10, 10, 20))
    assert found.probability == pytest.approx(230 / 255)
    # ten of eleven regions found are confirmed; one of either is added
    assert found.score == pytest.approx(230 / 255 * 11 / 13)


def test_a_labelled_region_that_is_not_predicted_is_denied():
    (found,) = errors(masks(), masks((2, *PLACE)))
    assert (found.kind, found.class_index, found.rival) == ("denied", 2, None)
    assert found.probability == pytest.approx(10 / 255)
    usual = (10 * 230 / 255 + 10 / 255) / 11
    assert found.score == pytest.approx((1 - 10 / 255) * usual)


def test_a_region_of_another_class_is_one_error():
    (found,) = errors(masks((1, *PLACE)), masks((0, *PLACE)))
    assert (found.kind, found.class_index, found.rival) == ("other class", 0, 1)
    assert found.score == pytest.approx(230 / 255 * 11 / 13 * (1 - 10 / 255))


def test_a_mask_moved_aside_is_out_of_place():
    moved = masks((0, PLACE[0], slice(22, 42)))
    (found,) = errors(masks((0, *PLACE)), moved)
    assert found.kind == "out of place"
    assert found.probability == pytest.approx(8 / 20)
    slightly = errors(masks((0, *PLACE)), masks((0, PLACE[0], slice(11, 31))))
    assert slightly[0].score < found.score / 5


def test_a_class_that_is_predicted_badly_has_low_scores():
    """Class 2 is never predicted, so one more missing region means little."""
    label = masks((2, *PLACE))
    unknown = [agreeing(0) for _ in range(10)]
    unknown += [regions_of(probabilities(masks()), masks(), label) for _ in range(10)]
    found = contradictions(
        [*unknown, regions_of(probabilities(masks()), masks(), masks((0, *PLACE)))]
    )
    assert found[-1][0].score > 10 * max(each[0].score for each in found[10:-1])


def test_a_missed_region_scores_higher_if_it_is_more_probable_or_larger():
    def score(predicted, high):
        return errors(predicted, masks(), probabilities(predicted, high))[0].score

    whole = masks((1, *PLACE))
    assert score(whole, 250) > score(whole, 150)
    assert score(whole, 230) > 5 * score(masks((1, slice(5, 7), slice(10, 14))), 230)
