"""Tune a finished run on its validation strips, and measure the optimism. No torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from steelscan.analysis.tune.gates import (
    GateTarget,
    choose_gates,
    chosen_first,
    decisions_behind,
)
from steelscan.analysis.tune.held_out import held_out_scores
from steelscan.analysis.tune.histograms import (
    PartHistograms,
    PartReader,
    SearchedGate,
    last_gate,
)
from steelscan.analysis.tune.start import Start, start_of
from steelscan.evaluation.metrics import Scores, dice
from steelscan.evaluation.tuning import (
    ClassThresholds,
    CrossFitOptions,
    MeanDice,
    Objective,
    RuleKind,
    Tuning,
    TuningChoice,
    strip_weights,
    tune_thresholds,
)
from steelscan.pipeline import (
    EVALUATED_PARTS,
    ChosenGates,
    Evaluated,
    RunFolder,
    TunedGate,
    TunedScore,
    TunedThresholds,
    check_independent,
    read_evaluated,
)
from steelscan.postprocess import MinArea, Rule, Threshold, Triplet
from steelscan.strip import Classes, PerClass, per_class
from steelscan.strip.errors import InputError, RunError
from steelscan.strip.files import FileKind, check_output, output_folder

_THRESHOLDS_KIND = FileKind.json("file of steelscan tune", "rules", "objective", "out_of_sample")


@dataclass(frozen=True, eq=False)
class Tuned:
    """The result of tuning a run, and where `write_tuning` writes it."""

    title: str
    classes: Classes
    tuning: Tuning
    objective: str
    kind: RuleKind
    recorded: float
    """Mean Dice of the validation strips as the run recorded it, with its own thresholds."""
    run_searched: bool
    """Whether the run's own thresholds were searched on these strips."""
    held_out: tuple[Scores, Scores, Scores] | None
    """Of strips never searched: with the recipe's thresholds, the best ones, and those used; the
    last two behind the gates used, if these were chosen before the masks."""
    gates_by: Literal["f1", "cost"] | None
    """How gates were chosen before the masks; None: they were not."""
    gates: tuple[str, ...]
    """Sentences on the gates that were chosen before the masks; empty if none were."""
    thresholds: TunedThresholds
    """For `predict` and `submit`."""
    out: Path

    @property
    def how(self) -> str:
        """How gates were chosen before the masks, as part of a sentence."""
        return {"f1": "by F1", "cost": "by their cost", None: ""}[self.gates_by]

    @property
    def thresholds_file(self) -> Path:
        """The file for `thresholds`."""
        return self.out / "thresholds.json"

    @property
    def page(self) -> Path:
        """The file for the page."""
        return self.out / "tuning.html"


def tune_run(
    run: Path,
    data: Path,
    out: Path | None = None,
    *,
    objective: PerClass[Objective] | None = None,
    name: str = "mean Dice",
    gates: GateTarget | None = None,
    triplet: bool = False,
    options: CrossFitOptions | None = None,
    on_error: Literal["stop", "skip"] = "stop",
) -> Tuned:
    """Tune the last rules of a finished run, and its last gate, on the validation strips.

    The search starts from the recipe's thresholds, not from the run's, which were searched on the
    same strips. ``out`` is made for `write_tuning`, by default the folder ``tuned`` of the run;
    the run itself is not changed. ``name`` describes the objective.

    With ``gates`` "f1" the thresholds of all gates are chosen first, by F1 (`tune_gates`), and
    with "cost" by what they cost (`gates_by_cost`). Each strip is then searched and scored behind
    gates that were chosen without it. "objective" searches the last gate together with the rules;
    None: as the recipe tunes its gates.

    Raises RunError for a run that is not finished, made from other data, or with pseudo-labels from
    the networks of all folds, RecipeError for rules that cannot be tuned exactly, OutputError.
    """
    target = out or run / "tuned"
    check_output(target / "thresholds.json", _THRESHOLDS_KIND)
    folder, options = RunFolder(run), options or CrossFitOptions()
    recipe, record, own = folder.load_recipe(), folder.load_record(), folder.load_tuned()
    check_independent(folder)
    classes = len(record.classes)
    by = chosen_first(recipe, gates)
    start = start_of(recipe, None if by else last_gate(recipe, classes), classes, triplet)
    wanted: PerClass[Objective] = MeanDice() if objective is None else objective
    objectives: tuple[Objective, ...] = per_class(wanted, classes, "objective")
    parts = read_evaluated(folder, classes)
    _check_tunable(run, parts, record.classes, objectives, options.parts)
    dataset = folder.open_data(data, on_error)
    output_folder(target)

    reader = PartReader(folder, recipe, own.round, dataset)
    evaluated, held_out = parts[EVALUATED_PARTS[1]], parts.get(EVALUATED_PARTS[0])
    found = None
    if by is not None:
        found = choose_gates(by, recipe, start, reader, evaluated, objectives, options)
    validation = reader.histograms(
        evaluated,
        start.gate,
        None if found is None else decisions_behind(recipe, found.without_own),
    )
    tuning = _tune(validation, start, objectives, options)
    return Tuned(
        title=f"{recipe.name} on {dataset.root.name}: thresholds and optimism",
        classes=record.classes,
        tuning=tuning,
        objective=name,
        kind=start.kind,
        recorded=float(dice(validation.evaluated.pairs).mean()),
        run_searched=own.search is not None and any(own.search.tuned),
        held_out=None
        if held_out is None
        else held_out_scores(tuning, start, recipe, reader, held_out, found),
        gates_by=by,
        gates=() if found is None else found.sentences(record.classes.names),
        thresholds=_tuned_thresholds(tuning, start, found, folder.digest(), own.round, name),
        out=target,
    )


