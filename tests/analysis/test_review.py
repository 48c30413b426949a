"""Two thresholds keep their rates on new strips, with as little review as possible."""

from math import inf

import numpy as np
import pytest
from scipy.stats import beta, binom

from steelscan.analysis.escapes.operating import ScoredStrips
from steelscan.analysis.escapes.review import Rates, choose_review
from steelscan.evaluation.statistics import upper_bound
from steelscan.strip.errors import InputError

BAD, GOOD = (3, 2), (2, 4)
"""Beta distributions of the scores of defective and of clean strips."""


def drawn(random: np.random.Generator, defective: int, clean: int) -> ScoredStrips:
    scores = np.concatenate([random.beta(*BAD, defective), random.beta(*GOOD, clean)])
    kinds = np.arange(defective + clean) < defective
    return ScoredStrips(scores, kinds, np.arange(defective + clean))


@pytest.mark.parametrize(("count", "rate", "confidence"), [(90, 0.05, 0.9), (150, 0.1, 0.95)])
def test_fresh_strips_stay_below_the_rate_as_often_as_stated(
    count: int, rate: float, confidence: float
) -> None:
    """The true rates of the thresholds follow from the distributions."""
    random, times = np.random.default_rng(1), 1000
    broken = np.zeros(2)
    for _ in range(times):
        found = choose_review(drawn(random, count, count), Rates(rate, rate, confidence))
        broken += beta.cdf(found.low, *BAD) > rate, beta.sf(found.high, *GOOD) > rate
    shares = broken / times
    allowed = 1 - confidence
    spread = 4 * (allowed * (1 - allowed) / times) ** 0.5
    assert (shares < allowed + spread).all()
    # The thresholds are not too cautious either: the chance is that of the binomial.
    most = max(k for k in range(count) if binom.cdf(k, count, rate) <= allowed)
    assert shares == pytest.approx(binom.cdf(most, count, rate), abs=spread)


def test_pieces_of_several_strips_stay_below_the_rate() -> None:
    """Strips of a piece are alike: counting strips gives too low a bound, counting pieces not."""
    random, rate, confidence, times = np.random.default_rng(2), 0.1, 0.9, 400

    def pieces(count: int) -> ScoredStrips:
        base = np.repeat(random.normal(0.7, 0.2, count), 5)
        scores = np.clip(base + random.normal(0, 0.02, 5 * count), 0, 1)
        return ScoredStrips(scores, np.ones(5 * count, np.bool_), np.repeat(np.arange(count), 5))

    fresh = pieces(20000)
    weakest = fresh.weakest(defective=True)
    broken = strips_broken = loose = 0
    for _ in range(times):
        seen = pieces(60)
        low = choose_review(seen, Rates(rate, rate, confidence)).low
        broken += (weakest < low).mean() > rate
        strips_broken += (fresh.scores < low).mean() > rate
        apart = ScoredStrips(seen.scores, seen.defective, np.arange(len(seen)))
        low = choose_review(apart, Rates(rate, rate, confidence)).low
        loose += (fresh.scores < low).mean() > rate
    assert broken / times < 0.1 + 4 * (0.1 * 0.9 / times) ** 0.5
    assert strips_broken <= broken
    assert loose / times > 0.2


def test_no_other_thresholds_that_keep_the_rates_leave_less_to_review() -> None:
    random, rates = np.random.default_rng(3), Rates(0.1, 0.15, 0.9)
    few = [upper_bound(count, 60, 0.9) <= rates.escape for count in range(61)]
    rare = [upper_bound(count, 50, 0.9) <= rates.overkill for count in range(51)]
    for _ in range(20):
        strips = drawn(random, 60, 50)
        bad, good = strips.scores[strips.defective], strips.scores[~strips.defective]
        tried = [*sorted(strips.scores), inf]
        lows = [low for low in tried if few[(bad < low).sum()]]
        highs = [high for high in tried if rare[(good >= high).sum()]]
        left = [
            int(((strips.scores >= low) & (strips.scores < high)).sum())
            for low in lows
            for high in highs
            if high >= low
        ]
        assert choose_review(strips, rates).sort(strips).reviewed == min(left)


def test_strips_that_are_separated_need_no_review() -> None:
    scores = np.concatenate([np.linspace(0.8, 1, 100), np.linspace(0, 0.2, 100)])
    strips = ScoredStrips(scores, np.arange(200) < 100, np.arange(200))
    found = choose_review(strips, Rates(0.05, 0.05))
    assert found.low == found.high
    assert found.sort(strips).reviewed == 0
    assert found.sort(strips).passed_defective == 0
    assert "no strip needs review" in found.sentences()[-1]


def test_counts_of_passed_reviewed_and_stopped_strips_add_up() -> None:
    strips = drawn(np.random.default_rng(4), 150, 150)
    found = choose_review(strips, Rates(0.05, 0.05))
    goes = found.sort(strips)
    assert goes.strips == len(strips)
    passed = strips.scores < found.low
    assert goes.passed_defective == (passed & strips.defective).sum()
    assert goes.reviewed == (~passed & (strips.scores < found.high)).sum()


def test_a_rate_that_cannot_be_guaranteed_is_refused_with_the_number_needed() -> None:
    strips = drawn(np.random.default_rng(5), 298, 400)
    with pytest.raises(InputError, match="Use 299 of them") as error:
        choose_review(strips, Rates(0.01, 0.01))
    offered = float(str(error.value).split("allow ")[1].split(" %")[0]) / 100
    assert choose_review(strips, Rates(offered, 0.01)).defective_pieces == 298
    assert choose_review(drawn(np.random.default_rng(5), 299, 400), Rates(0.01, 0.01))
    for rates in (Rates(0), Rates(1), Rates(0.1, 0), Rates(confidence=1)):
        with pytest.raises(InputError):
            choose_review(strips, rates)


def test_too_few_clean_strips_are_never_stopped_without_review() -> None:
    strips = drawn(np.random.default_rng(6), 300, 20)
    found = choose_review(strips, Rates(0.01, 0.01))
    assert found.high == inf
    assert found.sort(strips).stopped_clean == found.sort(strips).stopped_defective == 0
    assert "needs 299 clean" in found.sentences()[1]
