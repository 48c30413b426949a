"""Pictures to masks, one by one, into a folder, whoever answers for them. No torch here."""

import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, Self

import cv2
import numpy as np
from cv2.typing import MatLike

from steelscan.data import (
    PictureFile,
    check_apart,
    find_pictures,
    picture_folders,
    picture_frame,
    read_picture,
)
from steelscan.decision.answer_log import AnswerLog, content_hash
from steelscan.decision.claim import LOG, SKIPPED, TABLE, record_table
from steelscan.pages.outline import outline
from steelscan.strip import (
    Classes,
    Frame,
    InputError,
    Layout,
    Masks,
    Picture,
    cannot_write,
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
    notes: tuple[str, ...] = ()


def find_distinct(pictures: str, out: Path) -> list[PictureFile]:
    """The pictures of a folder, a file, a glob pattern or a zip, whose masks can lie side by side.

    Raises DatasetError where there is none, InputError where two would have the same mask file or
    where ``out`` is the folder of the pictures, or in a data set's folder of pictures.
    """
    sources = find_pictures(pictures)
    root = sources[0].files.root
    if out.resolve() == root.resolve():
        check_apart(out, [root])
    check_apart(out, picture_folders(root))  # elsewhere below it, what is predicted is marked
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
    frames: Collection[Frame] = (),
) -> Prediction:
    """Write what is found on pictures: ``submission.csv``, ``masks/*.png``, ``overlays/*.jpg``.

    The same call after an interruption goes on; what lies there of pictures that are gone or have
    changed is removed. So many ``workers`` read, ask and draw at once; ``masks_of`` is called from
    several threads then. Pictures of other ``frames``, where these are given, are noted. Raises
    PictureError for a picture that cannot be read, or with ``on_error="skip"`` lists it in
    ``skipped.csv``; its rows in ``submission.csv`` say that it was not read.
    """
    log = AnswerLog(out / LOG, [source.name for source in sources])
    for name in log.done:
        if not all(path.exists() for path in _drawn(out, name, overlays)):
            del log.contents[name]
    _remove_others(out, log.contents, TABLE, SKIPPED)
    named, known = {source.name: source for source in sources}, dict(log.contents)

    def answer(name: str) -> _Answer:
        content = named[name].read()
        now = content_hash(content)
        if known.get(name) == now:
            return _Answer(now, picture_frame(content, name), None)
        picture = read_picture(content, name)
        masks = masks_of(picture)
        _draw(out, name, picture, masks, overlays)
        return _Answer(now, Frame(*picture.shape), masks)

    with _Ahead(answer, named, workers) as ahead:
        skipped = log.fill(ahead.masks, "Predicting", on_error, ahead.content)
    _remove_others(out, log.contents)
    _list_skipped(out / SKIPPED, skipped)
    found, clean = _count(log, classes)
    log.write(out / TABLE, layout, len(classes))
    record_table(out)
    log.remove()
    notes = _other_frames(ahead.frames, frames)
    return Prediction(len(log.done), found, clean, tuple(skipped), notes)


class _Answer(NamedTuple):
    content: str
    frame: Frame
    masks: Masks | None
    """None where they were known."""


class _Ahead:
    """Answers that are worked on before they are asked for, in order: a few, not all."""

    def __init__(
        self, answer: Callable[[str], _Answer], names: Iterable[str], workers: int
    ) -> None:
        self._answer, self._names, self._workers = answer, iter(names), workers
        self._pool = ThreadPoolExecutor(workers)
        self._waiting: deque[tuple[str, Future[_Answer]]] = deque()
        self._masks: Masks | None = None
        self.frames = Counter[Frame]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def content(self, name: str) -> str:
        """The hash of the next of the pictures. Raises what working on it raised."""
        while len(self._waiting) < 2 * self._workers:
            following = next(self._names, None)
            if following is None:
                break
            self._waiting.append((following, self._pool.submit(self._answer, following)))
        first, future = self._waiting.popleft()
        assert first == name
        content, frame, self._masks = future.result()
        self.frames[frame] += 1
        return content

    def masks(self, _: str) -> Masks:
        """The masks of the picture that `content` was last asked about."""
        assert self._masks is not None
        return self._masks


def _check_stems(sources: Sequence[PictureFile]) -> None:
    """Two pictures must not want the same mask file, on any disk. Raises InputError."""
    seen: dict[str, str] = {}
    for source in sources:
        stem = unicodedata.normalize("NFC", _stem(source.name)).casefold()
        other = seen.setdefault(stem, source.name)
        if other != source.name:
            alike = _stem(other) == _stem(source.name)
            but = "its ending" if alike else "its ending, its case or how its accents are stored"
            found = f"has the same name as {other} but for {but}"
            raise InputError(source.name, found, "Rename one: their masks would be one file")


def _other_frames(found: Counter[Frame], expected: Collection[Frame]) -> tuple[str, ...]:
    """A sentence on pictures of other sizes than those that networks were trained on."""
    others = Counter({frame: count for frame, count in found.items() if frame not in expected})
    if not expected or not others:
        return ()
    told = [f"{count} of {frame}" for frame, count in others.most_common(3)]
    more = ", ..." if len(others) > 3 else ""
    known = ", ".join(str(frame) for frame in sorted(expected)[:3])
    return (
        f"{others.total()} of {found.total()} pictures have another size than the strips that the "
        f"networks were made for, {known}: {', '.join(told)}{more}.",
    )


def _drawn(out: Path, name: str, overlays: bool) -> list[Path]:
    """The files that are drawn of a picture."""
    stem = _stem(name)
    mask = out / "masks" / f"{stem}.png"
    return [mask, out / "overlays" / f"{stem}.jpg"] if overlays else [mask]


def _remove_others(out: Path, names: Iterable[str], *tables: str) -> None:
    """Remove what is drawn of other pictures, what a killed process left, and these tables."""
    kept = {path for name in names for path in _drawn(out, name, True)}
    try:
        for folder, suffix in (("masks", ".png"), ("overlays", ".jpg")):
            for path in sorted((out / folder).rglob("*"), reverse=True):  # what is inside first
                if path.is_dir() and not path.is_symlink():
                    with suppress(OSError):  # where it is not empty
                        path.rmdir()
                elif path.suffix in (suffix, ".part") and path not in kept:
                    path.unlink()
        for path in [*out.glob(".*.part"), *(out / name for name in tables)]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error


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


def _list_skipped(path: Path, skipped: Sequence[tuple[str, str]]) -> None:
    if skipped:
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
