"""A finished run against the data that it was made from: what was said out of fold. No torch."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.analysis.score.score import Asked, Counted, Judgement, judged
from steelscan.data import Dataset
from steelscan.evaluation.metrics import Reliability, reliability_of_classes, score
from steelscan.pipeline import PARTS, EvaluatedOutputs, RunFolder
from steelscan.strip import RunError, track


def is_run_of(folder: Path, dataset: Dataset) -> bool:
    """Whether a run folder was made from this data."""
    return RunFolder(folder).load_record().fingerprint == dataset.fingerprint


def score_run(folder: Path, dataset: Dataset, asked: Asked) -> Judgement:
    """Score what a run said of all strips that its networks were not fitted on.

    Masks are made anew from the stored probabilities. Raises RunError for a run that is not
    finished, or whose masks are not those that it wrote down.
    """
    answers = EvaluatedOutputs(RunFolder(folder), dataset)
    row_of = {name: row for row, name in enumerate(dataset.names)}
    images = [image for part in answers.parts.values() for image in part.images]
    counted = Counted()
    for image in track(images, "Scoring", len(images)):
        counted.add(answers.masks_of(image), dataset.masks(row_of[image]))
    parts = answers.parts.values()
    groups = np.concatenate([part.groups for part in parts])
    folds = np.concatenate([part.folds for part in parts])
    pairs = counted.pairs
    written = np.concatenate([part.pairs.predicted for part in parts])
    if not np.array_equal(written, pairs.predicted):
        remedy = "Train again into a new folder"
        raise RunError(folder, "holds other probabilities than its scores were made of", remedy)
    notes = []
    if PARTS[1] in answers.parts:
        notes.append(
            f"Thresholds may have been tuned on the {len(answers.parts[PARTS[1]].images)} strips "
            "out of fold, which flatters the run there."
        )
    left = len(dataset) - len(images)
    if left:
        notes.append(f"{left} strips of the data set only teach: no network judges them.")
    found = judged(pairs, answers.record.classes, groups, notes, asked, counted.defects)
    return Judgement(
        **{
            **vars(found),
            "parts": {name: score(part.pairs, part.groups) for name, part in answers.parts.items()},
            "folds": {
                int(fold): score(pairs.select(folds == fold), groups[folds == fold])
                for fold in np.unique(folds)
            },
            "reliability": _reliability(answers, images, pairs.truth > 0),
        }
    )


def _reliability(
    answers: EvaluatedOutputs, images: list[str], present: NDArray[np.bool_]
) -> dict[str, Reliability]:
    words = answers.class_probabilities(track(images, "Reading probabilities", len(images)))
    return reliability_of_classes(words, present, answers.record.classes.names)
