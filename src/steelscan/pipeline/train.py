"""A recipe carried from a data set to networks, thresholds, scores, submission and report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from steelscan.data import (
    check_trainable,
    group_strips,
    open_dataset,
)
from steelscan.evaluation import Scores, score
from steelscan.models import encoder_of
from steelscan.pipeline.answers import AnswerLog
from steelscan.pipeline.dealing import dealt
from steelscan.pipeline.fitted import fit_task
from steelscan.pipeline.judge import Answers, pairs_of, tune
from steelscan.pipeline.plan import Options, Plan, check_built, check_classes
from steelscan.pipeline.predictor import Predictor
from steelscan.pipeline.recipe import Classify, Recipe, Segment
from steelscan.pipeline.report import report_run
from steelscan.pipeline.run import RunFolder, RunRecord, Tuned, tasks
from steelscan.strip import Masks, PictureError, track, write_json


@dataclass(frozen=True)
class Outcome:
    """What a run came to: the scores of its parts beside the all-empty answer's, and notes."""

    scores: Mapping[str, Scores]
    empty: Mapping[str, Scores]
    notes: tuple[str, ...]


def train(recipe: Recipe, data: Path, out: Path, options: Options) -> Outcome:
    """Carry a recipe from a data set to a finished run folder; goes on where it was stopped.

    Raises DatasetError and its kin for data that cannot be used, RunError for a folder that
    holds another run or is in use, OutputError when something cannot be written, RecipeError for a
    recipe that cannot be run.
    """
    check_built(recipe)
    run = RunFolder(out)
    with run.held():
        dataset = open_dataset(data, options.on_error)
        notes = check_trainable(dataset)
        notes += [f"Left out {name}: {reason}" for name, reason in dataset.skipped]
        check_classes(recipe, len(dataset.classes))
        record = RunRecord(
            fingerprint=dataset.fingerprint,
            classes=dataset.classes,
            layout=dataset.layout,
            seed=options.seed,
        )
        run.begin(recipe, record)
        groups = group_strips(dataset)
        folds, told = dealt(run, recipe.folds, dataset, groups, options.seed)
        notes += told
        return _carry(Plan(run, recipe, dataset, groups, folds, options), notes)


def _carry(plan: Plan, notes: list[str]) -> Outcome:
    notes = [*notes, *_fit(plan)]
    answers = Answers(plan)
    tuned = tune(plan, answers)
    plan.run.write_tuned(tuned)
    notes += [*_tuning(plan, tuned), *_submit(plan, answers, tuned)]
    pairs = {name: pairs_of(plan, answers, tuned.rules, rows) for name, rows in plan.parts.items()}
    groups = {name: plan.groups[rows] for name, rows in plan.parts.items()}
    outcome = Outcome(
        {name: score(part, groups[name]) for name, part in pairs.items()},
        {name: score(part.emptied(), groups[name]) for name, part in pairs.items()},
        tuple(notes),
    )
    numbers = {name: part.to_dict() for name, part in outcome.scores.items()}
    numbers |= {f"{name}, all empty": part.to_dict() for name, part in outcome.empty.items()}
    write_json(plan.run.scores, numbers)
    report_run(plan, answers, tuned, pairs, outcome.notes)
    return outcome


def _fit(plan: Plan) -> list[str]:
    """Fit every network; returns a sentence on each source of first weights."""
    steps = [step for step in plan.recipe.steps if isinstance(step, Classify | Segment)]
    sources = {
        f"First weights of {encoder_of(task.member.network).encoder}: {fit_task(plan, task)}."
        for task in tasks(steps, plan.recipe.folds.validation)
    }
    return sorted(sources)


def _tuning(plan: Plan, tuned: Tuned) -> list[str]:
    """A sentence on the thresholds of each class."""
    if tuned.search is None:
        return []
    told = zip(plan.dataset.classes.names, tuned.search.tuned, tuned.search.reasons, strict=True)
    return [
        f"Thresholds of class {name}: {'tuned' if changed else 'as in the recipe'} ({reason})."
        for name, changed, reason in told
    ]


def _submit(plan: Plan, answers: Answers, tuned: Tuned) -> list[str]:
    """Answer the test strips; where the data set has none, the strips that judge.

    Returns a sentence on each test strip that was left out.
    """
    dataset = plan.dataset
    answer: Callable[[int], Masks]
    if dataset.test_names:
        predictor = Predictor(plan.run, plan.accelerator.device)
        names = dict(enumerate(dataset.test_names))
        answer = lambda row: predictor.masks(dataset.test_picture(row))  # noqa: E731
    else:
        names = {row: dataset.names[row] for rows in plan.parts.values() for row in rows.tolist()}
        answer = partial(answers.masks, rules=tuned.rules)
    log = AnswerLog(plan.run.path / "submission.jsonl", names.values())
    left_out = []
    for row, name in track(names.items(), "Writing the submission", len(names)):
        if name in log.done:
            continue
        try:
            masks = answer(row)
        except PictureError as error:
            if plan.options.on_error == "stop":
                raise
            left_out.append(f"Left out {name}: {error}")
        else:
            log.add(name, masks)
    log.finish(plan.run.submission, dataset.layout)
    return left_out
