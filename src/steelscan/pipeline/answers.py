"""Answers for many pictures, written one by one, so that an interrupted run goes on."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from steelscan.strip import Layout, Masks, cannot_write, encode, write_mask_table


class AnswerLog:
    """Run lengths of the pictures asked about, appended as they come, a CSV file at the end.

    A line that a crash cut short is dropped when the log is opened again; answers for pictures
    that are no longer asked about are passed over.
    """

    def __init__(self, path: Path, asked: Iterable[str]) -> None:
        self._path = path
        self._asked = set(asked)
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
            self.done &= self._asked
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, image: str, masks: Masks) -> None:
        """Append the answer for one picture. Raises OutputError."""
        line = json.dumps([image, [encode(mask) for mask in masks]]) + "\n"
        try:
            with self._path.open("a") as log:
                log.write(line)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self.done.add(image)

    def finish(self, table: Path, layout: Layout) -> None:
        """Write the CSV file and remove the log. Raises OutputError."""
        write_mask_table(table, self.rows(), layout)
        self._path.unlink()

    def rows(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Image and run lengths of each class, in the order in which they were added."""
        with self._path.open() as log:
            for line in log:
                image, texts = json.loads(line)
                if image in self._asked:
                    yield image, texts
