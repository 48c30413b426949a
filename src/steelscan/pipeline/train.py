"""Train a recipe: from a data set to networks, thresholds, scores, submission and report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from steelscan.data import check_trainable, open_dataset
from steelscan.data.duplicates import find_groups
from steelscan.data.folds import read_given_folds
from steelscan.decision import PredictionLog, thresholds_of
from steelscan.evaluation.metrics import Scores, score
from steelscan.pipeline.context import Options, RunContext, check_classes, without_defects
from steelscan.pipeline.device import accelerator, ignored_variables
from steelscan.pipeline.evidence import Evidence, gather
from steelscan.pipeline.fit_rounds import fit_rounds
from steelscan.pipeline.fitted_networks import fitted_networks, trained_classes
from steelscan.pipeline.folds import assign_folds, check_count, use_given_folds
from steelscan.pipeline.forecast.forecast import Forecast, forecast
from steelscan.pipeline.forecast.jobs import check_jobs, with_jobs
from steelscan.pipeline.gates import with_gates
from steelscan.pipeline.open_run import open_run
from steelscan.pipeline.out_of_fold import OutOfFold, tune
from steelscan.pipeline.pixel_counts import evaluated_parts, write_evaluated
from steelscan.pipeline.predicted_strips import write_predicted_strips
from steelscan.pipeline.processes import fitted_together, lost_process_reported
from steelscan.pipeline.report import report_run
from steelscan.pipeline.run_folder import RunFolder
from steelscan.pipeline.run_record import RunRecord, StartFrom, Tuned
from steelscan.pipeline.start_from import find_start, without_starts
from steelscan.pipeline.start_leak import check_leak
from steelscan.pipeline.trackers import check_tracker
from steelscan.pipeline.tuning_notes import tuning_notes
from steelscan.pipeline.verdict import Verdict, verdict_of
from steelscan.pipeline.verdict_text import verdict_sentences
from steelscan.pipeline.weights.wanted import check_encoders, missing_sentence
from steelscan.recipes import Recipe, fit_to_classes
from steelscan.strip import Masks
from steelscan.strip.errors import OutputError, SteelscanError
from steelscan.strip.files import write_json, write_text


@dataclass(frozen=True)
class Outcome:
    """The scores of a run's parts, those of predicting no defect at all, and notes."""

    scores: Mapping[str, Scores]
    empty: Mapping[str, Scores]
    notes: tuple[str, ...]
    unread: tuple[str, ...] = ()
    """Pictures of the submission that could not be read; their rows are marked as unread."""
    verdict: tuple[str, ...] = ()
    """Sentences on what the run does not find; none if it works."""


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    options: Options,
    on_plan: Callable[[Forecast], None] | None = None,
) -> Outcome:
    """Train a recipe on a data set into a run folder; continues where it was stopped.

    ``on_plan`` is called with the forecast before anything is fitted. Processes that a launcher
    started together fit each network together; the first one alone predicts, writes and returns,
    the others end with SystemExit after the last fit. Several calls for the same folder, also on
    several machines, share the fits.

    Raises DatasetError and its kin for data that cannot be used, RunError for a folder that holds
    another run, for fits that fail, and with ``on_plan`` for a run that takes more memory than is
    free, OutputError if something cannot be written, RecipeError for a recipe that cannot be run,
    InputError for several jobs in processes that a launcher started, MissingPartError for a tracker
    or for Ray if that is not installed.
    """
    _check_out(out, data)
    check_jobs(options.jobs, options.engine)
    if options.engine == "ray":  # other machines work in other folders
        weights, start = options.weights_dir, options.start_from
        options = replace(
            options,
            weights_dir=weights and weights.absolute(),
            start_from=start and start.absolute(),
        )
        data, out = data.absolute(), out.absolute()
    check_tracker(options.track)
    run = RunFolder(out)
    processes = accelerator(options.device)
    if not processes.is_main_process:
        with lost_process_reported(processes):
            processes.wait_for_everyone()  # the first one begins the run
            fit_rounds(begin_run(run, recipe, data, options)[0])
            raise SystemExit(0)
    with lost_process_reported(processes):
        with run.held():
            context, notes = begin_run(run, recipe, data, options)
            run.write_data(data)
            notes += run.take_tests(context.dataset.test_fingerprint)
            context = with_jobs(context)
            if on_plan is not None:
                expected = forecast(context, timed=False)
                on_plan(expected)
                expected.check_memory()
        processes.wait_for_everyone()
        notes += [*without_defects(context), *fitted_together(processes)]
        context, remarks = fit_rounds(context)
        with run.held():
            return _run_steps(context, [*notes, *remarks])


def plan_run(recipe: Recipe, data: Path, out: Path, options: Options) -> Forecast:
    """Return what `train` would fit and predict with the same arguments, with measured times.

    Nothing is written in ``out``, which need not be writable and may be in use. Otherwise raises
    as `train` does.
    """
    _check_out(out, data)
    check_jobs(options.jobs)
    run = RunFolder(out)
    with TemporaryDirectory() as folder:
        begun = run.record.exists() and run.folds.exists()
        context, _ = begin_run(run if begun else RunFolder(Path(folder)), recipe, data, options)
        return forecast(replace(context, run=run), timed=True)


def _check_out(out: Path, data: Path) -> None:
    """Raise OutputError if a run would be written into its data set."""
    if out.resolve() == data.resolve():
        raise OutputError(out, "is the data set", "Choose another folder for the run")


