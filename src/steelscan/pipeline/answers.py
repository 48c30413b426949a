"""Answers for many pictures, written one by one, so that an interrupted run goes on."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from steelscan.strip import (
    Layout,
    Masks,
    PictureError,
    cannot_write,
    encode,
    track,
    write_mask_table,
)


class AnswerLog:
    """Run lengths of the pictures asked about, appended as they come, a CSV file at the end.

    A line that a crash cut short is dropped when the log is opened again; answers for pictures
    that are no longer asked about are passed over.
    """

    def __init__(self, path: Path, asked: Iterable[str]) -> None:
        self._path = path
        self._asked = dict.fromkeys(asked)
        self.done: set[str] = set()
        whole = 0
        try:
            path.touch()
            with path.open("rb+") as log:
                for line in log:
                    if not line.endswith(b"\n"):
                        break
                    self.done.add(json.loads(line)[0])
                    whole += len(line)
                log.truncate(whole)
            self.done &= self._asked.keys()
        except OSError as error:
            raise cannot_write(path, error) from error

    def fill(
        self, answer: Callable[[str], Masks | None], label: str, on_error: Literal["stop", "skip"]
    ) -> list[tuple[str, str]]:
        """Add an answer for each picture that has none yet, behind a progress bar.

        Returns names and reasons of pictures that could not be read, or raises PictureError.
        """
        left_out = []
        for image in track(self._asked, label, len(self._asked)):
            if image in self.done:
                continue
            try:
                masks = answer(image)
            except PictureError as error:
                if on_error == "stop":
                    raise
                left_out.append((image, str(error)))
            else:
                self.add(image, masks)
        return left_out

    def add(self, image: str, masks: Masks | None) -> None:
        """Append the answer for one picture; None leaves it without a row. Raises OutputError."""
        texts = None if masks is None else [encode(mask) for mask in masks]
        line = json.dumps([image, texts]) + "\n"
        try:
            with self._path.open("a") as log:
                log.write(line)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self.done.add(image)

    def finish(self, table: Path, layout: Layout) -> None:
        """Write the CSV file and remove the log. Raises OutputError."""
        self.write(table, layout)
        self._path.unlink()

    def write(self, table: Path, layout: Layout) -> None:
        """Write the CSV file; who opens the log again finds all answers. Raises OutputError."""
        write_mask_table(table, self.rows(), layout)

    def rows(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Image and run lengths of each class, in the order in which they were added."""
        with self._path.open() as log:
            for line in log:
                image, texts = json.loads(line)
                if image in self._asked and texts is not None:
                    yield image, texts
