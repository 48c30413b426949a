"""One step at the full budget: the cases are all there are, and the smallest of them go through."""

import json
import sys
from dataclasses import asdict, replace
from importlib import import_module
from itertools import groupby
from math import inf, nan
from pathlib import Path

import pytest
import torch
from torch import nn

from steelscan.recipes import with_random_weights
from steelscan.recipes.catalog import load, names

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SOLUTIONS = [name for name in names() if name != "quick"]
DISTINCT = {
    "first_place": 9,
    "fourteenth_place": 2,
    "fourth_place": 5,
    "ninth_place": 3,
    "seventh_place": 6,
    "seventieth_place": 2,
    "tenth_place": 5,
    "third_place": 7,
    "twelfth_place": 9,
}
SIZES = (
    "crop", "extra_passes", "batch", "accumulate_to", "loss", "optimizer", "precision", "mixup",
    "freeze",
)  # fmt: skip


@pytest.fixture(scope="module")
def steps():
    """The benchmark, imported as where it is run: with its folder on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield import_module("full_steps")
    for name in ("full_steps", "networks", "spilled"):
        sys.modules.pop(name, None)


def step_key(network, stage, resize, classes):
    """A step in words, from plain values."""
    outline = network.get("segmenter", network)
    bare = {name: value for name, value in outline.items() if name != "weights"}
    head = {name: value for name, value in network.items() if outline is not network}
    sizes = {name: stage[name] for name in SIZES}
    return json.dumps(
        [{**head, "segmenter": bare}, sizes, resize, len(classes or "1234")], sort_keys=True
    )


def walked(name):
    """Every network with a stage of it in the JSON of a recipe, wherever it stands there."""
    document = json.loads(load(name).model_dump_json())
    for step in document["steps"]:
        for member in step.get("ensemble", {}).get("members", ()):
            for place in (member, member["start"]):
                for stage in (place or {}).get("stages", ()):
                    yield step_key(place["network"], stage, member["resize"], member["classes"])


def key_of(case):
    return step_key(
        case.network.model_dump(mode="json"),
        case.training.model_dump(mode="json"),
        case.resize and case.resize.model_dump(mode="json"),
        case.classes,
    )


def measured(steps, case, batch, peak):
    case = case.at(batch)
    counts = {"fitted": 9, "silent": 0, "wild": 0, "still": 1}
    return steps.Measured(case.training.batch, 2.0, 3.0, peak, 0, 10, 20, 0.5, **counts)


def test_the_cases_are_every_stage_of_every_member_once(steps):
    cases = steps.cases()
    assert {key_of(case) for case in cases} == {each for name in SOLUTIONS for each in walked(name)}
    assert len({case.id for case in cases}) == len(cases) == 48
    assert len(SOLUTIONS) == 9


def test_each_case_names_the_recipes_that_need_it(steps):
    needed = dict.fromkeys(SOLUTIONS, 0)
    for case in steps.cases():
        for name in case.recipes:
            assert key_of(case) in set(walked(name))
            needed[name] += 1
    assert needed == DISTINCT


def test_the_classifier_that_lends_its_encoder_is_a_case(steps):
    start = with_random_weights(load("twelfth_place")).segment.ensemble.members[1].start
    assert any(
        (case.network, case.training) == (start.network, start.stages[0]) for case in steps.cases()
    )


def test_every_case_is_one_step_in_each_pass(steps):
    for case in steps.cases():
        for batch in (case.training.batch, steps.PROBE):
            smaller = case.at(batch)
            assert smaller.together == case.together
            for each in smaller.passes:
                batches = smaller.strips // each.batch  # the last, smaller one is left out
                assert 1 <= batches <= smaller.together


def test_a_smaller_batch_changes_nothing_else(steps):
    for case in steps.cases():
        assert case.at(case.training.batch) == case
        training = case.at(2, 1).training
        assert training.batch == 2
        rest = {"batch", "accumulate_to", "extra_passes"}
        assert training.model_dump(exclude=rest) == case.training.model_dump(exclude=rest)
        assert [each.crop for each in training.extra_passes] == [
            each.crop for each in case.training.extra_passes
        ]


def test_memory_is_estimated_on_the_line_through_two_steps(steps):
    for case in steps.cases():
        full = case.training.batch

        def line(batch, case=case):
            return 10**8 + 7 * case.at(batch).pixels

        probes = [measured(steps, case, batch, line(batch)) for batch in (1, 2)]
        assert steps.estimated_memory(case, probes, full) == pytest.approx(
            steps.MARGIN * line(full)
        )
        assert steps.estimated_memory(case, probes[1:], full) >= line(
            full
        )  # one alone overestimates
        assert steps.estimated_memory(case, [], full) == inf


@pytest.mark.parametrize(
    ("room", "expected_calls"),
    [
        (100, [(2, False), (28, False)]),
        (29, [(2, False), (4, False), (28, False)]),
        (28, [(2, False), (4, False), (28, True)]),
    ],
)
def test_a_step_uses_files_if_it_would_not_fit(steps, monkeypatch, room, expected_calls):
    case = next(case for case in steps.cases() if case.training.batch == 28)
    calls = []

    def alone(case, batch, *_, spill):
        calls.append((batch, spill))
        step = measured(steps, case, batch, round((1 + batch) / steps.MARGIN * steps.GIB))
        return replace(step, spilled=20 * steps.GIB) if spill else step

    monkeypatch.setattr(steps, "alone", alone)
    monkeypatch.setattr(steps, "free", lambda: 1000 * steps.GIB)
    row = steps.run(case, Path(), 1.0, (room + 1e-3) * steps.GIB)
    assert calls == expected_calls
    assert row.error is None
    assert row.measured.batch == 28
    assert steps.numbers(row)[-1] == ("20.00 GiB of it in files" if room == 28 else "")


def test_gradients_are_the_same_to_the_last_bit_when_kept_in_files(steps, tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    network.append(nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last))
    picture = torch.rand(2, 1, 200, 200, generator=torch.Generator().manual_seed(0))

    def gradients(output):
        network.zero_grad()
        (output[:, 1:].transpose(2, 3) * output.flip(2)[:, :-1]).mean().backward()
        return [each.grad.clone() for each in network.parameters()]

    plain = gradients(network(picture))
    with steps.spilling(tmp_path) as files:
        output = network(picture)
        held = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
        assert sum(held) == files.now >= 2 * output.nbytes
        spilled = gradients(output)
    assert all(map(torch.equal, plain, spilled))
    assert files.now == 0
    assert files.most >= sum(held)
    assert not list(tmp_path.iterdir())


def test_changed_memory_is_written_again_and_shared_memory_once(steps, tmp_path):
    values = torch.rand(600, 1000)
    with steps.spilling(tmp_path) as files:
        weight = torch.ones(600, 1000, requires_grad=True)
        first = weight * values
        again = weight[:, 1:] * values[:, 1:]
        assert files.now == values.nbytes
        before = values.clone()
        values.mul_(2)
        second = weight * values
        assert files.now == 2 * values.nbytes
        (first.sum() + again.sum() + second.sum()).backward()
    wanted = before + values
    wanted[:, 1:] += before[:, 1:]
    assert torch.equal(weight.grad, wanted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": nan}, "loss"),
        ({"silent": 2}, "2 tensors"),
        ({"wild": 1}, "finite"),
        ({"still": 9}, "no parameter"),
    ],
)
def test_a_failed_step_is_reported(steps, changes, message):
    good = measured(steps, steps.cases()[0], 2, 5)
    assert good.fault is None
    assert message in steps.Measured(**{**asdict(good), **changes}).fault


def test_a_second_call_continues_and_repeats_failed_cases(steps, monkeypatch, tmp_path):
    log, ran = tmp_path / "steps.jsonl", []
    last = max(case.id for case in steps.cases())

    def run(case, *_):
        ran.append(case.id)
        if case.id == last and len(ran) <= 48:
            return steps.Row(case.id, None, (), "over 9 s")
        step = measured(steps, case, case.training.batch, 5)
        return steps.Row(case.id, step, (step,), None)

    monkeypatch.setattr(steps, "run", run)
    monkeypatch.setattr(steps, "make_data", lambda _: None)
    monkeypatch.setattr(steps, "parameters", lambda _: 1)
    assert steps.table(steps.read_log(log)).count("not run yet") == 48
    steps.run_all(log, tmp_path, 1.0, 1.0)
    assert sorted(ran) == sorted(case.id for case in steps.cases())
    assert steps.table(steps.read_log(log)).count("over 9 s") == 1
    steps.run_all(log, tmp_path, 1.0, 1.0)
    assert ran[48:] == [last]
    steps.run_all(log, tmp_path, 1.0, 1.0)
    assert len(ran) == 49
    rows = steps.read_log(log)
    assert all(rows[case.id] == run(case) for case in steps.cases())
    lines = steps.table(rows).splitlines()
    assert len(lines) == 2 + 48
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert "COMMIT" in steps.page(rows, "run me")
    assert "run me" in steps.page(rows, "run me")


@pytest.mark.slow
def test_small_batches_of_each_kind_of_network_go_through(steps, tmp_path):
    """Networks and crops at their full size, two and four crops at a time."""
    steps.make_data(tmp_path)

    def kind(case):
        outline = getattr(case.network, "segmenter", case.network)
        return case.network.kind, outline.kind

    found = 0
    for _, alike in groupby(sorted(steps.cases(), key=kind), key=kind):
        case = min(alike, key=steps.work)
        room, together = 16.0 * steps.GIB, min(2, case.together)
        small, large = (
            steps.alone(case, batch, together, tmp_path, 1200.0, room, spill=False)
            for batch in (steps.PROBE, 4)
        )
        assert (small.fault, large.fault) == (None, None), steps.described(case)
        assert large.still < large.fitted / 2
        numbers = 4 * steps.parameters(case)
        assert numbers <= large.weights < 1.1 * numbers
        assert large.peak > small.peak > large.weights + large.state
        found += 1
    assert found == 7
