"""What a run does not find, and what its gates cost: planted outputs, counted a second way."""

import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from steelscan.cli.train import _print_outcome
from steelscan.decision import (
    ClassifyStep,
    Decision,
    HardGate,
    SegmentStep,
    SoftGate,
    Stage,
    StepOutput,
)
from steelscan.evaluation.metrics import Pairs
from steelscan.pipeline import Options, Outcome, RunFolder
from steelscan.pipeline.evidence import ALL_GATES, Cause, Evidence, gather
from steelscan.pipeline.fitted_networks import fitted_networks
from steelscan.pipeline.stored import RunOutputs
from steelscan.pipeline.train import begin_run
from steelscan.pipeline.verdict import Verdict, gate_costs, never_found, verdict_of
from steelscan.pipeline.verdict_reasons import FittedNetwork, LostBefore
from steelscan.pipeline.verdict_text import verdict_sentences
from steelscan.postprocess import MinArea, RemoveSmallComponents, Threshold
from steelscan.recipes import Recipe, Segment
from steelscan.strip import Frame

FRAME = Frame(12, 20)
Maps = NDArray[np.uint8]
NETWORK = FittedNetwork(
    step="segment", label="segment net, fold 0", epochs=9, steps=900, random_weights=False
)


def level(probability: float) -> int:
    return round(probability * 255)


class Planted:
    """The store of a step, in memory."""

    def __init__(self, pixels: Maps | None, classes: NDArray[np.float64] | None) -> None:
        self.pixels, self.classes = pixels, classes

    def output(self, row: int) -> StepOutput:
        return StepOutput(
            None if self.pixels is None else self.pixels[row],
            None if self.classes is None else self.classes[row].astype(np.float32),
        )


def gathered(decision: Decision, truth: NDArray[np.bool_], stores: Mapping[str, Any]) -> Evidence:
    """Gather the evidence of planted outputs; ``truth`` is ``(strips, classes, height, width)``."""
    strips, classes = truth.shape[:2]
    dataset: Any = SimpleNamespace(
        classes=range(classes), frames=[FRAME] * strips, masks=lambda row: truth[row]
    )
    recipe: Any = SimpleNamespace(decision=decision)
    outputs = RunOutputs(recipe, dataset, stores)
    return gather(outputs, dataset, decision.last.rules, np.arange(strips))


def one_stage(rules: Sequence[Any], gate: Any = None, classify: Any = "class") -> Decision:
    classifiers = (ClassifyStep(name="classify", threshold=0.5, gate=classify),) if classify else ()
    segmenter = SegmentStep(name="segment", gate=gate)
    return Decision(
        stages=(Stage(classifiers=classifiers, segmenter=segmenter, rules=tuple(rules)),)
    )


def box(rows: slice, columns: slice, value: float = 1.0) -> Maps:
    pixels = np.zeros(FRAME, np.uint8)
    pixels[rows, columns] = level(value)
    return pixels


TRUE = box(slice(2, 6), slice(3, 10)) > 0  # 28 pixels


def on_truth(value: float) -> Maps:
    return (TRUE * np.uint8(level(value))).astype(np.uint8)


