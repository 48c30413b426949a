"""Rounds of pseudo-labels: confident masks of test strips become labels to train on."""

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan import __version__
from steelscan.data import Dataset, JoinedStrips
from steelscan.decision import PredictionLog, RuleInput, masks_of
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_tasks import Task, tasks
from steelscan.pipeline.gates import with_gates
from steelscan.pipeline.independence import dependence_notes
from steelscan.pipeline.open_run import open_folds
from steelscan.pipeline.out_of_fold import OutOfFold, steps_to_tune, tune
from steelscan.pipeline.run_record import Tuned
from steelscan.postprocess import Rule
from steelscan.recipes import PseudoRule, StripPrediction, accepted_classes
from steelscan.strip import UNSURE, Mask
from steelscan.strip.files import write_json
from steelscan.strip.tables import MaskTable

TrainStrips: TypeAlias = tuple[Dataset | JoinedStrips, NDArray[np.int64]]
"""Strips to train on, and the rows of those that are pseudo-labelled."""


def pseudo_label(context: RunContext, round_: int) -> tuple[bool, list[str]]:
    """Predict the test strips with the networks of a context, and keep the confident masks.

    Returns whether there is any, and sentences on them. A JSON file next to each file of
    pseudo-labels records how they were made. Files that exist are left alone.
    """
    spec = context.recipe.pseudo_labels
    assert spec is not None
    folds = pseudo_label_folds(context)
    made = all(context.run.pseudo_labels(round_, fold).exists() for fold in folds)
    # thresholds are for strips that are still to be predicted
    steps = [] if made else steps_to_tune(context.recipe)
    tuned = (
        tune(context, OutOfFold(context, steps))
        if steps
        else Tuned(rules=context.recipe.rules, round=context.round)
    )
    tables, notes = [], []
    for fold in folds:
        notes += _predict(context, round_, fold, tuned)
        tables.append(context.run.load_pseudo_labels(round_, fold))
    kept = [len(table.rows) for table in tables]
    tests = len(context.dataset.test_names)
    note = f"Round {round_}: {_range(kept)} of {tests} test strips became pseudo-labels"
    if any(kept):
        notes += [f"{note}.", *_per_class(context, round_, tables)]
        return True, [*notes, *dependence_notes(spec, round_)]
    return False, [*notes, f"{note}: no network was fitted again."]


def training_strips(context: RunContext, fold: int, classes: tuple[int, ...] | None) -> TrainStrips:
    """Return all strips that a network may be trained on in the context's round.

    ``fold`` and ``classes``, ids from 1 (None: all), are those of the network. A test strip is
    among them if its pseudo-labels of all of these classes were accepted.
    """
    if context.round == 0:
        return context.dataset, np.empty(0, np.int64)
    own = fold if fold in pseudo_label_folds(context) else None
    table = context.run.load_pseudo_labels(context.round, own)
    ids = range(1, context.classes + 1)
    labels = {
        name: [row.get(class_id, UNSURE) for class_id in ids] for name, row in table.rows.items()
    }
    strips = JoinedStrips(context.dataset, labels, classes)
    return strips, strips.rows


def pseudo_label_folds(context: RunContext) -> tuple[int | None, ...]:
    """Return the folds whose networks make pseudo-labels for themselves; (None,): all together."""
    spec = context.recipe.pseudo_labels
    together = spec is not None and spec.predicted_by == "all"
    return (None,) if together else context.recipe.folds.validation


