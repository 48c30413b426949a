"""What becomes of faults while a format is read: they stop the reading, or are listened to."""

from collections.abc import Iterator
from contextlib import contextmanager

from steelscan.strip import Fault, InputError


class Watch:
    """Raises every error at once, and passes over all that can be read nonetheless.

    One that overrides `error` and does not raise has the reader leave out what is wrong, a shape
    or a picture, and go on behind it.
    """

    closely = False
    """Whether to look for what reading does not need to know, such as sides that cross."""

    def error(self, error: InputError) -> None:
        """Take an error."""
        raise error

    def note(self, fault: Fault, where: object, found: str) -> None:
        """Take what is odd and was read nonetheless."""

    @contextmanager
    def over(self) -> Iterator[None]:
        """Take the error of a block, and go on behind it."""
        try:
            yield
        except InputError as error:
            self.error(error)


class _Silent(Watch):
    """Drops errors."""

    def error(self, error: InputError) -> None:
        """Drop an error."""


STRICT = Watch()
SILENT = _Silent()
"""For a second reading of what was complained of in the first."""