def test_each_kind_of_loss_is_found_and_counted() -> None:
    rules = Threshold(label=0.8, pixel=0.4), MinArea(pixels=10), RemoveSmallComponents(pixels=15)
    small = box(slice(2, 4), slice(3, 6), 0.9)  # 6 pixels
    pieces = small | box(slice(8, 10), slice(15, 19), 0.9)  # 6 and 8 pixels
    away = box(slice(8, 12), slice(12, 19), 0.9)
    cases = [
        (0.3, on_truth(0.9), "gate classify"),
        (0.3, on_truth(0.1), "gate classify"),
        (0.9, on_truth(0.3), "pixel"),
        (0.9, on_truth(0.7), "label"),
        (0.9, small, "rule min_area"),
        (0.9, pieces, "rule remove_small_components"),
        (0.9, away, "place"),
        (0.9, away, "place"),
    ]
    pixels = np.stack([case[1] for case in cases])[:, None]
    classes = np.array([[case[0]] for case in cases])
    truth = np.repeat(TRUE[None, None], len(cases), axis=0)
    stores = {"classify": Planted(None, classes), "segment": Planted(pixels, None)}
    evidence = gathered(one_stage(rules), truth, stores)
    names = [f"{cause.kind} {cause.name}".strip() for cause in evidence.causes]
    assert [names[at] for at in evidence.lost[:, 0]] == [case[2] for case in cases]
    assert not evidence.pairs.shared.any()
    (found,) = never_found({"held out": evidence}, ["blowhole"], np.array([True]))
    assert [(each.cause.kind, each.strips) for each in found.losses] == [
        ("gate", 2), ("pixel", 1), ("label", 1), ("rule", 1), ("rule", 1), ("place", 2),
    ]  # fmt: skip
    assert found.without_gates == 1
    verdict = verdict_of(
        {"held out": evidence}, {"held out": np.arange(8)}, ["blowhole"], "full", [NETWORK],
        np.array([True]),
    )  # fmt: skip
    assert verdict_sentences(verdict)[-1] == (
        "Class blowhole is on 8 held-out strips and is found on none: the gate of step classify "
        "closed it on 2 of 8, no pixel is above the pixel threshold on 1, the label threshold "
        "removed it on 1, the rule min_area removed it on 1, the rule remove_small_components "
        "removed it on 1, the mask is elsewhere on 2; without gates it would be found on 1."
    )


def test_the_gate_that_closed_a_class_first_is_named() -> None:
    """Two stages: a classifier, an emptiness stage, and a gate of the last segmenter's own."""
    first = Stage(
        classifiers=(ClassifyStep(name="classify", threshold=0.5, gate="image"),),
        segmenter=SegmentStep(name="segment"),
        rules=(Threshold(),),
    )
    last = Stage(
        segmenter=SegmentStep(name="segment2", gate=HardGate(threshold=0.5)), rules=(Threshold(),)
    )
    high, low = on_truth(0.9), on_truth(0.1)
    cases = [  # classifier, first segmenter, aux head, second segmenter; who closed it
        (0.1, low, 0.1, high, "classify"),
        (0.9, low, 0.1, high, "segment"),
        (0.9, high, 0.1, high, "segment2"),
        (0.9, high, 0.1, low, ""),
        (0.9, high, 0.9, high, None),
    ]
    columns = list(zip(*cases, strict=True))
    stores = {
        "classify": Planted(None, np.array(columns[0])[:, None]),
        "segment": Planted(np.stack(columns[1])[:, None], None),
        "segment2": Planted(np.stack(columns[3])[:, None], np.array(columns[2])[:, None]),
    }
    truth = np.repeat(TRUE[None, None], len(cases), axis=0)
    evidence = gathered(Decision(stages=(first, last)), truth, stores)
    found = [None if at < 0 else evidence.causes[at].name for at in evidence.lost[:, 0]]
    assert found == list(columns[4])
    lost = {each.gate: each.lost for each in gate_costs(evidence, ["a"])}
    # the first two strips are closed by further gates, too: no gate loses them alone
    assert lost == {"classify": 0, "segment": 0, "segment2": 1, ALL_GATES: 3}


def test_a_soft_gate_loses_a_class_whose_pixels_it_reduces() -> None:
    decision = one_stage([Threshold()], SoftGate(), classify=None)
    pixels = np.stack([on_truth(0.9), on_truth(0.9), on_truth(0.4)])[:, None]
    stores = {"segment": Planted(pixels, np.array([[0.5], [0.9], [0.9]]))}
    evidence = gathered(decision, np.repeat(TRUE[None, None], 3, axis=0), stores)
    kinds = [None if at < 0 else evidence.causes[at].kind for at in evidence.lost[:, 0]]
    assert kinds == ["gate", None, "pixel"]


