"""What a plant counts of a finished run: escapes and overkill at every threshold. No torch here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset
from steelscan.evaluation.metrics import (
    OperatingCurve,
    Rates,
    Review,
    ScoredStrips,
    Scores,
    SizeRow,
    Sorted,
    by_size,
    choose_review,
    defects_of,
    operating_curve,
    promises,
    score,
)
from steelscan.pipeline import EVALUATED_PARTS, Evaluated, EvaluatedOutputs, RunFolder
from steelscan.strip import Classes, InputError, track, write_rows


@dataclass(frozen=True, eq=False)
class Plant:
    """Curves of the strip and of each class, and what two thresholds would promise.

    All of it is of the strips out of fold; ``held_out`` are those that nothing was chosen on.
    """

    title: str
    classes: Classes
    images: tuple[str, ...]
    class_scores: NDArray[np.float64]
    """float64 ``(strips, classes)``."""
    strips: ScoredStrips
    now: Scores
    """The five numbers with the run's own thresholds."""
    promised_now: tuple[str, ...]
    """What the escapes and the overkill counted with the run's own thresholds promise."""
    curve: OperatingCurve
    class_curves: Mapping[str, OperatingCurve]
    confidence: float
    review: Review | None
    held_out: ScoredStrips | None
    sizes: Sequence[SizeRow]
    unit: str
    """That of the sizes: "px" or "mm2"."""
    notes: tuple[str, ...]

    @property
    def sorted(self) -> Sorted | None:
        """Where the strips go with two thresholds."""
        return self.review.sort(self.strips) if self.review else None

    @property
    def sorted_held_out(self) -> Sorted | None:
        """Where the strips go that nothing was chosen on."""
        return self.review.sort(self.held_out) if self.review and self.held_out else None

    def write_scores(self, path: Path) -> None:
        """Write what each strip scores and where it goes as CSV. Raises OutputError."""
        columns = ("image", "defective", "score", *self.classes.names, "goes")
        rows = (
            (
                image,
                int(self.strips.defective[row]),
                f"{self.strips.scores[row]:.6f}",
                *(f"{value:.6f}" for value in self.class_scores[row]),
                self._goes(row),
            )
            for row, image in enumerate(self.images)
        )
        write_rows(path, columns, rows)

    def _goes(self, row: int) -> str:
        if self.review is None:
            return ""
        value = self.strips.scores[row]
        if value < self.review.low:
            return "pass"
        return "stop" if value >= self.review.high else "review"


def rates_of(escape: float | None, overkill: float | None, confidence: float) -> Rates | None:
    """The rates to promise; None where no escape rate is stated.

    The overkill rate is as the escape rate if not given. Raises InputError where it stands alone.
    """
    if escape is None:
        if overkill is not None:
            found = "is given without an escape rate"
            raise InputError("overkill rate", found, "Give --escape-rate as well")
        return None
    return Rates(escape, escape if overkill is None else overkill, confidence)


def plant(
    run: Path,
    rates: Rates | None = None,
    *,
    data: Path | None = None,
    mm_per_pixel: float | None = None,
    confidence: float = 0.95,
) -> Plant:
    """Work out what a plant counts from the stored answers of a finished run.

    A strip's score is that of `class_scores`: the weakest of all probabilities that decide, and of
    the classes the highest. With ``rates``, two thresholds are chosen that keep them. Masks
    are those of the data set where the run left it, or where ``data`` says it lies by now.

    Raises RunError for a folder that is no finished run or is of other data, InputError for rates
    that cannot be promised from so few strips and for a pixel of no size.
    """
    folder = RunFolder(run)
    dataset = folder.open_data(data)
    answers = EvaluatedOutputs(folder, dataset)
    judged = answers.parts[EVALUATED_PARTS[1]]
    rest = answers.parts.get(EVALUATED_PARTS[0])
    scores, strips = _scored(answers, judged)
    review = None if rates is None else choose_review(strips, rates)
    names = answers.record.classes.names
    stopped = np.asarray((judged.pairs.predicted > 0).any(axis=1), np.float64)
    decided = ScoredStrips(stopped, strips.defective, strips.groups)
    return Plant(
        title=f"{answers.recipe.name}: {run.name}",
        classes=answers.record.classes,
        images=judged.images,
        class_scores=scores,
        strips=strips,
        now=score(judged.pairs, judged.groups),
        promised_now=tuple(promises(decided, 1.0, confidence)),
        curve=operating_curve(strips),
        class_curves={
            name: operating_curve(
                ScoredStrips(scores[:, at], judged.pairs.truth[:, at] > 0, judged.groups)
            )
            for at, name in enumerate(names)
        },
        confidence=confidence,
        review=review,
        held_out=None if rest is None else _scored(answers, rest)[1],
        sizes=_sizes(answers, judged, dataset, mm_per_pixel),
        unit="px" if mm_per_pixel is None else "mm2",
        notes=tuple(_notes(strips, review)),
    )


def _scored(
    answers: EvaluatedOutputs, judged: Evaluated
) -> tuple[NDArray[np.float64], ScoredStrips]:
    """The score of each class of some strips, and of the strips."""
    images = track(judged.images, "Reading probabilities", len(judged.images))
    scores = answers.scores(images)
    defective = np.asarray((judged.pairs.truth > 0).any(axis=1))
    return scores, ScoredStrips(scores.max(axis=1), defective, judged.groups)


def _sizes(
    answers: EvaluatedOutputs, judged: Evaluated, dataset: Dataset, mm_per_pixel: float | None
) -> list[SizeRow]:
    row_of = {name: row for row, name in enumerate(dataset.names)}
    defects = [
        defects_of(answers.masks_of(image), dataset.masks(row_of[image]))
        for image in track(judged.images, "Measuring defects", len(judged.images))
    ]
    escaped = np.asarray(~(judged.pairs.predicted > 0).any(axis=1))
    return by_size(defects, escaped, judged.groups, mm_per_pixel=mm_per_pixel)


def _notes(strips: ScoredStrips, review: Review | None) -> Iterator[str]:
    """What must be known beside the numbers, as sentences."""
    yield (
        "Each strip was judged by networks that were not fitted on it; what is deployed is all of "
        "them together, and new strips must be of the same kind for a promise to hold."
    )
    if strips.defective.all():
        yield "No strip is clean: overkill is not known."
    if not strips.defective.any():
        yield "No strip is defective: escapes are not known."
    if review is not None and review.low <= strips.scores.min():
        yield "No strip passes unseen at the lower threshold: every one scores as high."
