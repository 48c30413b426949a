"""The line budget, held against lines and machines that are played through."""

from fractions import Fraction
from itertools import count

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from steelscan.bundle import Graph, Manifest
from steelscan.bundle.bench import Measured, Setting
from steelscan.decision import Decision, SegmentStep, Stage
from steelscan.inspection import line_asked, plan_json, plan_text
from steelscan.inspection.line import (
    Costs,
    Line,
    cores_needed,
    holding,
    share_needed,
    sides_of,
    strips_across,
)
from steelscan.inspection.line_budget import LineAsked, planned_with
from steelscan.postprocess import Threshold
from steelscan.strip import Classes, Frame, InputError

sixteenths = st.integers(1, 64).map(lambda number: number / 16)
sides = st.integers(1, 2000)
frames = st.tuples(sides, sides)
milliseconds = st.integers(1, 400).map(lambda number: number / 4)


@given(sixteenths, sixteenths, frames, st.sampled_from(["width", "height"]), st.integers(1, 9))
def test_strips_come_as_often_as_cameras_see_steel_go_by(speed, scale, frame, along, across):
    """Against steel that is moved strip by strip, in exact numbers, until a minute is over."""
    line = Line(speed=speed, mm_per_pixel=scale, frame=frame, along=along, across=across, sides=2)
    length = Fraction(frame[1] if along == "width" else frame[0]) * Fraction(scale)
    gone = Fraction(speed) * 1000 * 60
    whole = gone // length
    begun = whole + (gone % length != 0)
    cameras = across * 2
    assert whole * cameras * (1 - 1e-9) <= line.strips_per_second * 60
    assert line.strips_per_second * 60 <= begun * cameras * (1 + 1e-9)
    assert line.budget_ms * line.strips_per_second == pytest.approx(1000)


@given(st.integers(1, 500), sixteenths, frames, st.sampled_from(["width", "height"]))
def test_strips_are_laid_side_by_side_until_the_steel_is_covered(width, scale, frame, along):
    assume(width < 40 * scale * min(frame))
    side = Fraction(frame[0] if along == "width" else frame[1]) * Fraction(scale)
    laid = next(number for number in count(1) if number * side >= width)
    assert strips_across(float(width), Frame(*frame), scale, along) == laid


def test_a_width_of_exactly_so_many_strips_takes_no_more():
    assert strips_across(3 * 25.6, Frame(256, 1600), 0.1, "width") == 3
    assert strips_across(3 * 25.6 + 0.1, Frame(256, 1600), 0.1, "width") == 4
    assert sides_of(Frame(256, 1600), "width") == (1600, 256)


def last_wait(budget, services, cores):
    """How long the last strip waits for a free core; strips come one every ``budget``."""
    free = [Fraction(0)] * cores
    for number, service in enumerate(services):
        comes = number * Fraction(budget)
        core = min(range(cores), key=free.__getitem__)
        wait = max(Fraction(0), free[core] - comes)
        free[core] = comes + wait + Fraction(service)
    return wait


def mixed(share, every, soonest, strips):
    """Services of strips of which a share, evenly spread, leaves at the first network."""
    left = 0
    for number in range(1, strips + 1):
        leaves = left + 1 <= share * number
        left += leaves
        yield soonest if leaves else every


@settings(max_examples=50)
@given(milliseconds, milliseconds, milliseconds)
def test_the_share_that_must_leave_is_where_a_queue_stops_growing(budget, every, soonest):
    assume(soonest < every)
    needed = share_needed(budget, every, soonest)
    strips = 400  # a tenth of them makes 40
    if needed is None:
        assert last_wait(budget, [soonest] * strips, 1) == (strips - 1) * Fraction(soonest - budget)
        assert soonest > budget
        return
    enough = mixed(Fraction(needed) + Fraction(1, 10**9), every, soonest, strips)
    assert last_wait(budget, enough, 1) <= 2 * every
    assert needed == 0 or every > budget
    if needed > 0.1:
        grown = last_wait(budget, mixed(needed - 0.1, every, soonest, strips), 1)
        assert grown >= strips * 0.1 * (every - soonest) - 2 * every


@given(milliseconds, milliseconds, st.integers(1, 4))
def test_cores_that_keep_a_budget_are_the_fewest_that_do(budget, strip, cores):
    """Each core takes for a strip what all take between them, so many times."""
    needed = cores_needed(budget, strip, cores)
    assume(needed < 60)
    service, strips = Fraction(strip) * cores, 3 * needed
    assert last_wait(budget, [service] * strips, needed) == 0
    if needed > 1:
        assert last_wait(budget, [service] * strips, needed - 1) > 0


@given(milliseconds, milliseconds, st.none() | milliseconds, milliseconds, st.integers(1, 4))
def test_verdict_share_and_cores_agree(budget, every, soonest, seen, cores):
    line = Line(speed=1.0, mm_per_pixel=budget, frame=(1, 1))
    assert line.budget_ms == pytest.approx(budget)
    found = holding(line, Costs(every=every, soonest=soonest, seen=seen), cores)
    words = {"holds": found.needed == 0, "does not hold": found.needed is None}
    assert words.get(found.verdict, 0 < (found.needed or 0) <= 1)
    assert (found.cores["every"] <= cores) == (found.verdict == "holds")
    if soonest is None:
        assert "soonest" not in found.cores
        assert found.verdict != "holds if"
    else:
        best = min(found.cores["every"], found.cores["soonest"])
        assert (best <= cores) == (found.verdict != "does not hold")
    assert (found.busy["seen"] <= 1 + 1e-9) == (found.cores["seen"] <= cores)


