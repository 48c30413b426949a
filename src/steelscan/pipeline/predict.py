"""Pictures to masks, one by one, into a folder: what a finished run is for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import cv2
import numpy as np
from cv2.typing import MatLike

from steelscan.data import PictureFile, find_pictures, read_picture
from steelscan.evaluation import outline
from steelscan.pipeline.answers import AnswerLog
from steelscan.pipeline.claim import claim
from steelscan.pipeline.engine import Device, accelerator
from steelscan.pipeline.predictor import Predictor
from steelscan.pipeline.run import RunFolder
from steelscan.strip import (
    Classes,
    InputError,
    Masks,
    Picture,
    write_bytes,
    write_rows,
)


@dataclass(frozen=True)
class Prediction:
    """What was found: pictures answered, how many hold each class, and what was left out."""

    pictures: int
    found: Mapping[str, int]
    clean: int
    skipped: tuple[tuple[str, str], ...]


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
    ``on_error="skip"`` lists it in ``skipped.csv``; it then has no mask and no row.
    """
    sources = find_pictures(pictures)
    _check_stems(sources)
    run_folder = RunFolder(run)
    predictor = Predictor.load(run_folder, accelerator(device).device, thresholds)
    used = () if thresholds is None else (thresholds.read_text(),)
    claim(out, "predicted_by.txt", run_folder, *used)
    log = AnswerLog(out / "answers.jsonl", [source.name for source in sources])
    named = {source.name: source for source in sources}

    def answer(name: str) -> Masks:
        picture = read_picture(named[name].read(), name)
        masks = predictor.masks(picture)
        _draw(out, name, picture, masks, overlays)
        return masks

    skipped = log.fill(answer, "Predicting", on_error)
    _list_skipped(out / "skipped.csv", skipped)
    found, clean = _count(log, predictor.record.classes)
    log.finish(out / "submission.csv", predictor.record.layout)
    return Prediction(len(log.done), found, clean, tuple(skipped))


def _check_stems(sources: Sequence[PictureFile]) -> None:
    """Two pictures must not want the same mask file. Raises InputError."""
    seen: dict[str, str] = {}
    for source in sources:
        other = seen.setdefault(_stem(source.name), source.name)
        if other != source.name:
            found = f"has the same name as {other} but for its ending"
            raise InputError(source.name, found, "Rename one: their masks would be one file")


def _draw(out: Path, name: str, picture: Picture, masks: Masks, overlays: bool) -> None:
    """Write the mask of a picture, and its outlines on the picture."""
    index = np.zeros(picture.shape, np.uint8)
    for class_id, mask in enumerate(masks, start=1):
        index[mask] = class_id
    stem = _stem(name)
    write_bytes(out / "masks" / f"{stem}.png", _encoded(".png", index))
    if overlays:
        drawn = cv2.cvtColor(outline(picture, masks), cv2.COLOR_RGB2BGR)
        write_bytes(out / "overlays" / f"{stem}.jpg", _encoded(".jpg", drawn))


def _encoded(suffix: str, picture: MatLike) -> bytes:
    return bytes(cv2.imencode(suffix, picture)[1])


def _list_skipped(path: Path, skipped: Sequence[tuple[str, str]]) -> None:
    if not skipped:
        path.unlink(missing_ok=True)
        return
    write_rows(path, ("image", "reason"), skipped)


def _count(log: AnswerLog, classes: Classes) -> tuple[dict[str, int], int]:
    """How many pictures hold each class, and how many none."""
    found, clean = dict.fromkeys(classes.names, 0), 0
    for _, texts in log.rows():
        clean += not any(texts)
        for name, text in zip(classes.names, texts, strict=True):
            found[name] += bool(text)
    return found, clean


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