def begin_run(
    run: RunFolder, recipe: Recipe, data: Path, options: Options
) -> tuple[RunContext, list[str]]:
    """Open the data, begin the run and split its folds; returns its context and notes.

    A new run that is refused leaves no files, so that a corrected command may use its folder.
    """
    dataset = open_dataset(data, options.on_error)
    notes = [*recipe.changes, *check_trainable(dataset)]
    notes += [f"Left out {name}: {reason}" for name, reason in dataset.skipped]
    recipe, changes = fit_to_classes(recipe, dataset.classes)
    notes += changes
    check_classes(recipe, len(dataset.classes))
    check_encoders(recipe)
    if recipe.tune is not None and (recipe.tune.masks or recipe.tune.gates == "cost"):
        thresholds_of(recipe.rules, len(dataset.classes))  # refuses now what cannot be tuned later
    start = None
    if options.start_from is not None:
        start = find_start(options.start_from, run, recipe, dataset.classes)
        recipe, replaced = without_starts(recipe)
        notes += replaced
    given = None if options.folds is None else read_given_folds(options.folds, dataset)
    if given is not None:
        check_count(given, recipe.folds)
    record = RunRecord(
        fingerprint=dataset.fingerprint,
        classes=dataset.classes,
        layout=dataset.layout,
        seed=options.seed,
        folds=None if given is None else given.digest,
        groups=dataset.group_fingerprint,
        start_from=start,
    )
    fresh = not run.record.exists()
    run.begin(recipe, record, options.source)
    notes += run.source_notes()
    if not run.folds.exists():  # folds may depend on the test pictures
        run.take_tests(dataset.test_fingerprint)
    duplicates = find_groups(dataset)
    groups = duplicates.numbers
    try:
        if given is None:
            folds, remarks = assign_folds(run, recipe.folds, dataset, groups, options.seed)
        else:
            folds, remarks = use_given_folds(run, given, dataset, groups)
        context = RunContext(run, recipe, dataset, groups, folds, options, start=start)
        started = [] if start is None else _start_notes(context, start)
    except SteelscanError:
        if fresh:
            run.forget()
        raise
    lacking = missing_sentence(recipe, options.weights_dir) if start is None else []
    split = (*duplicates.notes(dataset.names), *remarks, *started, *ignored_variables(), *lacking)
    return replace(context, split=split), [*notes, *split]


def _start_notes(context: RunContext, start: StartFrom) -> list[str]:
    """Return sentences on the networks that a run starts with.

    Raises InputError if they were trained on its validation strips.
    """
    path = context.options.start_from
    assert path is not None
    return [*start.notes, *check_leak(context, start, path)]


def _run_steps(context: RunContext, notes: list[str]) -> Outcome:
    """Tune, score and report a run whose networks are fitted."""
    outputs = OutOfFold(context)
    tuned = tune(context, outputs)
    context.run.write_tuned(tuned)
    outputs = outputs.decided_by(with_gates(context.recipe, tuned.gates).decision)
    left_out = _submit(context, outputs, tuned)
    notes += tuning_notes(context, tuned)
    notes += [f"Left out {name}: {reason}" for name, reason in left_out]
    evidence = {
        name: gather(outputs, context.dataset, tuned.rules, rows)
        for name, rows in context.parts.items()
    }
    pairs = {name: each.pairs for name, each in evidence.items()}
    groups = {name: context.groups[rows] for name, rows in context.parts.items()}
    verdict = _verdict(context, evidence, groups)
    outcome = Outcome(
        {name: score(part, groups[name]) for name, part in pairs.items()},
        {name: score(part.emptied(), groups[name]) for name, part in pairs.items()},
        tuple(notes),
        tuple(name for name, _ in left_out),
        tuple(verdict_sentences(verdict)),
    )
    scored = {name: part.to_dict() for name, part in outcome.scores.items()}
    scored |= {f"{name}, all empty": part.to_dict() for name, part in outcome.empty.items()}
    write_evaluated(context.run, evaluated_parts(context, pairs))
    write_text(context.run.verdict, verdict.model_dump_json(indent=2) + "\n")
    write_json(context.run.notes, list(outcome.notes))
    write_json(context.run.scores, scored)
    context.run.seal(context.run.verdict, context.run.notes, context.run.scores)
    report_run(context, outputs, tuned, pairs, outcome.notes, verdict)
    return outcome


def _verdict(
    context: RunContext, evidence: Mapping[str, Evidence], groups: Mapping[str, NDArray[np.int64]]
) -> Verdict:
    """Return whether the run finds anything."""
    return verdict_of(
        evidence,
        groups,
        context.dataset.classes.names,
        context.recipe.budget,
        fitted_networks(context),
        trained_classes(context),
    )


def _submit(context: RunContext, outputs: OutOfFold, tuned: Tuned) -> list[tuple[str, str]]:
    """Write the masks of the test strips, or of the validation strips if there are none.

    Returns name and reason of each test strip that could not be read.
    """
    dataset = context.dataset
    detector = cache(partial(open_run, context.run, context.accelerator.device))
    rows = {name: row for row, name in enumerate(dataset.test_names)}
    if not rows:
        validation = [row for part in context.parts.values() for row in part.tolist()]
        rows = {dataset.names[row]: row for row in validation}

    def masks_of(name: str) -> Masks:
        if dataset.test_names:
            return detector().masks(dataset.test_picture(rows[name]))
        return outputs.masks(rows[name], tuned.rules)

    log = PredictionLog(context.run.path / "submission.jsonl", rows)
    left_out = log.fill(masks_of, "Writing the submission", context.options.on_error)
    write_predicted_strips(context.run, dataset, rows, [name for name, _ in left_out])
    log.write(context.run.submission, dataset.layout, len(dataset.classes))
    context.run.seal(context.run.submission)
    return left_out