@pytest.mark.parametrize("gate", [None, HardGate(threshold=(0.3, 0.6, 0.4))])
@pytest.mark.parametrize("classify", ["image", "class", None])
def test_costs_of_gates_are_those_of_a_second_count(gate: Any, classify: Any) -> None:
    random = np.random.default_rng(4)
    strips, classes = 150, 3
    truth = random.random((strips, classes, *FRAME)) < 0.02
    truth &= (random.random((strips, classes)) < 0.4)[:, :, None, None]
    pixels = random.integers(0, 256, truth.shape).astype(np.uint8)
    pixels //= random.integers(1, 4, (strips, classes, 1, 1)).astype(np.uint8)
    heads, aux = random.random((2, strips, classes)).astype(np.float32)
    stores = {"classify": Planted(None, heads), "segment": Planted(pixels, aux)}
    decision = one_stage([Threshold(label=0.9, pixel=0.85), MinArea(pixels=20)], gate, classify)
    evidence = gathered(decision, truth, stores)

    def opened(row: int, at: int, skipped: str) -> bool:
        passes = [heads[row, each] > 0.5 for each in range(classes)]
        first = any(passes) if classify == "image" else passes[at]
        own = gate is None or aux[row, at] > gate.threshold[at]
        first = first or classify is None or skipped in ("classify", ALL_GATES)
        return first and (own or skipped in ("segment", ALL_GATES))

    def mask(row: int, at: int, skipped: str) -> NDArray[np.bool_]:
        values = pixels[row, at] / 255
        kept = values > 0.85
        if not opened(row, at, skipped) or values.max() <= 0.9 or kept.sum() < 20:
            return np.zeros(FRAME, np.bool_)
        return np.asarray(kept)

    gates = [*["classify"] * (classify is not None), *["segment"] * (gate is not None)]
    costs = gate_costs(evidence, ["a", "b", "c"])
    expected = [*gates, *[ALL_GATES] * (len(gates) > 1)]
    assert [each.gate for each in costs[:: len("abc")]] == expected
    for cost in costs:
        at, lost, saved = "abc".index(cost.name), 0, 0
        for row in range(strips):
            true = truth[row, at]
            now, without = mask(row, at, ""), mask(row, at, cost.gate)
            lost += bool((without & true).any() and not (now & true).any())
            saved += bool(not true.any() and without.any() and not now.any())
        assert (cost.lost, cost.saved) == (lost, saved)
        assert cost.defective + cost.clean == strips
    if costs:
        assert sum(cost.lost for cost in costs) > 0
        assert sum(cost.saved for cost in costs) > 0
    for row in range(strips):
        for at in range(classes):
            now, true = mask(row, at, ""), truth[row, at]
            counts = [int(each.sum()) for each in (now, true, now & true)]
            pairs = evidence.pairs
            assert [pairs.predicted[row, at], pairs.truth[row, at], pairs.shared[row, at]] == counts
            was_lost = bool(true.any() and not (now & true).any())
            assert (evidence.lost[row, at] >= 0) == was_lost
            if was_lost:
                kind = evidence.causes[evidence.lost[row, at]].kind
                assert (kind == "place") == bool(now.any())
                assert (kind == "gate") <= (not opened(row, at, ""))


def evidence_of(predicted: Any, truth: Any, shared: Any, lost_by: str = "place") -> Evidence:
    """Return evidence of pixel counts ``(strips, classes)``, all missed pairs lost by one cause."""
    pairs = Pairs(*(np.array(each, np.int64) for each in (predicted, truth, shared)))
    causes = tuple(Cause(kind=kind) for kind in ("gate", "pixel", "label", "place"))
    at = [cause.kind for cause in causes].index(lost_by)
    missed = (pairs.truth > 0) & (pairs.shared == 0)
    return Evidence(pairs, {}, causes, np.where(missed, at, -1).astype(np.int8))


def verdict(
    evidence: Evidence, networks: Sequence[FittedNetwork] = (NETWORK,), trained: bool = True
) -> Verdict:
    classes = evidence.pairs.classes
    return verdict_of(
        {"held out": evidence}, {"held out": np.arange(len(evidence.pairs))},
        [f"class{at}" for at in range(classes)], "full", networks, np.full(classes, trained),
    )  # fmt: skip


def half_defective(strips: int = 40) -> NDArray[np.int64]:
    return np.where(np.arange(strips) % 2, 100, 0)[:, None]


