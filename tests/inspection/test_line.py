"""The line budget, compared with simulated lines and machines."""

from fractions import Fraction
from itertools import count

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from steelscan.bundle import Graph, Manifest
from steelscan.bundle.bench import Measured, Setting
from steelscan.decision import Decision, SegmentStep, Stage
from steelscan.inspection import LineRequest, line_request, line_text
from steelscan.inspection.line import (
    Costs,
    Line,
    along_and_across,
    cores_needed,
    early_share_needed,
    strips_across,
    verdict_of,
)
from steelscan.inspection.line_budget import line_budget
from steelscan.postprocess import Threshold
from steelscan.strip import Classes, Frame
from steelscan.strip.errors import InputError

sixteenths = st.integers(1, 64).map(lambda number: number / 16)
sides = st.integers(1, 2000)
frames = st.tuples(sides, sides)
milliseconds = st.integers(1, 400).map(lambda number: number / 4)


@given(sixteenths, sixteenths, frames, st.sampled_from(["width", "height"]), st.integers(1, 9))
def test_strips_per_second_match_a_simulation_of_the_steel(speed, scale, frame, along, across):
    """Compare with steel that moves strip by strip, in exact numbers, for a minute."""
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
def test_the_fewest_strips_side_by_side_cover_the_steel(width, scale, frame, along):
    assume(width < 40 * scale * min(frame))
    side = Fraction(frame[0] if along == "width" else frame[1]) * Fraction(scale)
    laid = next(number for number in count(1) if number * side >= width)
    assert strips_across(float(width), Frame(*frame), scale, along) == laid


def test_a_width_of_exactly_three_strips_needs_three():
    assert strips_across(3 * 25.6, Frame(256, 1600), 0.1, "width") == 3
    assert strips_across(3 * 25.6 + 0.1, Frame(256, 1600), 0.1, "width") == 4
    assert along_and_across(Frame(256, 1600), "width") == (1600, 256)


def last_wait(budget, services, cores):
    """Return how long the last strip waits for a free core if one comes every ``budget``."""
    free = [Fraction(0)] * cores
    for number, service in enumerate(services):
        comes = number * Fraction(budget)
        core = min(range(cores), key=free.__getitem__)
        wait = max(Fraction(0), free[core] - comes)
        free[core] = comes + wait + Fraction(service)
    return wait


def mixed(share, every, soonest, strips):
    """Yield times per strip if the first network decides a share of them, evenly distributed."""
    left = 0
    for number in range(1, strips + 1):
        leaves = left + 1 <= share * number
        left += leaves
        yield soonest if leaves else every


@settings(max_examples=50)
@given(milliseconds, milliseconds, milliseconds)
def test_below_the_needed_share_a_queue_grows_and_above_it_does_not(budget, every, soonest):
    assume(soonest < every)
    needed = early_share_needed(budget, every, soonest)
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
def test_cores_needed_is_the_smallest_number_without_a_queue(budget, strip, cores):
    """One core takes ``cores`` times as long as all together."""
    needed = cores_needed(budget, strip, cores)
    assume(needed < 60)
    service, strips = Fraction(strip) * cores, 3 * needed
    assert last_wait(budget, [service] * strips, needed) == 0
    if needed > 1:
        assert last_wait(budget, [service] * strips, needed - 1) > 0


@given(milliseconds, milliseconds, st.none() | milliseconds, milliseconds, st.integers(1, 4))
def test_verdict_share_and_cores_are_consistent(budget, every, soonest, seen, cores):
    line = Line(speed=1.0, mm_per_pixel=budget, frame=(1, 1))
    assert line.budget_ms == pytest.approx(budget)
    verdict = verdict_of(
        line, Costs(all_networks=every, first_network=soonest, these_pictures=seen), cores
    )
    expected = {"yes": verdict.share_needed == 0, "no": verdict.share_needed is None}
    assert expected.get(verdict.keeps_up, 0 < (verdict.share_needed or 0) <= 1)
    assert (verdict.cores["all_networks"] <= cores) == (verdict.keeps_up == "yes")
    if soonest is None:
        assert "first_network" not in verdict.cores
        assert verdict.keeps_up != "if"
    else:
        best = min(verdict.cores["all_networks"], verdict.cores["first_network"])
        assert (best <= cores) == (verdict.keeps_up != "no")
    assert (verdict.busy["these_pictures"] <= 1 + 1e-9) == (
        verdict.cores["these_pictures"] <= cores
    )


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


