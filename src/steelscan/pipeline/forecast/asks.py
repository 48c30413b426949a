"""What a run asks its networks: about which strips, and which of them are answered."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TypeAlias

import numpy as np

from steelscan.pipeline import RunContext, answered_apart, tasks
from steelscan.pipeline.forecast.speed import Cost
from steelscan.pipeline.forecast.table import AskRow
from steelscan.prediction import ProbabilityStore
from steelscan.recipes import Segment

_PACKED = 0.15
"""Share of their size that mask probabilities take on disk, at most, but for pure noise."""


_Group: TypeAlias = tuple[Sequence[int], int, int]
"""Folds whose networks answer, how many strips, and how many of them they have answered."""


def asks_of(plans: Sequence[RunContext], costs: Mapping[Path, Cost]) -> Iterator[AskRow]:
    """The strips that judge, a store at a time, then those without masks.

    ``costs`` are those of all networks by their folders.
    """
    last, stores = plans[-1], set()
    everyone, tests = last.recipe.folds.validation, len(last.dataset.test_names)
    for context in plans:
        for name in last.recipe.named if context is last else _judged_early(context):
            number = max(task.round for task in context.tasks(name, everyone))
            if (name, number) not in stores:
                stores.add((name, number))
                yield _judging(context, name, number, costs)
    for context in plans[:-1]:
        groups = [_pseudo(context, fold) for fold in answered_apart(context)]
        for name in context.recipe.named:
            yield _row(context, name, f"{name}, pseudo-labels {context.round + 1}", groups, costs)
    for name in last.recipe.named if tests else ():
        done = _lines(last.run.path / "submission.jsonl")
        yield _row(last, name, f"{name}, test strips", [(everyone, tests, done)], costs)


def _row(
    context: RunContext, name: str, label: str, groups: Sequence[_Group], costs: Mapping[Path, Cost]
) -> AskRow:
    views = len(context.recipe.named[name].ensemble.views)
    passes = answered = 0
    seconds = 0.0
    for folds, strips, done in groups:
        asked = [costs[context.run.network(task)] for task in context.tasks(name, folds)]
        passes += strips * len(asked) * views
        answered += done * len(asked) * views
        if left := strips - done:
            seconds += sum(cost.build + left * views * cost.ask for cost in asked)
    return AskRow(label, sum(strips for _, strips, _ in groups), passes, answered, seconds)


def _judged_early(context: RunContext) -> Sequence[str]:
    """The steps whose networks answer for the strips that judge before the last round."""
    if context.recipe.tune is not None:
        return list(context.recipe.named)
    fitted = tasks(context.recipe, context.recipe.folds.validation, context.round)
    asked = any(
        task.member.needs_class_probabilities for task in fitted if task.round == context.round
    )
    return ["classify"] if asked else []


def _judging(context: RunContext, name: str, number: int, costs: Mapping[Path, Cost]) -> AskRow:
    """The strips that judge a step: what fills its store."""
    folder = context.run.probabilities(name, number)
    frames = context.dataset.frames if isinstance(context.recipe.named[name], Segment) else ()
    there: Container[int] = ()
    if (folder / "strips.txt").exists():
        there = ProbabilityStore.to_read(folder, len(context.dataset), context.classes, frames)
    judged = [(folds, rows.tolist()) for folds, rows in context.judged_by]
    groups = [(folds, len(rows), sum(row in there for row in rows)) for folds, rows in judged]
    label = f"{name}, judging" + (f", round {number}" if number else "")
    row, size = _row(context, name, label, groups, costs), 4.0
    if isinstance(context.recipe.named[name], Segment):
        size = _PACKED * prod(np.max(context.dataset.frames, axis=0).tolist())
    return replace(row, bytes=int(row.strips * context.classes * size))


def _pseudo(context: RunContext, fold: int | None) -> _Group:
    """Test strips answered by the networks of a round for the next one to learn from."""
    path, tests = (
        context.run.pseudo_labels(context.round + 1, fold),
        len(context.dataset.test_names),
    )
    done = tests if path.exists() else _lines(path.with_suffix(".jsonl"))
    return context.recipe.folds.validation if fold is None else (fold,), tests, done


def _lines(log: Path) -> int:
    """Answers in a log; of one that cannot be read none, and who needs them is told."""
    try:
        return log.read_bytes().count(b"\n")
    except OSError:
        return 0
