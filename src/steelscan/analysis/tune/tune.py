"""Tune a finished run on its validation strips, and measure the optimism. No torch here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from steelscan.analysis.tune.histograms import (
    PartHistograms,
    SearchedGate,
    default_thresholds,
    last_gate,
    read_histograms,
)
from steelscan.evaluation.metrics import Pairs, Scores, dice, score
from steelscan.evaluation.tuning import (
    ClassSearch,
    ClassThresholds,
    CrossFitOptions,
    MeanDice,
    Objective,
    RuleKind,
    Tuning,
    TuningChoice,
    apply_image_gate,
    strip_weights,
    tune_thresholds,
)
from steelscan.pipeline import (
    EVALUATED_PARTS,
    Evaluated,
    RunFolder,
    TunedGate,
    TunedScore,
    TunedThresholds,
    check_independent,
    read_evaluated,
)
from steelscan.postprocess import MinArea, Rule, Threshold, Triplet
from steelscan.recipes import Recipe
from steelscan.strip import (
    Classes,
    FileKind,
    InputError,
    PerClass,
    RecipeError,
    RunError,
    check_output,
    output_folder,
    per_class,
)

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
    """Of strips never searched: with the recipe's thresholds, the best ones, and those used."""
    thresholds: TunedThresholds
    """For `predict` and `submit`."""
    out: Path

    @property
    def thresholds_file(self) -> Path:
        """The file for `thresholds`."""
        return self.out / "thresholds.json"

    @property
    def page(self) -> Path:
        """The file for the page."""
        return self.out / "tuning.html"


class _Start(NamedTuple):
    """The rules of a recipe that are tuned, and the thresholds that the search starts from."""

    kind: RuleKind
    gate: SearchedGate | None
    thresholds: tuple[ClassThresholds, ...]

    @property
    def image_gate(self) -> float | None:
        """The threshold of a gate of the image; None without such a gate."""
        return None if self.gate is None else self.gate.image_threshold


def tune_run(
    run: Path,
    data: Path,
    out: Path | None = None,
    *,
    objective: PerClass[Objective] | None = None,
    name: str = "mean Dice",
    triplet: bool = False,
    options: CrossFitOptions | None = None,
    on_error: Literal["stop", "skip"] = "stop",
) -> Tuned:
    """Tune the last rules of a finished run, and its last gate, on the validation strips.

    The search starts from the recipe's thresholds, not from the run's, which were searched on the
    same strips. ``out`` is made for `write_tuning`, by default the folder ``tuned`` of the run;
    the run itself is not changed. ``name`` describes the objective.

    Raises RunError for a run that is not finished, made from other data, or with pseudo-labels from
    the networks of all folds, RecipeError for rules that cannot be tuned exactly, OutputError.
    """
    target = out or run / "tuned"
    check_output(target / "thresholds.json", _THRESHOLDS_KIND)
    folder, options = RunFolder(run), options or CrossFitOptions()
    recipe, record, own = folder.load_recipe(), folder.load_record(), folder.load_tuned()
    check_independent(folder)
    classes = len(record.classes)
    start = _start(recipe, classes, triplet)
    wanted: PerClass[Objective] = MeanDice() if objective is None else objective
    objectives: tuple[Objective, ...] = per_class(wanted, classes, "objective")
    parts = read_evaluated(folder, classes)
    _check_tunable(run, parts, record.classes, objectives, options.parts)
    dataset = folder.open_data(data, on_error)
    output_folder(target)

    read = partial(read_histograms, folder, recipe, own.round, dataset)
    validation = read(parts[EVALUATED_PARTS[1]])
    tuning = _tune(validation, start, objectives, options)
    held_out = parts.get(EVALUATED_PARTS[0])
    return Tuned(
        title=f"{recipe.name} on {dataset.root.name}: thresholds and optimism",
        classes=record.classes,
        tuning=tuning,
        objective=name,
        kind=start.kind,
        recorded=float(dice(validation.evaluated.pairs).mean()),
        run_searched=own.search is not None and any(own.search.tuned),
        held_out=None if held_out is None else _held_out_scores(tuning, start, read(held_out)),
        thresholds=_tuned_thresholds(tuning, start, folder.digest(), own.round, name),
        out=target,
    )


def _tune(
    validation: PartHistograms,
    start: _Start,
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


def _start(recipe: Recipe, classes: int, triplet: bool) -> _Start:
    """Return what a recipe's search starts from. Raises RecipeError for other rules."""
    gate = last_gate(recipe, classes)
    thresholds = default_thresholds(recipe.rules, classes, gate)
    if isinstance(recipe.rules[0], Triplet):
        return _Start("triplet", gate, thresholds)
    if triplet:
        return _Start("triplet", gate, _as_triplets(thresholds))
    return _Start("threshold", gate, thresholds)


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
        raise RunError(run, problem, "Use a run of more strips, or keep the recipe's thresholds")
    for at, (name, objective) in enumerate(zip(classes.names, objectives, strict=True)):
        true = evaluated.pairs.truth[:, at]
        try:
            strip_weights(true, objective)
        except InputError:
            problem = f"is on {(true > 0).sum()} of the {len(true)} strips out of fold"
            remedy = "An objective with shares of strips needs strips with and without each class"
            raise InputError(f"class {name}", problem, f"{remedy}: use mean_dice") from None


def _as_triplets(defaults: tuple[ClassThresholds, ...]) -> tuple[ClassThresholds, ...]:
    """Return the triplets that decide as the recipe does. Raises RecipeError if there are none."""
    if any(each.area > 1 for each in defaults):
        problem = "sets a least area of the mask, which no triplet has"
        raise RecipeError("min_area", problem, "Tune without --triplet, or set min_area to 0")
    return tuple(each._replace(area=1) for each in defaults)


def _held_out_scores(
    tuning: Tuning, start: _Start, held_out: PartHistograms
) -> tuple[Scores, Scores, Scores]:
    """Score strips that were never searched, with the default, the best and the used thresholds."""

    def scored(choice_of: Callable[[TuningChoice[Any]], Any]) -> Scores:
        image_gate = start.image_gate
        if tuning.image_gate is not None:
            image_gate = choice_of(tuning.image_gate)
        thresholds = [choice_of(choice) for choice in tuning.classes]
        pairs = _pairs(held_out, thresholds, start.kind, image_gate)
        return score(pairs, held_out.evaluated.groups)

    return (
        scored(lambda choice: choice.default),
        scored(lambda choice: choice.best),
        scored(lambda choice: choice.used),
    )


def _pairs(
    part: PartHistograms,
    thresholds: Sequence[ClassThresholds],
    kind: RuleKind,
    image_gate: float | None,
) -> Pairs:
    """Count the pixels that thresholds predict on the strips of a part."""
    counts, probabilities = part.histograms, part.class_probabilities
    if image_gate is not None and probabilities is not None:
        counts = apply_image_gate(counts, probabilities, image_gate)
    columns = []
    for at, each in enumerate(thresholds):
        of_class = None if probabilities is None else probabilities[:, at]
        search = ClassSearch(counts[:, :, at], of_class, each, MeanDice(), kind)
        columns.append(search.pairs(each))
    return Pairs.of_classes(columns)


def _tuned_thresholds(
    tuning: Tuning, start: _Start, digest: str, round_: int, objective: str
) -> TunedThresholds:
    """Return what `predict` and `submit` read: rules, gate, and the scores that led to them."""
    return TunedThresholds(
        run=digest,
        round=round_,
        rules=rules_of([choice.used for choice in tuning.classes], start.kind),
        gate=None if start.gate is None else _tuned_gate(tuning, start.gate),
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
