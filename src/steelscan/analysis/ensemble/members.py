"""The members of a run asked anew, strip by strip, about strips that they were not fitted on.

A file a strip keeps what its networks came to: the map of each rule, and of each set of members no
more than how many pixels it finds, how many of them are right, and how many lie at each level.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from steelscan.analysis.ensemble.rules import CombiningRule, gates_by_classifier
from steelscan.data import Dataset
from steelscan.decision import OpenClasses, RuleInput, SoftGate, StepOutput, admit, outlined
from steelscan.decision.decide import decide
from steelscan.evaluation.metrics import count_pixels
from steelscan.evaluation.tuning import histograms
from steelscan.pipeline import Predictor, RunFolder, Tuned, ask, tasks
from steelscan.postprocess import Rule, Threshold, Triplet, lowest_level
from steelscan.prediction import Combined, Heard, hear
from steelscan.recipes import Recipe, Segment
from steelscan.strip import Masks, Picture, cannot_write, per_class, replacing, track


@dataclass(frozen=True, eq=False)
class Question:
    """What the members of a run are asked, and about which strips.

    ``rows`` holds the strips of each validation fold; ``stays`` says of each member whether it is
    in all sets. ``sets`` False: only rules are compared.
    """

    run: RunFolder
    recipe: Recipe
    tuned: Tuned
    dataset: Dataset
    rules: tuple[CombiningRule, ...]
    rows: Mapping[int, Sequence[int]]
    stays: tuple[bool, ...]
    sets: bool

    @property
    def step(self) -> tuple[str, Segment]:
        """The last step that outlines, and its name."""
        return self.recipe.rounds[-1].segment

    def members(self, fold: int) -> tuple[int, ...]:
        """The members that are fitted for a fold, in the order in which they are asked."""
        fitted = tasks(self.recipe, (fold,), self.tuned.round)
        return tuple(task.number for task in fitted if task.step == self.step[0])


class StripFiles:
    """What was found of each strip, a file each, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, row: int) -> Path:
        """The file of a strip, by its place in the data set."""
        return self.folder / f"strip{row:07}.npz"

    def write(self, row: int, found: Mapping[str, NDArray[np.generic]]) -> None:
        """Write what was found of a strip. Raises OutputError."""
        with replacing(self.path(row)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **found)  # type: ignore[arg-type]

    def __contains__(self, row: int) -> bool:
        return self.path(row).exists()

    def opened(self, row: int, rule: int) -> RuleInput:
        """What the rules of the recipe get to see of a strip by a combining rule."""
        with np.load(self.path(row)) as found:
            word = found["words"][rule]
            return RuleInput(found[f"levels{rule}"], None if np.isnan(word).all() else word)

    def counts(self, row: int) -> dict[int, NDArray[np.int64]]:
        """Pixels of each set of members, int64 ``(3, classes)``; bit n stands for member n."""
        with np.load(self.path(row)) as found:
            return dict(zip(found["sets"].tolist(), found["counts"].astype(np.int64), strict=True))

    def levels(self, row: int, sets: Sequence[int]) -> NDArray[np.int32]:
        """Histograms of some sets of members, by their bits: int32 ``(sets, 2, classes, 256)``.

        As `count_levels` gives them, but that pixels below all thresholds that are searched count
        as 0. Of members that were not asked, and of none, they are those of an empty map.
        """
        with np.load(self.path(row)) as found:
            known = [f"set{bits}" if f"set{bits}" in found else "set0" for bits in sets]
            return np.stack([found[name] for name in known])

    def seconds(self, row: int) -> NDArray[np.float64]:
        """What asking each member took, float64 ``(members,)``; nan for those not asked."""
        with np.load(self.path(row)) as found:
            return np.asarray(found["seconds"], np.float64)

    def bytes(self) -> int:
        """What all files hold together."""
        return sum(file.stat().st_size for file in self.folder.glob("strip*.npz"))

    def remove(self) -> None:
        """Remove all files, and the folder where nothing else is in it. Raises OutputError."""
        try:
            for file in self.folder.glob("strip*.npz"):
                file.unlink()
            if not any(self.folder.iterdir()):
                self.folder.rmdir()
        except OSError as error:
            raise cannot_write(self.folder, error) from error


def ask_members(question: Question, files: StripFiles, device: torch.device) -> dict[int, int]:
    """Ask about each strip that has no file yet; returns the parameters of each member."""
    parameters: dict[int, int] = {}
    for fold, rows in question.rows.items():
        predictor = Predictor.of_round(
            question.run,
            question.recipe,
            question.tuned.rules,
            question.tuned.round,
            (fold,),
            device,
        )
        members = question.members(fold)
        models = predictor.models[question.step[0]]
        for member, voter in zip(members, models, strict=True):
            parameters[member] = sum(each.numel() for each in voter.network.parameters())
        missing = [row for row in rows if row not in files]
        for row in track(missing, f"Asking members, fold {fold}", len(missing)):
            files.write(row, _found(question, predictor, members, row))
    return parameters


