"""A finished run as a `Detector`, and the pictures that it predicts."""

from collections.abc import Sequence
from pathlib import Path

import torch

from steelscan.decision import (
    Detector,
    Prediction,
    distinct_pictures,
    predict_pictures,
)
from steelscan.pipeline.device import Device, accelerator
from steelscan.pipeline.fit_tasks import tasks
from steelscan.pipeline.gates import with_gates
from steelscan.pipeline.networks import load_models
from steelscan.pipeline.predicted_strips import predicted_frames
from steelscan.pipeline.run_folder import RunFolder
from steelscan.pipeline.tuned_thresholds import read_tuned
from steelscan.postprocess import Rule
from steelscan.recipes import Recipe
from steelscan.strip.errors import OnError


def open_run(run: RunFolder, device: torch.device, thresholds: Path | None = None) -> Detector:
    """Load a run whose training has ended, with the networks of all folds.

    ``thresholds`` is a file that `steelscan.analysis.tune.tune_run` wrote for this run. Raises
    RunError for a run that is not finished, and for thresholds of another one.
    """
    recipe, tuned = run.load_tuned_recipe(), run.load_tuned()
    rules = tuned.rules
    if thresholds is not None:
        later = read_tuned(thresholds, run)
        rules = later.rules
        recipe = with_gates(run.load_recipe(), later.gates)
    return open_folds(run, recipe, rules, tuned.round, recipe.folds.validation, device)


def open_folds(
    run: RunFolder,
    recipe: Recipe,
    rules: Sequence[Rule],
    round_: int,
    folds: Sequence[int],
    device: torch.device,
) -> Detector:
    """Load the networks of some folds as they were in a round of pseudo-labels. Raises RunError."""
    classes = len(run.load_record().classes)
    fitted = tasks(recipe, folds, round_)
    models = {
        name: load_models(run, [task for task in fitted if task.step == name], classes, device)
        for name in recipe.named
    }
    return Detector(recipe.decision.with_rules(tuple(rules)), models, classes)


def predict(
    run: Path,
    pictures: str,
    out: Path,
    *,
    device: Device = "auto",
    on_error: OnError = "stop",
    overlays: bool = True,
    thresholds: Path | None = None,
) -> Prediction:
    """Predict the masks of pictures: a folder, a file, a glob pattern or a zip.

    Writes ``submission.csv``, ``masks/*.png`` (pixel value = class id, 0 = no defect; the highest
    id where classes overlap) and ``overlays/*.jpg``. The same call after an interruption goes on.
    ``thresholds`` is a file that `steelscan.analysis.tune.tune_run` wrote for this run; None: the
    run's own thresholds. Raises PictureError for a picture that cannot be read, or with
    ``on_error="skip"`` lists it in ``skipped.csv``; it has no mask then, and its rows are `unread`.
    Raises RunError if another process works in ``out``, or if its table was changed since.
    """
    sources = distinct_pictures(pictures, out)
    folder = RunFolder(run)
    detector = open_run(folder, accelerator(device).device, thresholds)
    record = folder.load_record()
    return predict_pictures(
        sources,
        detector.masks,
        out,
        record.classes,
        record.layout,
        made_of=folder.digest(folder.thresholds).encode(),
        settings=[] if thresholds is None else [thresholds.read_text(encoding="utf-8")],
        on_error=on_error,
        overlays=overlays,
        frames=predicted_frames(folder),
    )