def test_few_steps_are_no_reason_for_a_network_that_was_fine_tuned() -> None:
    truth, few = half_defective(), NETWORK.but(steps=24)
    nothing = evidence_of(truth * 0, truth, truth * 0)
    kinds = [
        {reason.kind for reason in verdict(nothing, (each,)).reasons}
        for each in (few, few.but(fine_tuned=True))
    ]
    assert ["few_steps" in each for each in kinds] == [True, False]


def test_a_run_that_finds_its_defects_gets_no_sentence() -> None:
    truth = half_defective()
    for evidence in (
        evidence_of(truth, truth, truth),
        evidence_of(truth + 40 * (truth > 0), truth, truth * 3 // 4),
    ):
        done = verdict(evidence)
        assert (done.compared, done.reasons) == ("better", ())
        assert verdict_sentences(done) == []
        assert Verdict.model_validate_json(done.model_dump_json()) == done


def test_budget_tiny_is_named_first() -> None:
    truth = half_defective()
    good = verdict(evidence_of(truth, truth, truth)).but(budget="tiny")
    bad = verdict(evidence_of(truth * 0, truth, truth * 0)).but(budget="tiny")
    (only,) = verdict_sentences(good)
    assert only == verdict_sentences(bad)[0]
    assert "proof of wiring" in only
    assert "no results" in only


def test_an_empty_answer_is_named_with_its_reason() -> None:
    truth = half_defective()
    few = NETWORK.but(steps=24, epochs=3, random_weights=True)
    for lost_by, text in (
        ("gate", "gates closed 20 of 20 pairs of strip and class with a defect"),
        ("pixel", "no probability passes the thresholds on 20 of 20 pairs"),
        ("label", "no probability passes the thresholds on 20 of 20 pairs"),
    ):
        evidence = evidence_of(truth * 0, truth, truth * 0, lost_by)
        first, found = verdict_sentences(verdict(evidence, [few]))
        assert first.startswith(
            "Nothing is predicted on any of the 40 strips held out: mean Dice 0.5000 is that of "
            "empty masks. Likely because network segment net, fold 0, was fitted for only 24 "
            "steps (3 epochs); the network that predicts pixels started with random weights; "
        )
        assert text in first
        assert "found on none" in found
        (alone,) = verdict(evidence).reasons
        assert isinstance(alone, LostBefore)
    first, found = verdict_sentences(verdict(evidence, trained=False))
    assert "no training strip has class class0" in first
    assert found.endswith("; no training strip has it.")


def test_a_short_classifier_is_a_reason_only_if_gates_lost_the_defects() -> None:
    truth = half_defective()
    classifier = NETWORK.but(step="classify", label="classify net, fold 0", steps=30)
    by_gate = evidence_of(truth * 0, truth, truth * 0, "gate")
    by_pixel = evidence_of(truth * 0, truth, truth * 0, "pixel")
    networks = [classifier, NETWORK]
    assert "classify net, fold 0" in verdict_sentences(verdict(by_gate, networks))[0]
    assert "classify net, fold 0" not in verdict_sentences(verdict(by_pixel, networks))[0]


def test_alarms_everywhere_are_counted() -> None:
    truth = half_defective()
    masks = np.full_like(truth, 500)
    worse = verdict_sentences(verdict(evidence_of(masks, truth, truth // 10)))
    assert worse[0].startswith("Worse than empty masks on the 40 strips held out: mean Dice 0.0")
    assert worse[1].startswith("Alarms everywhere: 20 of 20 clean strips held out have a mask.")
    assert "masks on 20 of 20 pairs of strip and class without a defect cost more" in worse[1]
    masks[0] = 0
    almost = verdict(evidence_of(masks, truth, truth // 10))
    assert "Alarms almost everywhere: 19 of 20 clean" in verdict_sentences(almost)[1]
    all_defective = truth + 100
    good = evidence_of(all_defective, all_defective, all_defective)
    assert verdict_sentences(verdict(good)) == []


def test_a_gain_on_few_strips_is_not_called_one() -> None:
    truth = np.zeros((30, 1), np.int64)
    truth[:4] = 100
    (line,) = verdict_sentences(verdict(evidence_of(truth, truth, truth)))
    assert line.startswith("Not shown to be better than empty masks on the 30 strips held out")
    assert "difference +0.1333 [+0.0000, " in line
    assert line.endswith("the score differs on 4 groups of strips, too few to show a gain.")


def test_a_gain_that_may_be_chance_without_a_known_reason() -> None:
    truth = half_defective(80)
    predicted = truth.copy()
    predicted[:70:2] = 1  # 35 false alarms, against 40 defects of which some are found
    shared = np.where(np.arange(80)[:, None] < 76, truth, 0)
    done = verdict(evidence_of(predicted, truth, shared))
    assert (done.compared, done.reasons) == ("not distinguishable", ())
    assert "None of the usual reasons applies" in verdict_sentences(done)[0]


def test_strips_without_a_defect_show_nothing() -> None:
    nothing = np.zeros((9, 2), np.int64)
    (line,) = verdict_sentences(verdict(evidence_of(nothing, nothing, nothing)))
    assert line.startswith("No defect is on the 9 strips held out")


def test_a_class_is_looked_for_in_the_first_part_that_has_it() -> None:
    truth = half_defective()
    found, missed = evidence_of(truth, truth, truth), evidence_of(truth * 0, truth, truth * 0)
    without = evidence_of(truth * 0, truth * 0, truth * 0)
    yes = np.array([True])

    def parts(held_out: Evidence, out_of_fold: Evidence) -> list[tuple[str, Any]]:
        parts = {"held out": held_out, "out of fold": out_of_fold}
        return [(each.part, each.elsewhere) for each in never_found(parts, ["a"], yes)]

    assert parts(found, missed) == parts(without, found) == parts(without, without) == []
    assert parts(missed, found) == [("held out", (("out of fold", 20, 20),))]
    assert parts(without, missed) == [("out of fold", ())]


def test_steps_are_those_of_the_optimizer(tiny: Recipe, strips: Path, tmp_path: Path) -> None:
    """12 samples in batches of 4 are 3 steps an epoch; two batches a step make 2 of them."""
    (member,) = tiny.segment.ensemble.members
    stages = tuple(stage.but(accumulate_to=8) for stage in member.stages)
    segment: Segment = tiny.segment.but(
        ensemble=tiny.segment.ensemble.but(members=(member.but(stages=stages),))
    )
    recipe = tiny.with_steps({"segment": segment})
    context, _ = begin_run(RunFolder(tmp_path), recipe, strips, Options(device="cpu"))
    found = {(each.step, each.label[-1]): each for each in fitted_networks(context)}
    assert {key: each.steps for key, each in found.items()} == {
        ("classify", "0"): 6, ("classify", "1"): 6, ("segment", "0"): 4, ("segment", "1"): 4,
    }  # fmt: skip
    assert {each.epochs for each in found.values()} == {2}


def test_a_run_keeps_its_verdict_and_its_report_begins_with_it(
    finished: tuple[Path, Outcome],
) -> None:
    run, outcome = finished
    folder = RunFolder(run)
    stored = Verdict.model_validate_json(folder.read(folder.verdict))
    assert tuple(verdict_sentences(stored)) == outcome.verdict
    assert stored.mean_dice == outcome.scores["held out"].mean_dice.value
    assert stored.empty == outcome.empty["held out"].mean_dice.value
    assert {each.gate for each in stored.gates} == {"classify"}
    page = html.unescape(folder.report.read_text())
    top = page[page.index("<h1>") : page.index("<h2>")]
    assert [line in top for line in outcome.verdict] == [True] * len(outcome.verdict)
    assert outcome.verdict  # six steps with random weights find nothing
    assert ", was fitted for only 6 steps (2 epochs)" in top
    assert "started with random weights" in top
    assert top.index(outcome.verdict[0]) < top.index(outcome.notes[0])
    assert "lost by the gate" in page


def test_the_command_ends_with_the_verdict(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    show: Callable[..., None] = _print_outcome
    show(Outcome({}, {}, ("A note.",), (), ("First.", "Second.")), "quick", tmp_path)
    assert capsys.readouterr().out.splitlines()[-2:] == ["First.", "Second."]
    show(Outcome({}, {}, ("A note.",)), "quick", tmp_path)
    assert capsys.readouterr().out.splitlines()[-1].startswith("Report: ")
