"""How a reader of annotations handles faults: it raises, counts or collects them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from steelscan.strip.errors.faults import Fault
from steelscan.strip.errors.tree import InputError

OnError = Literal["stop", "skip"]
"""What to do if a file cannot be read."""


class FaultPolicy:
    """Raise every error at once, and ignore what can be read in spite of a fault.

    If the `skip` of a subclass does not raise, the reader skips the wrong shape or picture. If its
    `error` does not raise, the reader continues after any other error, too.
    """

    thorough = False
    """Whether to look for faults that do not prevent reading, such as edges that cross."""

    def error(self, error: InputError) -> None:
        """Handle an error."""
        raise error

    def skip(self, error: InputError) -> None:
        """Handle the error of a shape or a picture, which is skipped."""
        self.error(error)

    def note(self, fault: Fault, where: object, problem: str) -> None:
        """Handle a fault that did not prevent reading."""

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Handle the error of a block, and continue after it."""
        try:
            yield
        except InputError as error:
            self.error(error)

    @contextmanager
    def skipping(self) -> Iterator[None]:
        """Handle the error of a block that reads one picture, and continue after it."""
        try:
            yield
        except InputError as error:
            self.skip(error)


STRICT = FaultPolicy()


class FaultLog(FaultPolicy):
    """Count the faults that did not prevent reading, and keep the first of each kind.

    Raise every error; with ``skips`` collect those of shapes and pictures, which are skipped.
    """

    def __init__(self, *, skips: bool = False) -> None:
        self.counts: Counter[Fault] = Counter()
        self.firsts: dict[Fault, str] = {}
        self.errors: list[InputError] = []
        self._skips = skips

    def note(self, fault: Fault, where: object, problem: str) -> None:
        """Count a fault."""
        self.counts[fault] += 1
        self.firsts.setdefault(fault, f"{where}: {problem}")

    def skip(self, error: InputError) -> None:
        """Collect an error, or raise it."""
        if not self._skips:
            raise error
        self.errors.append(error)
