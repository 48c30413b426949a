"""A recipe carried from a data set to networks, thresholds, scores, submission and report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from steelscan.data import check_trainable, open_dataset, read_brought
from steelscan.data.duplicates import find_groups
from steelscan.decision import AnswerLog, numbers
from steelscan.evaluation.metrics import Scores, score
from steelscan.models import encoder_of
from steelscan.pipeline.answered import write_answered
from steelscan.pipeline.context import (
    Options,
    RunContext,
    check_classes,
    ignored_variables,
    never_taught,
)
from steelscan.pipeline.folds import as_brought, check_count, dealt
from steelscan.pipeline.forecast import Forecast
from steelscan.pipeline.forecast.forecast import forecast
from steelscan.pipeline.networks import PseudoLabelled, fit_task
from steelscan.pipeline.open_run import Predictor
from steelscan.pipeline.out_of_fold import Answers, pairs_of, suspicion, tune
from steelscan.pipeline.pixel_counts import evaluated_parts, write_evaluated
from steelscan.pipeline.pseudo_labels import learned, pseudo_label
from steelscan.pipeline.report import report_run
from steelscan.pipeline.run_folder import RunFolder, RunRecord, Tuned, tasks, write_data
from steelscan.recipes import Recipe, fit_to_classes
from steelscan.strip import Masks, write_json


@dataclass(frozen=True)
class Outcome:
    """What a run came to: the scores of its parts beside the all-empty answer's, and notes."""

    scores: Mapping[str, Scores]
    empty: Mapping[str, Scores]
    notes: tuple[str, ...]
    unread: tuple[str, ...] = ()
    """Pictures of the submission that could not be read: their rows say so."""


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    options: Options,
    on_plan: Callable[[Forecast], None] | None = None,
) -> Outcome:
    """Carry a recipe from a data set to a finished run folder; goes on where it was stopped.

    ``on_plan`` is told what will be fitted and asked, before anything is.
    Raises DatasetError and its kin for data that cannot be used, RunError for a folder that
    holds another run or is in use, and with ``on_plan`` for one that takes more memory than there
    is, OutputError when something cannot be written, RecipeError for a recipe that cannot be run.
    """
    run = RunFolder(out)
    with run.held():
        context, notes = planned(run, recipe, data, options)
        write_data(run, data)
        notes += run.take_tests(context.dataset.test_fingerprint)
        if on_plan is not None:
            found = forecast(context)
            on_plan(found)
            found.check_memory()
        return _carry(context, notes)


def plan_run(recipe: Recipe, data: Path, out: Path, options: Options) -> Forecast:
    """Say what `train` would fit and ask with the same arguments; nothing is written in ``out``.

    Raises as `train` does, but asks neither for the right to write nor for the folder to be free.
    """
    run = RunFolder(out)
    with TemporaryDirectory() as folder:
        begun = run.record.exists() and run.folds.exists()
        context, _ = planned(run if begun else RunFolder(Path(folder)), recipe, data, options)
        return forecast(replace(context, run=run))


def planned(
    run: RunFolder, recipe: Recipe, data: Path, options: Options
) -> tuple[RunContext, list[str]]:
    """Open the data, begin the run and deal its folds; returns its plan and sentences on it."""
    dataset = open_dataset(data, options.on_error)
    notes = [*recipe.changes, *check_trainable(dataset)]
    notes += [f"Left out {name}: {reason}" for name, reason in dataset.skipped]
    recipe, told = fit_to_classes(recipe, dataset.classes)
    notes += told
    check_classes(recipe, len(dataset.classes))
    if recipe.tune is not None:
        numbers(recipe.rules, len(dataset.classes))  # what cannot be tuned is refused before a fit
    brought = None if options.folds is None else read_brought(options.folds, dataset)
    if brought is not None:
        check_count(brought, recipe.folds)
    record = RunRecord(
        fingerprint=dataset.fingerprint,
        classes=dataset.classes,
        layout=dataset.layout,
        seed=options.seed,
        folds=None if brought is None else brought.digest,
        groups=dataset.group_fingerprint,
    )
    run.begin(recipe, record)
    found = find_groups(dataset)
    groups = found.numbers
    if brought is None:
        folds, told = dealt(run, recipe.folds, dataset, groups, options.seed)
    else:
        folds, told = as_brought(run, brought, dataset, groups)
    split = (*found.notes(dataset.names), *told, *ignored_variables())
    context = RunContext(run, recipe, dataset, groups, folds, options, split=split)
    return context, [*notes, *split]


