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
from steelscan.pipeline.open_run import open_folds
from steelscan.pipeline.out_of_fold import OutOfFold, tune
from steelscan.postprocess import Rule
from steelscan.recipes import PseudoRule, StripPrediction, accepts
from steelscan.strip import Masks, write_json

TrainStrips: TypeAlias = tuple[Dataset | JoinedStrips, NDArray[np.int64]]
"""Strips to train on, and the rows of those that are pseudo-labelled."""


def pseudo_label(context: RunContext, round_: int) -> tuple[bool, list[str]]:
    """Predict the test strips with the networks of a context, and keep the confident masks.

    Returns whether there is any, and sentences on them. A JSON file next to each file of
    pseudo-labels records how they were made. Files that exist are left alone.
    """
    spec = context.recipe.pseudo_labels
    assert spec is not None
    exist = [
        context.run.pseudo_labels(round_, fold).exists() for fold in pseudo_label_folds(context)
    ]
    tuned = context.recipe.tune and not all(exist)
    rules = tune(context, OutOfFold(context)).rules if tuned else context.recipe.rules
    kept, notes = [], []
    for fold in pseudo_label_folds(context):
        notes += _predict(context, round_, fold, rules)
        kept.append(len(context.run.load_pseudo_labels(round_, fold).rows))
    count = str(kept[0]) if len(kept) == 1 else f"{min(kept)} to {max(kept)} (per fold)"
    tests = len(context.dataset.test_names)
    note = f"Round {round_}: {count} of {tests} test strips became pseudo-labels"
    if any(kept):
        return True, [*notes, f"{note}.", *_warning(spec.predicted_by)]
    return False, [*notes, f"{note}: no network was fitted again."]


def training_strips(context: RunContext, fold: int) -> TrainStrips:
    """Return all strips that networks of a fold may be trained on in the context's round."""
    if context.round == 0:
        return context.dataset, np.empty(0, np.int64)
    own = fold if fold in pseudo_label_folds(context) else None
    table = context.run.load_pseudo_labels(context.round, own)
    labels = {name: table.texts(name, context.classes) for name in table.rows}
    strips = JoinedStrips(context.dataset, labels)
    return strips, strips.rows


def pseudo_label_folds(context: RunContext) -> tuple[int | None, ...]:
    """Return the folds whose networks make pseudo-labels for themselves; (None,): all together."""
    spec = context.recipe.pseudo_labels
    together = spec is not None and spec.predicted_by == "all"
    return (None,) if together else context.recipe.folds.validation


def _predict(
    context: RunContext, round_: int, fold: int | None, rules: Sequence[Rule]
) -> list[str]:
    """Write the pseudo-labels of a fold, None for all; returns sentences on strips left out."""
    path = context.run.pseudo_labels(round_, fold)
    if path.exists():
        return []
    spec, dataset = context.recipe.pseudo_labels, context.dataset
    assert spec is not None
    folds = context.recipe.folds.validation if fold is None else (fold,)
    device = context.accelerator.device
    detector = open_folds(context.run, context.recipe, rules, context.round, folds, device)
    rows = {name: row for row, name in enumerate(dataset.test_names)}

    def masks_of(name: str) -> Masks | None:
        rule_input = detector.rule_input(dataset.test_picture(rows[name]))
        return confident_masks(rule_input, rules, spec.rule)

    path.parent.mkdir(parents=True, exist_ok=True)
    log = PredictionLog(path.with_suffix(".jsonl"), rows)
    left_out = log.fill(masks_of, f"Pseudo-labels, round {round_}", context.options.on_error)
    fitted = tasks(context.recipe, folds, context.round)
    provenance = {
        "program": f"steelscan {__version__}",
        "rule": spec.rule.model_dump(mode="json"),
        "masks": [rule.model_dump(mode="json") for rule in rules],
        "predicted": len(rows),
        "kept": sum(1 for _ in log.rows()),
        "networks": {task.label: _digest(context, task) for task in fitted},
    }
    write_json(path.with_suffix(".json"), provenance)
    log.write(path, "joined")
    log.remove()
    context.run.seal(path)
    return [f"Left out {name} of round {round_}: {reason}" for name, reason in left_out]


def confident_masks(rule_input: RuleInput, rules: Sequence[Rule], rule: PseudoRule) -> Masks | None:
    """Return the masks of a strip if they are confident enough to train on, else None.

    The probability of a class without classifier and aux head is that of its highest pixel.
    """
    masks = masks_of(rule_input, rules)
    pixels = rule_input.pixels.astype(np.float32) / np.float32(255)
    highest = pixels.max((1, 2))
    classes = highest if rule_input.classes is None else rule_input.classes
    classes = np.where(np.isnan(classes), highest, classes)
    confident = accepts(rule, StripPrediction(classes, pixels, np.asarray(masks.any((1, 2)))))
    return masks if confident else None


def _digest(context: RunContext, task: Task) -> str:
    with (context.run.network(task) / "checkpoint.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _warning(predicted_by: str) -> list[str]:
    if predicted_by == "fold":
        return []
    return [
        "Pseudo-labels came from the networks of all folds, which were trained on each other's "
        "validation strips: out-of-fold scores are too high by an unknown, small amount."
    ]