def _found(
    question: Question, predictor: Predictor, members: Sequence[int], row: int
) -> dict[str, NDArray[np.generic]]:
    """What is kept of a strip."""
    picture, truth = question.dataset.picture(row), question.dataset.masks(row)
    admitted = _admitted(predictor, picture, len(truth))
    seconds = np.full(len(question.stays), np.nan)
    if not admitted.classes.any() and not gates_by_classifier(question.recipe):
        return _nothing(question, truth, admitted, seconds)
    name, segment = question.step
    ensemble = segment.ensemble
    averages = [rule.average for rule in question.rules if rule.average is not None]
    models = predictor.models[name]
    heard = hear(models, ensemble.views, picture, ensemble.average, averages, len(truth))
    seconds[list(members)] = heard.seconds
    opened = [_by_rule(question, rule, heard, admitted) for rule in question.rules]
    found = _kept(opened, seconds)
    if question.sets:
        found |= _of_sets(question, heard, members, admitted, truth)
    return found


def _admitted(predictor: Predictor, picture: Picture, classes: int) -> OpenClasses:
    def said(name: str, _: object) -> StepOutput:
        return ask(predictor.recipe.named[name], predictor.models[name], picture, classes)

    return admit(predictor.recipe, said, classes)


def _nothing(
    question: Question, truth: Masks, admitted: OpenClasses, seconds: NDArray[np.float64]
) -> dict[str, NDArray[np.generic]]:
    """What is kept of a strip of which no class may be outlined: nothing is found by any."""
    closed = RuleInput(np.zeros(truth.shape, np.uint8), admitted.word)
    return _kept([closed] * len(question.rules), seconds) | _of_no_set(truth)


def _of_no_set(truth: Masks) -> dict[str, NDArray[np.generic]]:
    """What is kept of a set of members that finds nothing."""
    counts = count_pixels(np.zeros_like(truth), truth)[None]
    empty = histograms(np.zeros(truth.shape, np.uint8), truth)
    return {"sets": np.array([0]), "counts": counts.astype(np.int32), "set0": empty}


def _kept(
    opened: Sequence[RuleInput], seconds: NDArray[np.float64]
) -> dict[str, NDArray[np.generic]]:
    classes = len(opened[0].levels)
    unknown = np.full(classes, np.nan, np.float32)
    words = [unknown if each.word is None else each.word for each in opened]
    levels = {f"levels{at}": each.levels for at, each in enumerate(opened)}
    return {**levels, "words": np.stack(words), "seconds": seconds}


def _by_rule(
    question: Question, rule: CombiningRule, heard: Heard, admitted: OpenClasses
) -> RuleInput:
    """What the rules behind the networks get to see of a strip by a combining rule."""
    _, segment = question.step
    levels, said = heard.answers[rule.average or heard.own]
    if rule.average is None:
        levels = heard.majority()
    if rule.gate == "recipe":
        return _outlined(segment, (levels, said), admitted)
    if rule.gate == "none":
        return outlined(segment.but(gate=None), StepOutput(levels, said), admitted)
    if gates_by_classifier(question.recipe):
        assert admitted.word is not None
        said = np.nan_to_num(admitted.word, nan=1.0)  # a class that is not judged passes
        admitted = OpenClasses(np.ones_like(admitted.classes), admitted.word)
    return outlined(segment.but(gate=SoftGate()), StepOutput(levels, said), admitted)


def _outlined(segment: Segment, answer: Combined, admitted: OpenClasses) -> RuleInput:
    """What a step leaves, by its own gate; second heads have no word where there is none."""
    levels, said = answer
    return outlined(segment, StepOutput(levels, None if segment.gate is None else said), admitted)


def _of_sets(
    question: Question, heard: Heard, members: Sequence[int], admitted: OpenClasses, truth: Masks
) -> dict[str, NDArray[np.generic]]:
    """How many pixels each set of members finds and how many of them are right, and histograms."""
    _, segment = question.step
    found = _of_no_set(truth)
    empty = histograms(np.zeros(truth.shape, np.uint8), truth)
    box = heard.box(_lowest(question, len(truth)))
    true = truth[:, box[0], box[1]]
    outside = empty - histograms(np.zeros(true.shape, np.uint8), true)
    stays = [question.stays[member] for member in members]
    sets, counts = list(found["sets"].tolist()), [found["counts"][0]]
    for chosen, answer in heard.sets(stays, box):
        opened = _outlined(segment, answer, admitted)
        pixels = count_pixels(decide(opened, question.tuned.rules), true)
        pixels[1] = truth.sum(axis=(1, 2))
        bits = sum(1 << members[at] for at in chosen)
        sets.append(bits)
        counts.append(pixels)
        found[f"set{bits}"] = outside + histograms(opened.levels, true)
    return found | {"sets": np.array(sets), "counts": np.stack(counts).astype(np.int32)}


def _lowest(question: Question, classes: int) -> int:
    """The lowest level that can be part of any mask, by thresholds held or searched."""
    lowest_searched = 0.05
    return lowest_level(min(lowest_searched, *_least(question.tuned.rules[0], classes)))


def _least(rule: Rule, classes: int) -> Iterator[float]:
    match rule:
        case Threshold():
            yield from per_class(rule.pixel, classes, "Threshold.pixel")
        case Triplet():
            yield from per_class(rule.bottom, classes, "Triplet.bottom")
            yield from per_class(rule.top, classes, "Triplet.top")
