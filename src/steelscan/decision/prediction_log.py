"""Masks of many pictures, written one by one, so that an interrupted run can continue."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from steelscan.strip import (
    UNREAD,
    UNSURE,
    Layout,
    Mask,
    PictureError,
    RunError,
    encode,
    track,
    write_mask_table,
    writing,
)

OnError = Literal["stop", "skip"]


class Predicted(NamedTuple):
    """What was predicted for a picture."""

    masks: Iterable[Mask | None] | None
    """A mask per class, None for `UNSURE`; None alone: the picture gets no row in the CSV file."""
    content: str = ""
    """The `content_hash` of the picture."""


class PredictionLog:
    """Run lengths of pictures, appended as they are predicted; a CSV file at the end.

    Each line holds the hash of the picture it was made for, and a checksum; the last line of a
    picture counts. A line that a crash cut short is dropped when the log is opened again; lines of
    pictures that are no longer wanted are ignored.
    """

    def __init__(self, path: Path, images: Iterable[str]) -> None:
        """Open or begin a log for some images. Raises RunError for a damaged log, OutputError."""
        self._path = path
        self._images = dict.fromkeys(images)
        self._at: dict[str, int] = {}
        self.contents: dict[str, str] = {}
        """The content hash of each picture that is predicted."""
        self.unread: dict[str, str] = {}
        """Why a picture could not be read."""
        whole = 0
        with writing(path):
            path.touch()
            with path.open("rb+") as log:
                for line in log:
                    if not line.endswith(b"\n"):
                        break
                    image, _, content = self._read(line)
                    if image in self._images:
                        self.contents[image], self._at[image] = content, whole
                    whole += len(line)
                log.truncate(whole)

    @property
    def done(self) -> set[str]:
        """The pictures that are predicted."""
        return set(self.contents)

    def fill(
        self, masks_of: Callable[[str], Iterable[Mask | None] | None], label: str, on_error: OnError
    ) -> list[tuple[str, str]]:
        """Add the masks of each picture that has none yet, with a progress bar.

        Returns names and reasons of pictures that could not be read, or raises PictureError.
        """

        def predicted(image: str) -> Predicted:
            return Predicted(masks_of(image))

        for image in track(self._images, label, len(self._images)):
            if image not in self.contents:
                self.record(image, partial(predicted, image), on_error)
        return list(self.unread.items())

    def record(
        self, image: str, predict: Callable[[], Predicted | None], on_error: OnError
    ) -> None:
        """Add what ``predict`` returns; None keeps what is there.

        If it raises PictureError and ``on_error`` is "skip", the reason is kept in `unread`.
        """
        try:
            predicted = predict()
        except PictureError as error:
            if on_error == "stop":
                raise
            self.contents.pop(image, None)
            self.unread[image] = str(error)
        else:
            if predicted is not None:
                self.add(image, predicted)

    def add(self, image: str, predicted: Predicted) -> None:
        """Append what was predicted for a picture. Raises OutputError."""
        masks, content = predicted
        texts = None
        if masks is not None:
            texts = [UNSURE if mask is None else encode(mask) for mask in masks]
        row = json.dumps([image, texts, content])
        line = f"{content_hash(row.encode())} {row}\n"
        with writing(self._path), self._path.open("ab") as log:
            at = log.tell()
            log.write(line.encode())
        self.contents[image], self._at[image] = content, at

    def remove(self) -> None:
        """Remove the log, once everything in it is written elsewhere."""
        self._path.unlink()

    def write(self, table: Path, layout: Layout, classes: int = 0) -> None:
        """Write the CSV file and keep the log. Raises OutputError.

        With ``classes``, a picture that could not be read gets an `unread` row per class.
        """
        write_mask_table(table, self.rows(classes), layout)

    def rows(self, classes: int = 0) -> Iterator[tuple[str, Sequence[str]]]:
        """Yield each image and its run lengths per class, in the order of the images.

        With ``classes``, an image that could not be read has `UNREAD` for each class.
        """
        with self._path.open("rb") as log:
            for image in self._images:
                if image in self.contents:
                    log.seek(self._at[image])
                    _, texts, _ = self._read(log.readline())
                    if texts is not None:
                        yield image, texts
                elif image in self.unread and classes:
                    yield image, (UNREAD,) * classes

    def _read(self, line: bytes) -> tuple[str, Sequence[str] | None, str]:
        """Return image, run lengths and content hash. Raises RunError for a changed line."""
        checksum, _, row = line.removesuffix(b"\n").partition(b" ")
        if checksum.decode("latin-1") != content_hash(row):
            remedy = "Remove it: its pictures are then predicted again"
            raise RunError(self._path, "is damaged", remedy)
        image, texts, content = json.loads(row)
        return image, texts, content


def content_hash(content: bytes) -> str:
    """Return a text that identifies the content of a picture."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
