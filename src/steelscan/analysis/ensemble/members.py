"""Predict strips with each member of a run that was not fitted on them, once more.

A file per strip keeps the map of each combining rule, and for each subset of the members only pixel
counts and histograms.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from steelscan.analysis.ensemble.rules import CombiningRule, gates_by_classifier, last_segment
from steelscan.data import Dataset
from steelscan.decision import (
    Detector,
    OpenClasses,
    OwnGate,
    RuleInput,
    SoftGate,
    StepOutput,
    masks_of,
    open_classes,
    rule_input,
)
from steelscan.evaluation.metrics import count_pixels
from steelscan.evaluation.tuning import strip_histograms
from steelscan.pipeline import RunFolder, Tuned, open_folds, tasks
from steelscan.postprocess import Rule, Threshold, Triplet, lowest_u8_above
from steelscan.prediction import Combinations, Combined, TorchModel, predict_each
from steelscan.recipes import Recipe, Segment
from steelscan.strip import Masks, per_class, track
from steelscan.strip.files import replacing, writing


@dataclass(frozen=True, eq=False)
class EnsembleSetup:
    """The strips that the members of a run predict, and what is compared.

    ``rows`` holds the strips of each validation fold, ``stays`` whether each member is in every
    subset.
    """

    run: RunFolder
    recipe: Recipe
    tuned: Tuned
    dataset: Dataset
    rules: tuple[CombiningRule, ...]
    rows: Mapping[int, Sequence[int]]
    stays: tuple[bool, ...]

    @property
    def sets(self) -> bool:
        """Whether subsets of the members are compared, and not only rules."""
        return not all(self.stays)

    @property
    def step(self) -> Segment:
        """The last step that segments."""
        return last_segment(self.recipe)

    @property
    def step_name(self) -> str:
        """The name of that step."""
        return self.recipe.decision.last.segmenter.name

    def members(self, fold: int) -> tuple[int, ...]:
        """Return the members that are fitted for a fold, in the order in which they predict."""
        fitted = tasks(self.recipe, (fold,), self.tuned.round)
        return tuple(task.number for task in fitted if task.step == self.step_name)


class StripFiles:
    """The results of each strip, a file each, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, row: int) -> Path:
        """Return the file of a strip, by its position in the data set."""
        return self.folder / f"strip{row:07}.npz"

    def write(self, row: int, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Write the results of a strip. Raises OutputError."""
        with replacing(self.path(row)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    def __contains__(self, row: int) -> bool:
        return self.path(row).exists()

    def rule_input(self, row: int, rule: int) -> RuleInput:
        """Return what the recipe's rules get for a strip by a combining rule."""
        with np.load(self.path(row)) as arrays:
            classes = arrays["classes"][rule]
            return RuleInput(arrays[f"pixels{rule}"], None if np.isnan(classes).all() else classes)

    def counts(self, row: int) -> dict[int, NDArray[np.int64]]:
        """Return pixels of each subset, int64 ``(3, classes)``; bit n is set for member n."""
        with np.load(self.path(row)) as arrays:
            counts = arrays["counts"].astype(np.int64)
            return dict(zip(arrays["sets"].tolist(), counts, strict=True))

    def histograms(self, row: int, sets: Sequence[int]) -> NDArray[np.int32]:
        """Return histograms of some subsets, by their bits: int32 ``(sets, 2, classes, 256)``.

        As from `strip_histograms`, except that pixels below all searched thresholds count as 0.
        Those of members that did not predict, and of no members, are of an empty map.
        """
        with np.load(self.path(row)) as arrays:
            names = [f"set{bits}" if f"set{bits}" in arrays else "set0" for bits in sets]
            return np.stack([arrays[name] for name in names])

    def seconds(self, row: int) -> NDArray[np.float64]:
        """Return how long each member took, float64 ``(members,)``; NaN if it did not predict."""
        with np.load(self.path(row)) as arrays:
            return np.asarray(arrays["seconds"], np.float64)

    def bytes(self) -> int:
        """Return the size of all files together."""
        return sum(file.stat().st_size for file in self.folder.glob("strip*.npz"))

    def remove(self) -> None:
        """Remove all files, and the folder if nothing else is in it. Raises OutputError."""
        with writing(self.folder):
            for file in self.folder.glob("strip*.npz"):
                file.unlink()
            if not any(self.folder.iterdir()):
                self.folder.rmdir()


def predict_members(
    setup: EnsembleSetup, files: StripFiles, device: torch.device
) -> dict[int, int]:
    """Predict each strip that has no file yet; return the number of parameters of each member."""
    parameters: dict[int, int] = {}
    for fold, rows in setup.rows.items():
        detector = open_folds(
            setup.run,
            setup.recipe,
            setup.tuned.rules,
            setup.tuned.round,
            (fold,),
            device,
        )
        members = setup.members(fold)
        for member, model in zip(members, detector.models[setup.step_name], strict=True):
            assert isinstance(model, TorchModel)
            parameters[member] = sum(each.numel() for each in model.network.parameters())
        missing = [row for row in rows if row not in files]
        for row in track(missing, f"Predicting with each member, fold {fold}", len(missing)):
            files.write(row, _arrays(setup, detector, members, row))
    return parameters


def _arrays(
    setup: EnsembleSetup, detector: Detector, members: Sequence[int], row: int
) -> dict[str, NDArray[np.generic]]:
    """Return the arrays to store for a strip."""
    picture, truth = setup.dataset.picture(row), setup.dataset.masks(row)
    before = open_classes(detector.decision, detector.outputs(picture), detector.classes)
    seconds = np.full(len(setup.stays), np.nan)
    if not before.open.any() and not gates_by_classifier(setup.recipe):
        return _all_closed(setup, truth, before, seconds)
    ensemble = setup.step.ensemble
    averages = [rule.average for rule in setup.rules if rule.average is not None]
    combinations = predict_each(
        detector.models[setup.step_name],
        ensemble.views,
        picture,
        ensemble.average,
        averages,
        detector.classes,
    )
    seconds[list(members)] = combinations.seconds
    inputs = [_by_rule(setup, rule, combinations, before) for rule in setup.rules]
    arrays = _of_rules(inputs, seconds)
    if setup.sets:
        arrays |= _of_sets(setup, combinations, members, before, truth)
    return arrays


def _all_closed(
    setup: EnsembleSetup, truth: Masks, before: OpenClasses, seconds: NDArray[np.float64]
) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a strip if earlier steps have closed all classes."""
    closed = RuleInput(np.zeros(truth.shape, np.uint8), before.classes)
    return _of_rules([closed] * len(setup.rules), seconds) | _of_no_set(truth)


def _of_no_set(truth: Masks) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a subset that predicts nothing."""
    counts = count_pixels(np.zeros_like(truth), truth)[None]
    empty = strip_histograms(np.zeros(truth.shape, np.uint8), truth)
    return {"sets": np.array([0]), "counts": counts.astype(np.int32), "set0": empty}


def _of_rules(
    inputs: Sequence[RuleInput], seconds: NDArray[np.float64]
) -> dict[str, NDArray[np.generic]]:
    unknown = np.full(len(inputs[0].pixels), np.nan, np.float32)
    classes = [unknown if each.classes is None else each.classes for each in inputs]
    pixels = {f"pixels{at}": each.pixels for at, each in enumerate(inputs)}
    return {**pixels, "classes": np.stack(classes), "seconds": seconds}


def _by_rule(
    setup: EnsembleSetup, rule: CombiningRule, combinations: Combinations, before: OpenClasses
) -> RuleInput:
    """Return what the recipe's rules get for a strip by a combining rule."""
    pixels, classes = combinations.by_average[rule.average or combinations.own]
    if rule.average is None:
        pixels = combinations.majority()
    if rule.gate == "recipe":
        return _by_own_gate(setup.step.gate, (pixels, classes), before)
    if rule.gate == "none":
        return rule_input(None, StepOutput(pixels, classes), before)
    if gates_by_classifier(setup.recipe):
        assert before.classes is not None
        classes = np.nan_to_num(before.classes, nan=1.0)  # a class without a network passes
        before = OpenClasses(np.ones_like(before.open), before.classes)
    return rule_input(SoftGate(), StepOutput(pixels, classes), before)


def _by_own_gate(gate: OwnGate | None, combined: Combined, before: OpenClasses) -> RuleInput:
    """Return what a step's own gate leaves; without a gate aux heads do not count."""
    pixels, classes = combined
    return rule_input(gate, StepOutput(pixels, None if gate is None else classes), before)


def _of_sets(
    setup: EnsembleSetup,
    combinations: Combinations,
    members: Sequence[int],
    before: OpenClasses,
    truth: Masks,
) -> dict[str, NDArray[np.generic]]:
    """Return pixel counts and histograms of each subset of the members."""
    arrays = _of_no_set(truth)
    empty = strip_histograms(np.zeros(truth.shape, np.uint8), truth)
    box = combinations.box(_lowest(setup, len(truth)))
    true = truth[:, box[0], box[1]]
    outside = empty - strip_histograms(np.zeros(true.shape, np.uint8), true)
    always = [setup.stays[member] for member in members]
    sets, counts = list(arrays["sets"].tolist()), [arrays["counts"][0]]
    for chosen, combined in combinations.subsets(always, box):
        gated = _by_own_gate(setup.step.gate, combined, before)
        pixels = count_pixels(masks_of(gated, setup.tuned.rules), true)
        pixels[1] = truth.sum(axis=(1, 2))
        bits = sum(1 << members[at] for at in chosen)
        sets.append(bits)
        counts.append(pixels)
        arrays[f"set{bits}"] = outside + strip_histograms(gated.pixels, true)
    return arrays | {"sets": np.array(sets), "counts": np.stack(counts).astype(np.int32)}


def _lowest(setup: EnsembleSetup, classes: int) -> int:
    """Return the lowest stored probability of a mask with the thresholds held or searched."""
    lowest_searched = 0.05
    return lowest_u8_above(min(lowest_searched, *_least(setup.tuned.rules[0], classes)))


def _least(rule: Rule, classes: int) -> Iterator[float]:
    match rule:
        case Threshold():
            yield from per_class(rule.pixel, classes, "Threshold.pixel")
        case Triplet():
            yield from per_class(rule.bottom, classes, "Triplet.bottom")
            yield from per_class(rule.top, classes, "Triplet.top")
