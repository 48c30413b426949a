"""Escapes and overkill of a finished run, at every threshold on the score of a strip."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, InstanceOf

from steelscan.analysis.escapes.operating import (
    OperatingCurve,
    ScoredStrips,
    operating_curve,
    promises,
)
from steelscan.analysis.escapes.review import Rates, Review, Sorted, choose_review
from steelscan.data import Dataset
from steelscan.evaluation.metrics import Scores, SizeRow, by_size, measure_defects, score
from steelscan.pipeline import (
    EVALUATED_PARTS,
    Evaluated,
    EvaluatedOutputs,
    RunFolder,
    check_independent,
    dependence_of,
)
from steelscan.strip import Classes, track
from steelscan.strip.errors import InputError


class Escapes(BaseModel):
    """Escapes and overkill of the out-of-fold strips; as JSON without the scores of single strips.

    Attributes:
        title: recipe and name of the run.
        classes: defect classes of the run.
        images: names of the strips.
        class_scores: float64 ``(strips, classes)``.
        strips: score, truth and group of each strip.
        held_out: the same of the held-out strips, on which nothing was chosen; None if there are
            none.
        now: the five numbers with the run's own thresholds.
        promised_now: upper bounds for escapes and overkill with the run's own thresholds.
        curve: escapes and overkill at each threshold on the score of a strip.
        class_curves: the same for each class by itself.
        confidence: confidence of the bounds.
        review: two thresholds between which strips are reviewed; None if no rates were given.
        sorted: how many strips pass, are reviewed and are stopped with these thresholds.
        sorted_held_out: the same for the held-out strips.
        sizes: escapes per defect size.
        size_unit: "px" or "mm2".
        notes: what a reader of the numbers should be aware of.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    classes: Classes = Field(exclude=True)
    images: tuple[str, ...] = Field(exclude=True)
    class_scores: InstanceOf[np.ndarray] = Field(exclude=True)
    strips: InstanceOf[ScoredStrips] = Field(exclude=True)
    held_out: InstanceOf[ScoredStrips] | None = Field(exclude=True)
    now: Scores
    promised_now: tuple[str, ...]
    curve: OperatingCurve
    class_curves: Mapping[str, OperatingCurve]
    confidence: float
    review: Review | None
    sorted: Sorted | None
    sorted_held_out: Sorted | None
    sizes: tuple[SizeRow, ...]
    size_unit: str
    notes: tuple[str, ...]


def rates_of(escape: float | None, overkill: float | None, confidence: float) -> Rates | None:
    """Return the rates to promise, or None without an escape rate.

    The overkill rate defaults to the escape rate. Raises InputError if only the overkill rate is
    given.
    """
    if escape is None:
        if overkill is not None:
            problem = "is given without an escape rate"
            raise InputError("overkill rate", problem, "Give --escape-rate as well")
        return None
    return Rates(escape, escape if overkill is None else overkill, confidence)


def count_escapes(
    run: Path,
    rates: Rates | None = None,
    *,
    data: Path | None = None,
    mm_per_pixel: float | None = None,
    confidence: float = 0.95,
) -> Escapes:
    """Count escapes and overkill from the stored probabilities of a finished run.

    The score of a class is the lowest of all probabilities that decide about it (see
    `class_scores`), that of a strip the highest of its classes. With ``rates``, two thresholds are
    chosen that keep these rates. ``data`` is the run's data set, if it has been moved.

    Raises RunError if the folder is no finished run or belongs to other data, or with ``rates`` if
    it has pseudo-labels from the networks of all folds; InputError if there are too few strips to
    promise the rates, or if ``mm_per_pixel`` is not positive.
    """
    folder = RunFolder(run)
    if rates is not None:
        check_independent(folder, "Leave out --escape-rate, or use")
    dataset = folder.open_data(data)
    outputs = EvaluatedOutputs(folder, dataset)
    evaluated = outputs.parts[EVALUATED_PARTS[1]]
    held_out_part = outputs.parts.get(EVALUATED_PARTS[0])
    held_out = None if held_out_part is None else _scored(outputs, held_out_part)[1]
    scores, strips = _scored(outputs, evaluated)
    review = None if rates is None else choose_review(strips, rates)
    classes = outputs.record.classes
    stopped = np.asarray((evaluated.pairs.predicted > 0).any(axis=1), np.float64)
    decided = ScoredStrips(stopped, strips.defective, strips.groups)
    return Escapes(
        title=f"{outputs.recipe.name}: {run.name}",
        classes=classes,
        images=evaluated.images,
        class_scores=scores,
        strips=strips,
        held_out=held_out,
        now=score(evaluated.pairs, evaluated.groups),
        promised_now=tuple(promises(decided, 1.0, confidence)),
        curve=operating_curve(strips),
        class_curves=dict(zip(classes.names, _class_curves(scores, evaluated), strict=True)),
        confidence=confidence,
        review=review,
        sorted=review.sort(strips) if review else None,
        sorted_held_out=review.sort(held_out) if review and held_out else None,
        sizes=tuple(_sizes(outputs, evaluated, dataset, mm_per_pixel)),
        size_unit="px" if mm_per_pixel is None else "mm2",
        notes=(*dependence_of(folder), *_notes(strips, review)),
    )


def _scored(
    outputs: EvaluatedOutputs, evaluated: Evaluated
) -> tuple[NDArray[np.float64], ScoredStrips]:
    """Return the class scores, float64 ``(strips, classes)``, and the scored strips."""
    images = track(evaluated.images, "Reading probabilities", len(evaluated.images))
    scores = outputs.scores(images)
    defective = np.asarray((evaluated.pairs.truth > 0).any(axis=1))
    return scores, ScoredStrips(scores.max(axis=1), defective, evaluated.groups)


def _class_curves(scores: NDArray[np.float64], evaluated: Evaluated) -> Iterator[OperatingCurve]:
    """Yield the curve of each class by itself."""
    for score_of_class, truth in zip(scores.T, evaluated.pairs.truth.T, strict=True):
        yield operating_curve(ScoredStrips(score_of_class, truth > 0, evaluated.groups))


def _sizes(
    outputs: EvaluatedOutputs, evaluated: Evaluated, dataset: Dataset, mm_per_pixel: float | None
) -> list[SizeRow]:
    row_of = {name: row for row, name in enumerate(dataset.names)}
    defects = [
        measure_defects(outputs.masks_of(image), dataset.masks(row_of[image]))
        for image in track(evaluated.images, "Measuring defects", len(evaluated.images))
    ]
    escaped = np.asarray(~(evaluated.pairs.predicted > 0).any(axis=1))
    return by_size(defects, escaped, evaluated.groups, mm_per_pixel=mm_per_pixel)


def _notes(strips: ScoredStrips, review: Review | None) -> Iterator[str]:
    yield (
        "Each strip was predicted by networks that were not trained on it. All networks together "
        "are deployed, and a promise holds only for new strips of the same kind."
    )
    if strips.defective.all():
        yield "No strip is clean: the overkill is unknown."
    if not strips.defective.any():
        yield "No strip is defective: the escapes are unknown."
    if review is not None and review.low <= strips.scores.min():
        yield "No strip passes without a review: all scores are above the lower threshold."
