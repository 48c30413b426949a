"""A finished run tuned anew on what was said out of fold, and luck told. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Literal

import numpy as np

from steelscan.analysis.tune.histograms import Counted, Gate, count_part, gate_of, numbers_of
from steelscan.evaluation.metrics import Pairs, Scores, dice, score
from steelscan.evaluation.statistics import Estimate as Interval
from steelscan.evaluation.tuning import (
    Candidates,
    CarefulTune,
    Decision,
    MeanDice,
    Numbers,
    Objective,
    Tuning,
    behind_gate,
    strip_weights,
    tune_carefully,
)
from steelscan.pipeline import (
    EVALUATED_PARTS,
    Evaluated,
    RunFolder,
    TunedGate,
    TunedScore,
    TunedThresholds,
    read_evaluated,
)
from steelscan.postprocess import MinArea, Rule, Threshold, Triplet
from steelscan.recipes import Recipe
from steelscan.strip import (
    Classes,
    InputError,
    PerClass,
    RecipeError,
    RunError,
    check_output,
    json_kind,
    output_folder,
    per_class,
    write_text,
)

Kind = Literal["threshold", "triplet"]


@dataclass(frozen=True, eq=False)
class Tuned:
    """What tuning a run came to, and the files that it wrote."""

    classes: Classes
    tuning: Tuning
    objective: str
    kind: Kind
    gate: Gate | None
    recorded: float
    """Mean Dice out of fold as the run recorded it, with its own thresholds."""
    run_searched: bool
    """Whether the run's own thresholds were searched on these strips."""
    held_out: tuple[Scores, Scores, Scores] | None
    """Of strips never searched: with the recipe's numbers, the best ones found, and those used."""
    thresholds: Path
    page: Path


def tune_run(
    run: Path,
    data: Path,
    out: Path | None = None,
    *,
    objective: PerClass[Objective] | None = None,
    name: str = "mean Dice",
    triplet: bool = False,
    tune: CarefulTune | None = None,
    on_error: Literal["stop", "skip"] = "stop",
) -> Tuned:
    """Tune the last rules of a finished run, and its last gate, on the strips out of fold.

    The search begins with the recipe's numbers, not with the run's: those were searched on these
    very strips. Writes ``thresholds.json`` and ``tuning.html`` to ``out``, the folder ``tuned`` of
    the run where None; the run itself is left as it is. ``name`` is what the objective is called.

    Raises RunError for a run that is not finished, or made from other data, RecipeError for rules
    that cannot be tuned exactly, OutputError.
    """
    target = out or run / "tuned"
    kind_of_file = json_kind("file of steelscan tune", "rules", "objective", "unsearched")
    check_output(target / "thresholds.json", kind_of_file)
    folder, options = RunFolder(run), tune or CarefulTune()
    recipe, record, own = folder.load_recipe(), folder.load_record(), folder.load_tuned()
    classes = len(record.classes)
    gate = gate_of(recipe, classes)
    defaults = numbers_of(recipe.rules, classes, gate)
    kind = _kind(recipe.rules, triplet)
    if kind == "triplet" and triplet:
        defaults = _as_triplets(recipe.rules, defaults)
    wanted: PerClass[Objective] = MeanDice() if objective is None else objective
    objectives: tuple[Objective, ...] = per_class(wanted, classes, "objective")
    parts = read_evaluated(folder, classes)
    if EVALUATED_PARTS[1] not in parts:
        remedy = "Train with validation folds"
        raise RunError(run, f"judged no strips {EVALUATED_PARTS[1]}", remedy)
    judged = parts[EVALUATED_PARTS[1]]
    _check_tunable(run, judged, record.classes, objectives, options.parts)
    dataset = folder.open_data(data, on_error)
    output_folder(target)

    counted = count_part(folder, recipe, own.round, dataset, judged)
    found = tune_carefully(
        counted.levels,
        counted.judged.groups,
        defaults,
        objectives,
        options,
        kind=kind,
        words=counted.words,
        image_gate=_image_gate(gate),
    )
    held_out = None
    if EVALUATED_PARTS[0] in parts:
        unseen = count_part(folder, recipe, own.round, dataset, parts[EVALUATED_PARTS[0]])
        held_out = _on_others(found, defaults, kind, _image_gate(gate), unseen)
    done = Tuned(
        classes=record.classes,
        tuning=found,
        objective=name,
        kind=kind,
        gate=gate,
        recorded=float(dice(counted.judged.pairs).mean()),
        run_searched=own.search is not None and any(own.search.tuned),
        held_out=held_out,
        thresholds=target / "thresholds.json",
        page=target / "tuning.html",
    )
    write_text(done.thresholds, _file(folder, own.round, done).model_dump_json(indent=2) + "\n")
    _write_page(done, recipe, dataset.root.name)
    return done


def _check_tunable(
    run: Path, judged: Evaluated, classes: Classes, objectives: Sequence[Objective], parts: int
) -> None:
    """Refuse before any work what no search can be made of. Raises RunError and InputError."""
    groups = len(np.unique(judged.groups))
    if groups < parts:
        found = f"judged {groups} groups of strips out of fold, a search needs {parts}"
        raise RunError(run, found, "Use a run of more strips; the recipe's numbers stand")
    for at, (name, objective) in enumerate(zip(classes.names, objectives, strict=True)):
        true = judged.pairs.truth[:, at]
        try:
            strip_weights(true, objective)
        except InputError:
            found = f"is on {(true > 0).sum()} of the {len(true)} strips out of fold"
            remedy = "An objective with shares of strips needs strips with and without each class"
            raise InputError(f"class {name}", found, f"{remedy}: take mean_dice") from None