def test_a_line_uses_the_strips_of_the_bundle():
    request = line_request(speed=2.0, mm_per_pixel=0.5, width_mm=1000.0, sides=2)
    line = request.line(MANIFEST)
    assert (line.strip_mm, line.across) == ((800, 128), 8)
    assert line.strips_per_second == 40
    rotated = request.but(along="height").line(MANIFEST)
    assert (rotated.strip_mm, rotated.across) == ((128, 800), 2)
    assert LineRequest(speed=1.0, strips_across=3).line(MANIFEST.but(mm_per_pixel=0.25)).across == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"speed": 1.0}, "--mm-per-pixel: is missing"),
        ({"speed": 1.0, "mm_per_pixel": 1.0, "width_mm": 9.0, "strips_across": 2}, "--width-mm"),
        ({"speed": float("nan")}, "--speed: is nan"),
        ({"speed": float("inf")}, "--speed: is inf"),
        ({"speed": 1.0, "strips_across": 0}, "--strips-across: is 0"),
    ],
)
def test_an_impossible_line_is_refused_with_a_remedy(fields, message):
    with pytest.raises(InputError, match=message):
        line_request(**fields).line(MANIFEST)


def measured(way, milliseconds, asked, networks=5, cores=2, busy=None):
    """Return a measurement with this many milliseconds per strip, of all cores together."""
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
    ("times", "cores", "expected"),
    [
        ((20.0, 15.0, 5.0), 2, "keeps up, even if all networks run for every strip."),
        ((45.0, 24.0, 5.0), 2, "keeps up if the first network can decide at least 50 % of strips"),
        (
            (45.0, 24.0, 5.0),
            2,
            "2 of the 4 pictures measured: 50 % [7 %, 93 %].\n1 of 4 were decided later, before",
        ),
        ((45.0, 24.0, 5.0), 2, "the machine keeps up"),
        ((45.0, 26.0, 5.0), 2, "the machine falls behind"),
        (
            (95.0, 45.0, 26.0),
            2,
            "falls behind: it would even if the first network decided every strip",
        ),
        ((95.0, 45.0, 26.0), 8, "keeps up, even if all"),
        ((95.0, 45.0, 26.0), 8, "Measured on 2 cores, extrapolated to 8."),
    ],
)
def test_the_verdict_as_text(times, cores, expected):
    assert expected in line_text(line_budget(LINE, cores, three(*times)))


def test_the_needed_share_is_rounded_up():
    budget = line_budget(LINE, 2, three(45.1, 24.0, 5.0))
    assert "at least 51 %" in line_text(budget)
    assert budget.verdict.share_needed == pytest.approx(20.1 / 40.1)
    assert budget.decided_by_first == 2


def test_the_text_explains_that_no_strip_can_be_decided_early():
    alone = line_budget(LINE, 2, [measured("all", 60.0, (1, 1), networks=1)])
    assert "no strip can be decided early" in line_text(alone)
    assert alone.verdict.cores == {"all_networks": 5, "these_pictures": 5}
    never = [measured(way, 60.0, (5, 5)) for way in ("all", "cascade", "fewest")]
    assert "no strip can be decided early" in line_text(line_budget(LINE, 2, never))


def test_the_text_warns_if_other_programs_were_running():
    busy = line_budget(LINE, 2, [measured("all", 60.0, (1,), networks=1, busy=1.0)])
    assert "steelscan used 1.00 of 2 cores" in line_text(busy)
    assert "may take 30.0 ms" in line_text(busy)
    alone = line_budget(LINE, 2, [measured("all", 60.0, (1,), networks=1)])
    assert "Other programs were running" not in line_text(alone)
