"""Pictures to masks by the networks of a finished run."""

from pathlib import Path
from typing import Literal

from steelscan.pipeline.answered import frames_of
from steelscan.pipeline.claim import claimed
from steelscan.pipeline.engine import Device, accelerator
from steelscan.pipeline.pictures import Prediction, answer_pictures, find_distinct
from steelscan.pipeline.predictor import Predictor
from steelscan.pipeline.run import RunFolder


def predict(
    run: Path,
    pictures: str,
    out: Path,
    *,
    device: Device = "auto",
    on_error: Literal["stop", "skip"] = "stop",
    overlays: bool = True,
    thresholds: Path | None = None,
) -> Prediction:
    """Outline the defects of pictures: a folder, a file, a glob pattern or a zip.

    Writes ``submission.csv``, ``masks/*.png`` (pixel value = class id, 0 = sound steel; where
    classes overlap the highest id) and ``overlays/*.jpg``. The same call after an interruption
    goes on. ``thresholds`` is a file that `tune_run` wrote for this run; without one its own
    thresholds decide. Raises PictureError for a picture that cannot be read, or with
    ``on_error="skip"`` lists it in ``skipped.csv``; it then has no mask, and rows that say so.
    Raises RunError where another process works in ``out``, or where its table was changed since.
    """
    sources = find_distinct(pictures, out)
    run_folder = RunFolder(run)
    predictor = Predictor.load(run_folder, accelerator(device).device, thresholds)
    used = () if thresholds is None else (thresholds.read_text(encoding="utf-8"),)
    with claimed(out, run_folder.made_of(), *used):
        return answer_pictures(
            sources,
            predictor.masks,
            out,
            predictor.record.classes,
            predictor.record.layout,
            on_error=on_error,
            overlays=overlays,
            frames=frames_of(run_folder),
        )
