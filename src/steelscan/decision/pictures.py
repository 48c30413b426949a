"""Predict the pictures of a folder into a folder, by a run or a bundle. No torch here."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from cv2.typing import MatLike

from steelscan.data import PictureFile, find_pictures, picture_frame, read_picture
from steelscan.data.files import check_outside, picture_folders
from steelscan.decision.claim import LOG, SKIPPED, TABLE, claimed, record_table
from steelscan.decision.prediction_log import Predicted, PredictionLog, content_hash
from steelscan.pages.outline import outline
from steelscan.strip import Classes, Frame, Masks, Picture, map_ahead, track
from steelscan.strip.errors import InputError, OnError
from steelscan.strip.files import write_bytes, writing
from steelscan.strip.tables import Layout, write_rows


@dataclass(frozen=True)
class Prediction:
    """What was predicted: the pictures, how many hold each class, and which could not be read."""

    pictures: int
    per_class: Mapping[str, int]
    clean: int
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


def distinct_pictures(pictures: str, out: Path) -> list[PictureFile]:
    """Return the pictures of a folder, a file, a glob pattern or a zip.

    Raises DatasetError if there is none, InputError if two would have the same mask file or if
    ``out`` is the folder of the pictures, or in a data set's folder of pictures.
    """
    sources = find_pictures(pictures)
    root = sources[0].files.root
    if out.resolve() == root.resolve():
        check_outside(out, [root])
    check_outside(out, picture_folders(root))  # elsewhere below it, predictions are marked as such
    _check_stems(sources)
    return sources


def predict_pictures(
    sources: Sequence[PictureFile],
    masks_of: Callable[[Picture], Masks],
    out: Path,
    classes: Classes,
    layout: Layout,
    *,
    made_of: bytes,
    settings: Sequence[str] = (),
    on_error: OnError,
    overlays: bool,
    workers: int = 1,
    frames: Collection[Frame] = (),
) -> Prediction:
    """Write the masks of pictures: ``submission.csv``, ``masks/*.png``, ``overlays/*.jpg``.

    The same call continues after an interruption; files of pictures that are gone or have changed
    are removed. ``made_of`` identifies the run or bundle whose ``masks_of`` is called, from
    ``workers`` threads at once. Pictures of other sizes than ``frames``, if given, are noted.
    Raises PictureError for a picture that cannot be read, or with ``on_error="skip"`` lists it in
    ``skipped.csv`` and marks its rows in ``submission.csv``; RunError as `claimed` does.
    """
    with claimed(out, made_of, *settings):
        log = PredictionLog(out / LOG, [source.name for source in sources])
        for name in log.done:
            if not all(path.exists() for path in _drawn(out, name, overlays)):
                del log.contents[name]
        _remove_others(out, log.contents, TABLE, SKIPPED)

        def draw(name: str, picture: Picture, masks: Masks) -> None:
            _draw(out, name, picture, masks, overlays)

        frame_counts = fill_log(log, sources, masks_of, draw, on_error=on_error, workers=workers)
        _remove_others(out, log.contents)
        skipped = tuple(log.unread.items())
        if skipped:
            write_rows(out / SKIPPED, ("image", "reason"), skipped)
        per_class, clean = _count(log, classes)
        log.write(out / TABLE, layout, len(classes))
        record_table(out)
        log.remove()
        return Prediction(
            len(log.done), per_class, clean, skipped, _other_frames(frame_counts, frames)
        )


def fill_log(
    log: PredictionLog,
    sources: Sequence[PictureFile],
    masks_of: Callable[[Picture], Masks],
    draw: Callable[[str, Picture, Masks], None] | None = None,
    *,
    on_error: OnError,
    workers: int = 1,
) -> Counter[Frame]:
    """Predict the pictures that are new or have changed since they were logged.

    ``draw`` is called with each before it is logged. Returns how many pictures have each size.
    """
    known, frames = dict(log.contents), Counter[Frame]()

    def predict(source: PictureFile) -> tuple[Frame, Predicted | None]:
        content = source.read()
        now = content_hash(content)
        if known.get(source.name) == now:
            return picture_frame(content, source.name), None
        picture = read_picture(content, source.name)
        masks = masks_of(picture)
        if draw is not None:
            draw(source.name, picture, masks)
        return Frame(*picture.shape), Predicted(masks, now)

    def counted(result: Callable[[], tuple[Frame, Predicted | None]]) -> Predicted | None:
        frame, predicted = result()
        frames[frame] += 1
        return predicted

    with closing(map_ahead(predict, sources, workers)) as results:
        pairs = zip(sources, results, strict=True)
        for source, result in track(pairs, "Predicting", len(sources)):
            log.record(source.name, partial(counted, result), on_error)
    return frames


def _check_stems(sources: Sequence[PictureFile]) -> None:
    """Raise InputError if two pictures would have the same mask file, on any disk."""
    seen: dict[str, str] = {}
    for source in sources:
        stem = unicodedata.normalize("NFC", _stem(source.name)).casefold()
        other = seen.setdefault(stem, source.name)
        if other != source.name:
            alike = _stem(other) == _stem(source.name)
            parts = "the suffix" if alike else "the suffix, in case or in how accents are stored"
            problem = f"differs from {other} only in {parts}"
            raise InputError(source.name, problem, "Rename one: their masks would be one file")


def _other_frames(counts: Counter[Frame], expected: Collection[Frame]) -> tuple[str, ...]:
    """Return a sentence on pictures of other sizes than those that the networks were trained on."""
    others = Counter({frame: count for frame, count in counts.items() if frame not in expected})
    if not expected or not others:
        return ()
    sizes = [f"{count} of {frame}" for frame, count in others.most_common(3)]
    more = ", ..." if len(others) > 3 else ""
    trained = ", ".join(str(frame) for frame in sorted(expected)[:3])
    return (
        f"{others.total()} of {counts.total()} pictures have another size than the strips that the "
        f"networks were trained on ({trained}): {', '.join(sizes)}{more}.",
    )


def _drawn(out: Path, name: str, overlays: bool) -> list[Path]:
    """Return the files that are drawn for a picture."""
    stem = _stem(name)
    mask = out / "masks" / f"{stem}.png"
    return [mask, out / "overlays" / f"{stem}.jpg"] if overlays else [mask]


def _remove_others(out: Path, names: Iterable[str], *tables: str) -> None:
    """Remove drawings of other pictures, what a killed process left, and these tables."""
    kept = {path for name in names for path in _drawn(out, name, True)}
    with writing(out):
        for folder, suffix in (("masks", ".png"), ("overlays", ".jpg")):
            for path in sorted((out / folder).rglob("*"), reverse=True):  # files first
                if path.is_dir() and not path.is_symlink():
                    with suppress(OSError):  # it is not empty
                        path.rmdir()
                elif path.suffix in (suffix, ".part") and path not in kept:
                    path.unlink()
        for path in [*out.glob(".*.part"), *(out / name for name in tables)]:
            path.unlink(missing_ok=True)


def _draw(out: Path, name: str, picture: Picture, masks: Masks, overlays: bool) -> None:
    """Write the mask of a picture, and its outlines on the picture."""
    index = np.zeros(picture.shape, np.uint8)
    for class_id, mask in enumerate(masks, start=1):
        index[mask] = class_id
    mask, *overlay = _drawn(out, name, overlays)
    write_bytes(mask, _encoded(".png", index))
    for path in overlay:
        drawn = cv2.cvtColor(outline(picture, masks), cv2.COLOR_RGB2BGR)
        write_bytes(path, _encoded(".jpg", drawn))


def _encoded(suffix: str, picture: MatLike) -> bytes:
    return bytes(cv2.imencode(suffix, picture)[1])


def _count(log: PredictionLog, classes: Classes) -> tuple[dict[str, int], int]:
    """Count the pictures that hold each class, and those that hold none."""
    per_class, clean = dict.fromkeys(classes.names, 0), 0
    for _, texts in log.rows():
        clean += not any(texts)
        for name, text in zip(classes.names, texts, strict=True):
            per_class[name] += bool(text)
    return per_class, clean


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
