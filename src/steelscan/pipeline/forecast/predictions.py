"""What a run predicts: which strips, by which networks, and how many of them are done."""

from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel

from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_tasks import fitted_before
from steelscan.pipeline.pseudo_labels import pseudo_label_folds
from steelscan.prediction import ProbabilityStore
from steelscan.recipes import Segment

_PACKED = 0.15
"""Share of their size that mask probabilities take on disk at most, except for pure noise."""

_Group: TypeAlias = tuple[Sequence[int], int, int]
"""Folds whose networks predict, the number of strips, and how many of them are done."""


class PredictionRow(BaseModel, frozen=True):
    """Strips that a step predicts; ``passes`` counts each network and view, ``done`` those done.

    ``bytes`` are those of the store of probabilities, ``seconds`` those left, nan if unknown.
    """

    name: str
    strips: int
    passes: int
    done: int
    seconds: float
    bytes: int = 0


def predictions_of(
    contexts: Sequence[RunContext], seconds: Mapping[Path, float]
) -> Iterator[PredictionRow]:
    """Yield the predictions of validation strips, per store, then those of test strips.

    ``contexts`` are those of all rounds. ``seconds`` are those to predict a view of a strip, by
    the folder of a network; nan if unknown.
    """
    last, stores = contexts[-1], set()
    everyone, tests = last.recipe.folds.validation, len(last.dataset.test_names)

    def row(
        context: RunContext, name: str, label: str, groups: Sequence[_Group], size: float = 0
    ) -> PredictionRow:
        views, passes, done, left = len(context.recipe.named[name].ensemble.views), 0, 0, 0.0
        for folds, strips, finished in groups:
            networks = [seconds[context.run.network(task)] for task in context.tasks(name, folds)]
            passes += strips * len(networks) * views
            done += finished * len(networks) * views
            if strips > finished:
                left += (strips - finished) * views * sum(networks)
        count = sum(strips for _, strips, _ in groups)
        return PredictionRow(
            name=f"{name}, {label}",
            strips=count,
            passes=passes,
            done=done,
            seconds=left,
            bytes=int(count * size),
        )

    for context in contexts:
        for name in last.recipe.named if context is last else _validated_early(context):
            number = max(task.round for task in context.tasks(name, everyone))
            if (name, number) not in stores:
                stores.add((name, number))
                groups, size = _validation(context, name, number)
                label = f"validation, round {number}" if number else "validation"
                yield row(context, name, label, groups, size)
    for context in contexts[:-1]:
        groups = [_pseudo_labels(context, fold) for fold in pseudo_label_folds(context)]
        for name in context.recipe.named:
            yield row(context, name, f"pseudo-labels {context.round + 1}", groups)
    for name in last.recipe.named if tests else ():
        done = _lines(last.run.path / "submission.jsonl")
        yield row(last, name, "test strips", [(everyone, tests, done)])


def _validated_early(context: RunContext) -> Sequence[str]:
    """Return the steps whose networks predict the validation strips before the last round."""
    if context.recipe.tune is not None:
        return list(context.recipe.named)
    steps = set[str]()
    for task in context.new_tasks:
        steps.update(fitted_before(context.recipe, task))
        if task.member.needs_class_probabilities:
            steps.add("classify")
    return [name for name in context.recipe.named if name in steps]


def _validation(context: RunContext, name: str, number: int) -> tuple[Sequence[_Group], float]:
    """Return the validation strips of a step, and the bytes per strip in its store."""
    folder = context.run.probabilities(name, number)
    masks = isinstance(context.recipe.named[name], Segment)
    stored: Container[int] = ()
    if (folder / "strips.txt").exists():
        frames = context.dataset.frames if masks else ()
        stored = ProbabilityStore.to_read(folder, len(context.dataset), context.classes, frames)
    validated = [(folds, rows.tolist()) for folds, rows in context.evaluated_by]
    groups = [(folds, len(rows), sum(row in stored for row in rows)) for folds, rows in validated]
    largest = max(frame.pixels for frame in set(context.dataset.frames))
    return groups, context.classes * (_PACKED * largest if masks else 4.0)


def _pseudo_labels(context: RunContext, fold: int | None) -> _Group:
    """Return the test strips that the networks of a round predict for the next one."""
    path = context.run.pseudo_labels(context.round + 1, fold)
    tests = len(context.dataset.test_names)
    done = tests if path.exists() else _lines(path.with_suffix(".jsonl"))
    return context.recipe.folds.validation if fold is None else (fold,), tests, done


def _lines(log: Path) -> int:
    """Return the number of strips in a log; 0 if it cannot be read, which the run will report."""
    try:
        return log.read_bytes().count(b"\n")
    except OSError:
        return 0