def _tune(
    validation: PartHistograms,
    start: Start,
    objectives: Sequence[Objective],
    options: CrossFitOptions,
) -> Tuning:
    return tune_thresholds(
        validation.histograms,
        validation.evaluated.groups,
        start.thresholds,
        objectives,
        options,
        kind=start.kind,
        class_probabilities=validation.class_probabilities,
        image_gate=start.image_gate,
    )


def _check_tunable(
    run: Path,
    parts: Mapping[str, Evaluated],
    classes: Classes,
    objectives: Sequence[Objective],
    needed: int,
) -> None:
    """Raise RunError or InputError, before any work, if there are too few strips to search.

    ``needed`` is the number of groups that a search needs.
    """
    if EVALUATED_PARTS[1] not in parts:
        remedy = "Train with validation folds"
        raise RunError(run, f"has no strips {EVALUATED_PARTS[1]}", remedy)
    evaluated = parts[EVALUATED_PARTS[1]]
    groups = len(np.unique(evaluated.groups))
    if groups < needed:
        problem = f"has {groups} groups of strips out of fold, a search needs {needed}"
        remedy = "Train with more validation folds (--set folds=N) or more strips"
        raise RunError(run, problem, f"{remedy}, or keep the recipe's thresholds")
    for at, (name, objective) in enumerate(zip(classes.names, objectives, strict=True)):
        true = evaluated.pairs.truth[:, at]
        try:
            strip_weights(true, objective)
        except InputError:
            problem = f"is on {(true > 0).sum()} of the {len(true)} strips out of fold"
            remedy = "An objective with shares of strips needs strips with and without each class"
            raise InputError(f"class {name}", problem, f"{remedy}: use mean_dice") from None


def _tuned_thresholds(
    tuning: Tuning,
    start: Start,
    chosen: ChosenGates | None,
    digest: str,
    round_: int,
    objective: str,
) -> TunedThresholds:
    """Return what `predict` and `submit` read: rules, gates, and the scores that led to them."""
    gates = () if start.gate is None else (_tuned_gate(tuning, start.gate),)
    return TunedThresholds(
        run=digest,
        round=round_,
        rules=rules_of([choice.used for choice in tuning.classes], start.kind),
        gates=gates if chosen is None else chosen.gates,
        objective=objective,
        default=TunedScore.of(tuning.best.score(0)),
        in_sample=TunedScore.of(tuning.best.score(1)),
        out_of_sample=TunedScore.of(tuning.best.score(2)),
        used=TunedScore.of(tuning.used.score(2)),
        reasons=tuple(choice.reason for choice in tuning.classes),
    )


def _tuned_gate(tuning: Tuning, gate: SearchedGate) -> TunedGate:
    threshold: PerClass[float] = tuple(choice.used.gate or 0.0 for choice in tuning.classes)
    if gate.image_threshold is not None:
        tuned = tuning.image_gate
        threshold = gate.image_threshold if tuned is None else tuned.used
    return TunedGate(step=gate.step, threshold=threshold)


def rules_of(thresholds: Sequence[ClassThresholds], kind: RuleKind) -> tuple[Rule, ...]:
    """Return the rules that apply the thresholds of each class."""
    label = tuple(each.label for each in thresholds)
    pixel = tuple(each.pixel for each in thresholds)
    area = tuple(each.area for each in thresholds)
    if kind == "triplet":
        return (Triplet(top=label, area=area, bottom=pixel),)
    return Threshold(label=label, pixel=pixel), MinArea(pixels=area)


def notes_on(done: Tuned) -> Sequence[str]:
    """Return what the numbers do not show, as sentences."""
    notes = []
    if done.gates:
        notes.append(
            f"Gates were chosen first, {done.how}. All scores of masks out of fold, also those "
            "with the recipe's thresholds, are behind gates that were chosen without the strip "
            "itself."
        )
    if done.run_searched:
        notes.append(
            f"The run's own thresholds were searched on the same strips, so the mean Dice of "
            f"{done.recorded:.4f} that it recorded out of fold is too high. This search starts "
            "from the recipe's thresholds."
        )
    ends = [
        name
        for name, each in zip(done.classes.names, done.tuning.classes, strict=True)
        if _largest_area_used(each)
    ]
    if ends:
        notes.append(
            f"The area of {', '.join(ends)} is the largest that was tried, 2.56 % of the frame: "
            "a larger one may score higher, but drops all smaller defects."
        )
    if any(each.tuned for each in done.tuning.classes):
        notes.append(
            "Small gains are accepted more often when chance makes them larger: expect a little "
            "less than what is measured here."
        )
    return notes


def _largest_area_used(choice: TuningChoice[ClassThresholds]) -> bool:
    """Return whether the area of a tuned class is the largest that was tried."""
    if not choice.tuned or choice.plateau is None:
        return False
    return choice.plateau.tolerances[-1].values[-1] == choice.used.area
