"""What becomes of faults while a format is read: they stop the reading, or are listened to."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from steelscan.strip.errors import InputError
from steelscan.strip.faults import Fault


class Watch:
    """Raises every error at once, and passes over all that can be read nonetheless.

    One that overrides `left_out` and does not raise has the reader leave out what is wrong, a shape
    or a picture, and go on behind it; one that overrides `error`, whatever else is wrong too.
    """

    closely = False
    """Whether to look for what reading does not need to know, such as sides that cross."""

    def error(self, error: InputError) -> None:
        """Take an error."""
        raise error

    def left_out(self, error: InputError) -> None:
        """Take the error of a shape or a picture, which is left out."""
        self.error(error)

    def note(self, fault: Fault, where: object, found: str) -> None:
        """Take what is odd and was read nonetheless."""

    @contextmanager
    def over(self) -> Iterator[None]:
        """Take the error of a block, and go on behind it."""
        try:
            yield
        except InputError as error:
            self.error(error)

    @contextmanager
    def leaving_out(self) -> Iterator[None]:
        """Take the error of a block that reads one picture, and go on behind it."""
        try:
            yield
        except InputError as error:
            self.left_out(error)


class Noting(Watch):
    """Raises every error, and keeps what is odd: how often each kind was met, and where first."""

    def __init__(self) -> None:
        self.counts: Counter[Fault] = Counter()
        self.firsts: dict[Fault, str] = {}

    def note(self, fault: Fault, where: object, found: str) -> None:
        """Count a fault."""
        self.counts[fault] += 1
        self.firsts.setdefault(fault, f"{where}: {found}")


class Skipping(Noting):
    """Has shapes and pictures left out that are wrong, and keeps what is wrong with them."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[InputError] = []

    def left_out(self, error: InputError) -> None:
        """Keep an error."""
        self.errors.append(error)


class _Silent(Watch):
    """Drops errors."""

    def error(self, error: InputError) -> None:
        """Drop an error."""


STRICT = Watch()
SILENT = _Silent()
"""For a second reading of what was complained of in the first."""