def _carry(context: RunContext, notes: list[str]) -> Outcome:
    notes = [*notes, *never_taught(context)]
    context, told = _fit_rounds(context)
    notes += told
    answers = Answers(context)
    tuned = tune(context, answers)
    context.run.write_tuned(tuned)
    left_out = _submit(context, answers, tuned)
    notes += _tuning(context, tuned)
    notes += [f"Left out {name}: {reason}" for name, reason in left_out]
    pairs = {
        name: pairs_of(context, answers, tuned.rules, rows) for name, rows in context.parts.items()
    }
    groups = {name: context.groups[rows] for name, rows in context.parts.items()}
    outcome = Outcome(
        {name: score(part, groups[name]) for name, part in pairs.items()},
        {name: score(part.emptied(), groups[name]) for name, part in pairs.items()},
        tuple(notes),
        tuple(name for name, _ in left_out),
    )
    scored = {name: part.to_dict() for name, part in outcome.scores.items()}
    scored |= {f"{name}, all empty": part.to_dict() for name, part in outcome.empty.items()}
    write_evaluated(context.run, evaluated_parts(context, pairs))
    write_json(context.run.notes, list(outcome.notes))
    write_json(context.run.scores, scored)
    context.run.seal(context.run.notes, context.run.scores)
    report_run(context, answers, tuned, pairs, outcome.notes)
    return outcome


def _fit_rounds(context: RunContext) -> tuple[RunContext, list[str]]:
    """Fit every network, then again in each round of pseudo-labels.

    Returns the plan of the last round, and a sentence on each source of first weights and on each
    round.
    """
    sources, notes = _fit(context), []
    wanted = context.recipe.pseudo_labels
    if wanted is not None and not context.dataset.test_names:
        notes = ["No test strips to pseudo-label: every network was fitted once."]
        wanted = None
    for number in range(1, 1 + (wanted.rounds if wanted else 0)):
        found, told = pseudo_label(context, number)
        notes += told
        if not found:
            break
        context = replace(context, round=number)
        sources |= _fit(context)
    return context, sorted(sources) + notes


def _fit(context: RunContext) -> set[str]:
    """Fit the networks of a round; returns a sentence on each source of first weights."""
    sources = set()
    for task in tasks(context.recipe, context.recipe.folds.validation, context.round):
        if task.round == context.round:
            strips, pseudo = learned(context, task.fold)
            suspected = (
                suspicion(context, len(strips.frames))
                if task.member.needs_class_probabilities
                else None
            )
            source = fit_task(context, task, PseudoLabelled(strips, pseudo, suspected))
            sources.add(f"First weights of {encoder_of(task.member.network).encoder}: {source}.")
    return sources


def _tuning(context: RunContext, tuned: Tuned) -> list[str]:
    """A sentence on the thresholds of each class."""
    if tuned.search is None:
        return []
    told = zip(context.dataset.classes.names, tuned.search.tuned, tuned.search.reasons, strict=True)
    return [
        f"Thresholds of class {name}: {'tuned' if changed else 'as in the recipe'} ({reason})."
        for name, changed, reason in told
    ]


def _submit(context: RunContext, answers: Answers, tuned: Tuned) -> list[tuple[str, str]]:
    """Answer the test strips; where the data set has none, the strips that judge.

    Returns name and reason of each test strip that could not be read.
    """
    dataset = context.dataset
    predictor = cache(partial(Predictor.load, context.run, context.accelerator.device))
    rows = {name: row for row, name in enumerate(dataset.test_names)}
    if not rows:
        judging = [row for part in context.parts.values() for row in part.tolist()]
        rows = {dataset.names[row]: row for row in judging}

    def answer(name: str) -> Masks:
        if dataset.test_names:
            return predictor().masks(dataset.test_picture(rows[name]))
        return answers.masks(rows[name], tuned.rules)

    log = AnswerLog(context.run.path / "submission.jsonl", rows)
    left_out = log.fill(answer, "Writing the submission", context.options.on_error)
    write_answered(context.run, dataset, rows, [name for name, _ in left_out])
    log.write(context.run.submission, dataset.layout, len(dataset.classes))
    context.run.seal(context.run.submission)
    return left_out
