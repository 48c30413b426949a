"""A finished run scored on the data that it was made from, out of fold. No torch here."""

from pathlib import Path

import numpy as np

from steelscan.analysis.score.result import ScoreOptions, ScoreResult, StripCounts, score_result
from steelscan.data import Dataset
from steelscan.evaluation.metrics import reliability_of_classes, score
from steelscan.pipeline import EVALUATED_PARTS, EvaluatedOutputs, RunFolder, dependence_of
from steelscan.strip import track
from steelscan.strip.errors import RunError


def score_run(folder: Path, dataset: Dataset, options: ScoreOptions) -> ScoreResult:
    """Score the predictions of a run for all strips that its networks were not trained on.

    Masks are made again from the stored probabilities. Raises RunError for a run that is not
    finished, or whose masks differ from the recorded ones.
    """
    run = RunFolder(folder)
    outputs = EvaluatedOutputs(run, dataset)
    row_of = {name: row for row, name in enumerate(dataset.names)}
    parts = outputs.parts.values()
    images = [image for part in parts for image in part.images]
    counts = StripCounts()
    for image in track(images, "Scoring", len(images)):
        counts.add(outputs.masks_of(image), dataset.masks(row_of[image]))
    groups = np.concatenate([part.groups for part in parts])
    folds = np.concatenate([part.folds for part in parts])
    pairs = counts.pairs
    recorded = np.concatenate([part.pairs.predicted for part in parts])
    if not np.array_equal(recorded, pairs.predicted):
        remedy = "Train again into a new folder"
        raise RunError(folder, "has other probabilities than those it was scored with", remedy)
    notes = dependence_of(run)
    if EVALUATED_PARTS[1] in outputs.parts:
        count = len(outputs.parts[EVALUATED_PARTS[1]].images)
        notes.append(
            f"Thresholds may have been tuned on the {count} strips "
            "out of fold, which makes the scores there too high."
        )
    left = len(dataset) - len(images)
    if left:
        notes.append(f"Strips of the data set that are only used for training: {left}.")
    classes = outputs.record.classes
    result = score_result(pairs, classes, groups, notes, options, counts.defects)
    probabilities = outputs.class_probabilities(track(images, "Reading probabilities", len(images)))
    return result.model_copy(
        update={
            "parts": {name: score(part.pairs, part.groups) for name, part in outputs.parts.items()},
            "folds": {
                int(fold): score(pairs.select(folds == fold), groups[folds == fold])
                for fold in np.unique(folds)
            },
            "reliability": reliability_of_classes(probabilities, pairs.truth > 0, classes.names),
        }
    )