def _kind(rules: Sequence[Rule], triplet: bool) -> Kind:
    return "triplet" if triplet or isinstance(rules[0], Triplet) else "threshold"


def _as_triplets(rules: Sequence[Rule], defaults: tuple[Numbers, ...]) -> tuple[Numbers, ...]:
    """The recipe's thresholds as triplets that decide alike. Raises RecipeError where none do."""
    if isinstance(rules[0], Triplet):
        return defaults
    if any(each.area > 1 for each in defaults):
        found = "asks for a least area of the mask, which no triplet does"
        raise RecipeError("min_area", found, "Tune without --triplet, or set min_area to 0")
    return tuple(each._replace(area=1) for each in defaults)


def _image_gate(gate: Gate | None) -> float | None:
    return gate.thresholds[0] if gate is not None and gate.of == "image" else None


def _on_others(
    found: Tuning, defaults: Sequence[Numbers], kind: Kind, gate: float | None, unseen: Counted
) -> tuple[Scores, Scores, Scores]:
    """The scores of strips that no search saw, with the recipe's numbers, the found, the used."""
    image = found.image_gate
    gates = (gate,) * 3 if image is None else (image.default, image.found, image.used)
    numbers = (
        tuple(defaults),
        tuple(each.found for each in found.classes),
        tuple(each.used for each in found.classes),
    )
    one, two, three = (
        score(_pairs(unseen, each, kind, of_image), unseen.judged.groups)
        for each, of_image in zip(numbers, gates, strict=True)
    )
    return one, two, three


def _pairs(
    counted: Counted, numbers: Sequence[Numbers], kind: Kind, image_gate: float | None
) -> Pairs:
    levels, words = counted.levels, counted.words
    if image_gate is not None and words is not None:
        levels = behind_gate(levels, words, image_gate)
    each = [
        Candidates(
            levels[:, :, at], None if words is None else words[:, at], one, MeanDice(), kind
        ).pairs(one)
        for at, one in enumerate(numbers)
    ]
    return Pairs(
        *(
            np.hstack([getattr(one, part) for one in each])
            for part in ("predicted", "truth", "shared")
        )
    )


def _file(run: RunFolder, round_: int, done: Tuned) -> TunedThresholds:
    found = done.tuning
    used = [each.used for each in found.classes]
    gate = None
    if done.gate is not None:
        threshold: PerClass[float] = tuple(each.gate or 0.0 for each in used)
        if done.gate.of == "image":
            threshold = done.gate.thresholds[0]
            if found.image_gate is not None:
                threshold = found.image_gate.used
        gate = TunedGate(step=done.gate.step, threshold=threshold)
    return TunedThresholds(
        run=run.digest(),
        round=round_,
        rules=rules_of(used, done.kind),
        gate=gate,
        objective=done.objective,
        before=_score(found.total.score(0)),
        searched=_score(found.total.score(1)),
        unsearched=_score(found.total.score(2)),
        used=_score(found.used.score(2)),
        reasons=tuple(each.reason for each in found.classes),
    )


def rules_of(numbers: Sequence[Numbers], kind: Kind) -> tuple[Rule, ...]:
    """The rules that apply numbers of each class."""
    label = tuple(each.label for each in numbers)
    pixel = tuple(each.pixel for each in numbers)
    area = tuple(each.area for each in numbers)
    if kind == "triplet":
        return (Triplet(top=label, area=area, bottom=pixel),)
    return Threshold(label=label, pixel=pixel), MinArea(pixels=area)


def _score(interval: Interval) -> TunedScore:
    numbers = {name: getattr(interval, name) for name in ("value", "low", "high")}
    return TunedScore(**{name: None if isnan(each) else each for name, each in numbers.items()})


def _write_page(done: Tuned, recipe: Recipe, data: str) -> None:
    from steelscan.analysis.tune.page import TuningPage, write_tuning_page

    notes = list(notes_on(done))
    page = TuningPage(
        title=f"{recipe.name} on {data}: how much of a tuned score is luck",
        classes=done.classes,
        tuning=done.tuning,
        objective=done.objective,
        kind=done.kind,
        held_out=done.held_out,
        notes=notes,
    )
    write_tuning_page(done.page, page)


def notes_on(done: Tuned) -> Sequence[str]:
    """What must be known beside the numbers, as sentences."""
    told = []
    if done.run_searched:
        told.append(
            f"The run's own thresholds were searched on these very strips: the mean Dice of "
            f"{done.recorded:.4f} that it recorded out of fold flatters. The search here begins "
            "with the recipe's numbers."
        )
    ends = [
        name
        for name, each in zip(done.classes.names, done.tuning.classes, strict=True)
        if _at_end(each)
    ]
    if ends:
        told.append(
            f"The area of {', '.join(ends)} is the largest that was tried, 2.56 % of the frame: "
            "a larger one may be better still, but it drops all smaller defects."
        )
    if any(each.tuned for each in done.tuning.classes):
        told.append(
            "Of gains that are barely told from nothing, those that luck made larger pass more "
            "often: expect a little less than what is measured here."
        )
    return told


def _at_end(decision: Decision[Numbers]) -> bool:
    """Whether the area used of a class that was tuned is the largest that was tried."""
    found = decision.plateau
    return (
        decision.tuned
        and found is not None
        and found.stretches[-1].values[-1] == decision.used.area
    )