def _predict(context: RunContext, round_: int, fold: int | None, tuned: Tuned) -> list[str]:
    """Write the pseudo-labels of a fold, None for all; returns sentences on strips left out."""
    path = context.run.pseudo_labels(round_, fold)
    if path.exists():
        return []
    spec, dataset = context.recipe.pseudo_labels, context.dataset
    assert spec is not None
    folds = context.recipe.folds.validation if fold is None else (fold,)
    device = context.accelerator.device
    recipe, rules = with_gates(context.recipe, tuned.gates), tuned.rules
    detector = open_folds(context.run, recipe, rules, context.round, folds, device)
    rows = {name: row for row, name in enumerate(dataset.test_names)}
    fitted = tasks(context.recipe, folds, context.round)
    segmented = _segmented(context, fitted)

    def masks_of(name: str) -> list[Mask | None] | None:
        rule_input = detector.rule_input(dataset.test_picture(rows[name]))
        return confident_masks(rule_input, rules, spec.rule, segmented)

    path.parent.mkdir(parents=True, exist_ok=True)
    log = PredictionLog(path.with_suffix(".jsonl"), rows)
    left_out = log.fill(masks_of, f"Pseudo-labels, round {round_}", context.options.on_error)
    accepted = np.zeros(context.classes, np.int64)
    for _, texts in log.rows():
        accepted += [text != UNSURE for text in texts]
    provenance = {
        "program": f"steelscan {__version__}",
        "rule": spec.rule.model_dump(mode="json"),
        "masks": [rule.model_dump(mode="json") for rule in rules],
        "gates": [gate.model_dump(mode="json") for gate in tuned.gates],
        "predicted": len(rows),
        "kept": sum(1 for _ in log.rows()),
        "accepted": dict(zip(dataset.classes.names, accepted.tolist(), strict=True)),
        "networks": {task.label: _digest(context, task) for task in fitted},
    }
    write_json(path.with_suffix(".json"), provenance)
    log.write(path, "joined")
    log.remove()
    context.run.seal(path)
    return [f"Left out {name} of round {round_}: {reason}" for name, reason in left_out]


def confident_masks(
    rule_input: RuleInput,
    rules: Sequence[Rule],
    rule: PseudoRule,
    segmented: NDArray[np.bool_],
) -> list[Mask | None] | None:
    """Return the masks of the classes of a strip that are confident enough to train on.

    A class that is not has None, a strip without any is None. ``segmented`` is as in
    `StripPrediction`. The probability of a class without classifier and aux head is that of its
    highest pixel.
    """
    masks = masks_of(rule_input, rules)
    pixels = rule_input.pixels.astype(np.float32) / np.float32(255)
    highest = pixels.max((1, 2))
    classes = highest if rule_input.classes is None else rule_input.classes
    classes = np.where(np.isnan(classes), highest, classes)
    present = np.asarray(masks.any((1, 2)))
    accepted = accepted_classes(rule, StripPrediction(classes, pixels, present, segmented))
    if not accepted.any():
        return None
    return [mask if sure else None for mask, sure in zip(masks, accepted, strict=True)]


def _segmented(context: RunContext, fitted: Sequence[Task]) -> NDArray[np.bool_]:
    """Return the classes that networks of the last step predict, bool ``(classes,)``."""
    every, last = range(1, context.classes + 1), context.recipe.decision.last.segmenter.name
    members = [task.member for task in fitted if task.step == last]
    return np.isin(every, [each for member in members for each in member.classes or every])


def _digest(context: RunContext, task: Task) -> str:
    with (context.run.network(task) / "checkpoint.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _range(counts: Sequence[int]) -> str:
    """Return the counts of all folds as a text."""
    return str(counts[0]) if len(counts) == 1 else f"{min(counts)} to {max(counts)} (per fold)"


def _per_class(context: RunContext, round_: int, tables: Sequence[MaskTable]) -> list[str]:
    """Return a sentence on the accepted strips of each class, unless all have all classes."""
    rows = [list(table.rows.values()) for table in tables]
    if not any(UNSURE in row.values() for each in rows for row in each):
        return []
    counts = (
        f"{name} on {_range([sum(row.get(at, UNSURE) != UNSURE for row in each) for each in rows])}"
        for at, name in enumerate(context.dataset.classes.names, start=1)
    )
    return [f"Round {round_} has pseudo-labels of class {', class '.join(counts)} test strips."]
