"""Answers for many pictures, written one by one, so that an interrupted run goes on."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from steelscan.strip import (
    UNREAD,
    Layout,
    Masks,
    PictureError,
    RunError,
    cannot_write,
    encode,
    track,
    write_mask_table,
)


class AnswerLog:
    """Run lengths of the pictures asked about, appended as they come, a CSV file at the end.

    Each answer stands beside a hash of the picture that it was made for, and a checksum of its
    line; the last one counts. A line that a crash cut short is dropped when the log is opened
    again; answers for pictures that are no longer asked about are passed over.
    """

    def __init__(self, path: Path, asked: Iterable[str]) -> None:
        """Open or begin a log. Raises RunError for one that is damaged, and OutputError."""
        self._path = path
        self._asked = dict.fromkeys(asked)
        self._at: dict[str, int] = {}
        self.contents: dict[str, str] = {}
        """Of each picture that has an answer: the hash of the content that it was made for."""
        self.unread: dict[str, str] = {}
        """Of each picture that could not be read: why."""
        whole = 0
        try:
            path.touch()
            with path.open("rb+") as log:
                for line in log:
                    if not line.endswith(b"\n"):
                        break
                    image, _, content = self._read(line)
                    if image in self._asked:
                        self.contents[image], self._at[image] = content, whole
                    whole += len(line)
                log.truncate(whole)
        except OSError as error:
            raise cannot_write(path, error) from error

    @property
    def done(self) -> set[str]:
        """The pictures that have an answer."""
        return set(self.contents)

    def fill(
        self,
        answer: Callable[[str], Masks | None],
        label: str,
        on_error: Literal["stop", "skip"],
        content: Callable[[str], str] = lambda _: "",
    ) -> list[tuple[str, str]]:
        """Add an answer for each picture that has none yet, behind a progress bar.

        An answer counts where ``content``, a hash of the picture as it is now, is what it was made
        for. Returns names and reasons of pictures that could not be read, or raises PictureError.
        """
        for image in track(self._asked, label, len(self._asked)):
            try:
                now = content(image)
                if self.contents.get(image) == now:
                    continue
                self.contents.pop(image, None)
                masks = answer(image)
            except PictureError as error:
                if on_error == "stop":
                    raise
                self.contents.pop(image, None)
                self.unread[image] = str(error)
            else:
                self.add(image, masks, now)
        return list(self.unread.items())

    def add(self, image: str, masks: Masks | None, content: str = "") -> None:
        """Append the answer for one picture; None leaves it without a row. Raises OutputError."""
        texts = None if masks is None else [encode(mask) for mask in masks]
        answer = json.dumps([image, texts, content])
        line = f"{content_hash(answer.encode())} {answer}\n"
        try:
            with self._path.open("ab") as log:
                at = log.tell()
                log.write(line.encode())
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self.contents[image], self._at[image] = content, at

    def finish(self, table: Path, layout: Layout) -> None:
        """Write the CSV file and remove the log. Raises OutputError."""
        self.write(table, layout)
        self.remove()

    def remove(self) -> None:
        """Remove the log, when all that it holds is written elsewhere."""
        self._path.unlink()

    def write(self, table: Path, layout: Layout, classes: int = 0) -> None:
        """Write the CSV file; who opens the log again finds all answers. Raises OutputError.

        A picture that could not be read has a row a class that says so, where ``classes`` are
        given.
        """
        write_mask_table(table, self.rows(classes), layout)

    def rows(self, classes: int = 0) -> Iterator[tuple[str, Sequence[str]]]:
        """Image and run lengths of each class, in the order in which they were asked about.

        One that could not be read has `UNREAD` for each of the ``classes``.
        """
        with self._path.open("rb") as log:
            for image in self._asked:
                if image in self.contents:
                    log.seek(self._at[image])
                    _, texts, _ = self._read(log.readline())
                    if texts is not None:
                        yield image, texts
                elif image in self.unread and classes:
                    yield image, (UNREAD,) * classes

    def _read(self, line: bytes) -> tuple[str, Sequence[str] | None, str]:
        """Picture, run lengths and hash of an answer. Raises RunError unless it is as written."""
        checksum, _, answer = line.removesuffix(b"\n").partition(b" ")
        if checksum.decode("latin-1") != content_hash(answer):
            remedy = "Remove it: its pictures are then predicted again"
            raise RunError(self._path, "is damaged", remedy)
        image, texts, content = json.loads(answer)
        return image, texts, content


def content_hash(content: bytes) -> str:
    """What tells a picture's content from all others, as text."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
