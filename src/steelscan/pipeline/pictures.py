"""Pictures to masks, one by one, into a folder, whoever answers for them. No torch here."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Self

import cv2
import numpy as np
from cv2.typing import MatLike

from steelscan.data import PictureFile, find_pictures, read_picture
from steelscan.evaluation import outline
from steelscan.pipeline.answers import AnswerLog
from steelscan.strip import (
    Classes,
    InputError,
    Layout,
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


def find_distinct(pictures: str) -> list[PictureFile]:
    """The pictures of a folder, a file, a glob pattern or a zip, whose masks can lie side by side.

    Raises DatasetError where there is none, InputError where two would have the same mask file.
    """
    sources = find_pictures(pictures)
    _check_stems(sources)
    return sources


def answer_pictures(
    sources: Sequence[PictureFile],
    masks_of: Callable[[Picture], Masks],
    out: Path,
    classes: Classes,
    layout: Layout,
    *,
    on_error: Literal["stop", "skip"],
    overlays: bool,
    workers: int = 1,
) -> Prediction:
    """Write what is found on pictures: ``submission.csv``, ``masks/*.png``, ``overlays/*.jpg``.

    The same call after an interruption goes on. So many ``workers`` read, ask and draw at once;
    ``masks_of`` is called from several threads then. Raises PictureError for a picture that cannot
    be read, or with ``on_error="skip"`` lists it in ``skipped.csv``.
    """
    log = AnswerLog(out / "answers.jsonl", [source.name for source in sources])
    named = {source.name: source for source in sources}

    def answer(name: str) -> Masks:
        picture = read_picture(named[name].read(), name)
        masks = masks_of(picture)
        _draw(out, name, picture, masks, overlays)
        return masks

    left = [name for name in named if name not in log.done]
    with _Ahead(answer, left, workers) as ahead:
        skipped = log.fill(ahead.answer, "Predicting", on_error)
    _list_skipped(out / "skipped.csv", skipped)
    found, clean = _count(log, classes)
    log.finish(out / "submission.csv", layout)
    return Prediction(len(log.done), found, clean, tuple(skipped))


class _Ahead:
    """Answers that are worked on before they are asked for, in order: a few, not all."""

    def __init__(self, answer: Callable[[str], Masks], names: Iterable[str], workers: int) -> None:
        self._answer, self._names, self._workers = answer, iter(names), workers
        self._pool = ThreadPoolExecutor(workers)
        self._waiting: deque[tuple[str, Future[Masks]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def answer(self, name: str) -> Masks:
        """The answer for the next of the names. Raises what working on it raised."""
        while len(self._waiting) < 2 * self._workers:
            following = next(self._names, None)
            if following is None:
                break
            self._waiting.append((following, self._pool.submit(self._answer, following)))
        first, future = self._waiting.popleft()
        assert first == name
        return future.result()


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
