"""Rounds of pseudo-labels: test strips answered, the sure answers kept, and learned from."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan import __version__
from steelscan.data import Dataset, JoinedStrips
from steelscan.decision import AnswerLog, RuleInput
from steelscan.decision.decide import decide
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.open_run import Predictor
from steelscan.pipeline.out_of_fold import Answers, tune
from steelscan.pipeline.run_folder import Task, tasks
from steelscan.postprocess import Rule
from steelscan.recipes import PseudoRule, StripPrediction, accepts
from steelscan.strip import Masks, write_json


def pseudo_label(context: RunContext, round_: int) -> tuple[bool, list[str]]:
    """Answer the test strips with the networks of a plan, and keep what a round is to learn.

    Returns whether there is anything to learn, and a sentence on it. Beside each file of answers
    stands where they are from. What is there already is left alone.
    """
    wanted = context.recipe.pseudo_labels
    assert wanted is not None
    rules = tune(context, Answers(context)).rules if context.recipe.tune else context.recipe.rules
    kept, notes = [], []
    for fold in answered_apart(context):
        notes += _answer(context, round_, fold, rules)
        kept.append(len(context.run.load_pseudo_labels(round_, fold).rows))
    taken = str(kept[0]) if len(kept) == 1 else f"{min(kept)} to {max(kept)}, a fold,"
    told = (
        f"Round {round_}: {taken} of {len(context.dataset.test_names)} test strips were sure enough"
    )
    if any(kept):
        return True, [*notes, f"{told} to teach.", *_warning(wanted.predicted_by)]
    return False, [*notes, f"{told} to teach: no network was fitted again."]


def learned(context: RunContext, fold: int) -> tuple[Dataset | JoinedStrips, NDArray[np.int64]]:
    """All strips that may teach the networks of a fold in the plan's round.

    Returns them and the rows, int64, of those that are pseudo-labelled.
    """
    if context.round == 0:
        return context.dataset, np.empty(0, np.int64)
    own = fold if fold in answered_apart(context) else None
    table = context.run.load_pseudo_labels(context.round, own)
    answered = {name: table.texts(name, context.classes) for name in table.rows}
    strips = JoinedStrips(context.dataset, answered)
    return strips, strips.rows


def answered_apart(context: RunContext) -> tuple[int | None, ...]:
    """The folds whose networks answer by themselves, for themselves; None: all together."""
    wanted = context.recipe.pseudo_labels
    alike = wanted is not None and wanted.predicted_by == "all"
    return (None,) if alike else context.recipe.folds.validation


def _answer(context: RunContext, round_: int, fold: int | None, rules: Sequence[Rule]) -> list[str]:
    """Write the sure answers of some folds' networks; returns sentences on strips left out."""
    path = context.run.pseudo_labels(round_, fold)
    if path.exists():
        return []
    wanted, dataset = context.recipe.pseudo_labels, context.dataset
    assert wanted is not None
    folds = context.recipe.folds.validation if fold is None else (fold,)
    device = context.accelerator.device
    predictor = Predictor.of_round(context.run, context.recipe, rules, context.round, folds, device)
    rows = {name: row for row, name in enumerate(dataset.test_names)}

    def answer(name: str) -> Masks | None:
        return sure(predictor.opened(dataset.test_picture(rows[name])), rules, wanted.rule)

    path.parent.mkdir(parents=True, exist_ok=True)
    log = AnswerLog(path.with_suffix(".jsonl"), rows)
    left_out = log.fill(answer, f"Pseudo-labels, round {round_}", context.options.on_error)
    fitted = tasks(context.recipe, folds, context.round)
    provenance = {
        "program": f"steelscan {__version__}",
        "rule": wanted.rule.model_dump(mode="json"),
        "masks": [rule.model_dump(mode="json") for rule in rules],
        "asked": len(rows),
        "kept": sum(1 for _ in log.rows()),
        "networks": {task.label: _digest(context, task) for task in fitted},
    }
    write_json(path.with_suffix(".json"), provenance)
    log.finish(path, "joined")
    context.run.seal(path)
    return [f"Left out {name} of round {round_}: {reason}" for name, reason in left_out]


def sure(opened: RuleInput, rules: Sequence[Rule], rule: PseudoRule) -> Masks | None:
    """The masks of a strip when they are sure enough to teach; None when they are not.

    A class that no classifier and no second head judges is judged by its highest pixel.
    """
    masks = decide(opened, rules)
    pixels = opened.levels.astype(np.float32) / np.float32(255)
    highest = pixels.max((1, 2))
    word = highest if opened.word is None else opened.word
    classes = np.where(np.isnan(word), highest, word)
    return (
        masks
        if accepts(rule, StripPrediction(classes, pixels, np.asarray(masks.any((1, 2)))))
        else None
    )


def _digest(context: RunContext, task: Task) -> str:
    with (context.run.network(task) / "checkpoint.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _warning(predicted_by: str) -> list[str]:
    if predicted_by == "fold":
        return []
    return [
        "Pseudo-labels came from the networks of all folds, which have seen each other's "
        "validation strips: what is scored out of fold is too good by an unknown, small amount."
    ]