GRAPH = Graph(file="a.onnx", heads=("masks",))
MANIFEST = Manifest(
    made_with="0",
    recipe="two",
    classes=Classes(names=("scratch",)),
    layout="columns",
    frame=(256, 1600),
    decision=Decision(stages=(Stage(segmenter=SegmentStep(name="segment"), rules=(Threshold(),)),)),
    networks={"segment": (GRAPH,)},
)


def test_a_line_is_of_the_bundles_strips():
    asked = line_asked(speed=2.0, mm_per_pixel=0.5, width_mm=1000.0, sides=2)
    line = asked.line(MANIFEST)
    assert (line.strip_mm, line.across) == (800, 8)
    assert line.strips_per_second == 40
    turned = asked.but(along="height").line(MANIFEST)
    assert (turned.strip_mm, turned.across) == (128, 2)
    assert LineAsked(speed=1.0, strips_across=3).line(MANIFEST.but(mm_per_pixel=0.25)).across == 3


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"speed": 1.0}, "--mm-per-pixel: is not given"),
        ({"speed": 1.0, "mm_per_pixel": 1.0, "width_mm": 9.0, "strips_across": 2}, "--width-mm"),
        ({"speed": float("nan")}, "--speed: is nan"),
        ({"speed": float("inf")}, "--speed: is inf"),
        ({"speed": 1.0, "strips_across": 0}, "--strips-across: is 0"),
    ],
)
def test_a_line_that_cannot_be_is_refused_with_a_way_out(said, words):
    with pytest.raises(InputError, match=words):
        line_asked(**said).line(MANIFEST)


def measured(way, milliseconds, asked, networks=5, cores=2, busy=None):
    """As if so many milliseconds a strip had been measured, of all cores together."""
    wall = milliseconds * 100 / 1000
    return Measured(
        setting=Setting(bundle="line.steelscan", cores=cores, way="workers", mode=way),
        recipe="two",
        written_for="onnx",
        precision="fp32",
        bytes=10**6,
        networks=networks,
        frames=((256, 1600),) * len(asked),
        networks_run=asked,
        defective=(False,) * len(asked),
        scans=100,
        wall=wall,
        cpu=wall * (cores if busy is None else busy),
        p50=milliseconds,
        p99=milliseconds,
        steps={"decoding": 1.0, "network": milliseconds, "cleaning": 1.0},
        memory=100.0,
        load=1.0,
        first=1.0,
    )


LINE = Line(speed=2.0, mm_per_pixel=0.5, frame=(256, 1600), across=8, sides=2)  # 25 ms


def three(every, seen, soonest):
    return [
        measured("all", every, (5, 5, 5, 5)),
        measured("cascade", seen, (1, 1, 3, 5)),
        measured("fewest", soonest, (1, 1, 1)),
    ]


@pytest.mark.parametrize(
    ("times", "cores", "words"),
    [
        ((20.0, 15.0, 5.0), 2, "Holds it, with all networks asked for every strip."),
        ((45.0, 24.0, 5.0), 2, "Holds it if at least 50 % of strips leave after the first network"),
        ((45.0, 24.0, 5.0), 2, "2 of 4 did: 50 % [7 %, 93 %].\n1 of 4 left later, before"),
        ((45.0, 24.0, 5.0), 2, "the machine keeps up"),
        ((45.0, 26.0, 5.0), 2, "the machine falls behind"),
        ((95.0, 45.0, 26.0), 2, "Does not hold it: not even if the first network cleared every"),
        ((95.0, 45.0, 26.0), 8, "Holds it, with all"),
        ((95.0, 45.0, 26.0), 8, "Measured on 2 cores, reckoned for 8."),
    ],
)
def test_the_verdict_in_words(times, cores, words):
    assert words in plan_text(planned_with(LINE, cores, three(*times)))


def test_a_share_is_told_so_that_it_is_enough():
    found = planned_with(LINE, 2, three(45.1, 24.0, 5.0))
    assert "at least 51 %" in plan_text(found)
    assert plan_json(found)["needed"] == pytest.approx(20.1 / 40.1)
    assert plan_json(found)["pictures_cleared_at_first"] == 2


def test_a_bundle_of_which_no_strip_leaves_early_says_so():
    alone = planned_with(LINE, 2, [measured("all", 60.0, (1, 1), networks=1)])
    assert "no strip can leave early" in plan_text(alone)
    assert alone.holding.cores == {"every": 5, "seen": 5}
    never = [measured(way, 60.0, (5, 5)) for way in ("all", "cascade", "fewest")]
    assert "no strip can leave early" in plan_text(planned_with(LINE, 2, never))


def test_others_at_work_are_told():
    busy = planned_with(LINE, 2, [measured("all", 60.0, (1,), networks=1, busy=1.0)])
    assert "1.00 of 2 cores were busy with this" in plan_text(busy)
    assert "might take 30.0 ms" in plan_text(busy)
    alone = planned_with(LINE, 2, [measured("all", 60.0, (1,), networks=1)])
    assert "Others were at work" not in plan_text(alone)
