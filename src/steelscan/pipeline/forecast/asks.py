"""What a run asks its networks: about which strips, and which of them are answered."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TypeAlias

import numpy as np

from steelscan.pipeline import Plan, answered_apart, tasks
from steelscan.pipeline.forecast.speed import Cost
from steelscan.pipeline.forecast.table import AskRow
from steelscan.prediction import ProbabilityStore
from steelscan.recipes import Segment

_PACKED = 0.15
"""Share of their size that mask probabilities take on disk, at most, but for pure noise."""


_Group: TypeAlias = tuple[Sequence[int], int, int]
"""Folds whose networks answer, how many strips, and how many of them they have answered."""


def asks_of(plans: Sequence[Plan], costs: Mapping[Path, Cost]) -> Iterator[AskRow]:
    """The strips that judge, a store at a time, then those without masks.

    ``costs`` are those of all networks by their folders.
    """
    last, stores = plans[-1], set()
    everyone, tests = last.recipe.folds.validation, len(last.dataset.test_names)
    for plan in plans:
        for name in last.recipe.named if plan is last else _judged_early(plan):
            number = max(task.round for task in plan.tasks(name, everyone))
            if (name, number) not in stores:
                stores.add((name, number))
                yield _judging(plan, name, number, costs)
    for plan in plans[:-1]:
        groups = [_pseudo(plan, fold) for fold in answered_apart(plan)]
        for name in plan.recipe.named:
            yield _row(plan, name, f"{name}, pseudo-labels {plan.round + 1}", groups, costs)
    for name in last.recipe.named if tests else ():
        done = _lines(last.run.path / "submission.jsonl")
        yield _row(last, name, f"{name}, test strips", [(everyone, tests, done)], costs)


def _row(
    plan: Plan, name: str, label: str, groups: Sequence[_Group], costs: Mapping[Path, Cost]
) -> AskRow:
    views = len(plan.recipe.named[name].ensemble.views)
    passes = answered = 0
    seconds = 0.0
    for folds, strips, done in groups:
        asked = [costs[plan.run.network(task)] for task in plan.tasks(name, folds)]
        passes += strips * len(asked) * views
        answered += done * len(asked) * views
        if left := strips - done:
            seconds += sum(cost.build + left * views * cost.ask for cost in asked)
    return AskRow(label, sum(strips for _, strips, _ in groups), passes, answered, seconds)


def _judged_early(plan: Plan) -> Sequence[str]:
    """The steps whose networks answer for the strips that judge before the last round."""
    if plan.recipe.tune is not None:
        return list(plan.recipe.named)
    fitted = tasks(plan.recipe, plan.recipe.folds.validation, plan.round)
    asked = any(task.member.wants_suspicion for task in fitted if task.round == plan.round)
    return ["classify"] if asked else []


def _judging(plan: Plan, name: str, number: int, costs: Mapping[Path, Cost]) -> AskRow:
    """The strips that judge a step: what fills its store."""
    folder = plan.run.probabilities(name, number)
    frames = plan.dataset.frames if isinstance(plan.recipe.named[name], Segment) else ()
    there: Container[int] = ()
    if (folder / "strips.txt").exists():
        there = ProbabilityStore.to_read(folder, len(plan.dataset), plan.classes, frames)
    judged = [(folds, rows.tolist()) for folds, rows in plan.judged_by]
    groups = [(folds, len(rows), sum(row in there for row in rows)) for folds, rows in judged]
    label = f"{name}, judging" + (f", round {number}" if number else "")
    row, size = _row(plan, name, label, groups, costs), 4.0
    if isinstance(plan.recipe.named[name], Segment):
        size = _PACKED * prod(np.max(plan.dataset.frames, axis=0).tolist())
    return replace(row, bytes=int(row.strips * plan.classes * size))


def _pseudo(plan: Plan, fold: int | None) -> _Group:
    """Test strips answered by the networks of a round for the next one to learn from."""
    path, tests = plan.run.pseudo_labels(plan.round + 1, fold), len(plan.dataset.test_names)
    done = tests if path.exists() else _lines(path.with_suffix(".jsonl"))
    return plan.recipe.folds.validation if fold is None else (fold,), tests, done


def _lines(log: Path) -> int:
    """Answers in a log; of one that cannot be read none, and who needs them is told."""
    try:
        return log.read_bytes().count(b"\n")
    except OSError:
        return 0
