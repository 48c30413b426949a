"""Standard output and standard error that work with any terminal, encoding and pipe."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

READER_GONE = 141
"""Exit status if the reader of a pipe has ended, as in a shell (128 + SIGPIPE)."""


class _Escaping(io.TextIOBase):
    """Escape control characters, so that a file name cannot control the terminal.

    What cannot be written is discarded: no work stops because progress cannot be shown.
    Characters that the encoding lacks are escaped, too. ``rich_proxied_file`` is the attribute to
    which rich writes its own control sequences.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.rich_proxied_file.encoding

    def write(self, text: str, /) -> int:
        safe = text
        if not text.replace("\n", "").replace("\t", "").isprintable():
            from steelscan.strip.errors import printable

            safe = printable(text)
        try:
            self.rich_proxied_file.write(safe)
        except OSError as error:
            self._fail(error)
        return len(text)

    def flush(self) -> None:
        try:
            self.rich_proxied_file.flush()
        except OSError as error:
            self._fail(error)

    def isatty(self) -> bool:
        return self.rich_proxied_file.isatty()

    def fileno(self) -> int:
        return self.rich_proxied_file.fileno()

    def _fail(self, error: OSError) -> None:  # noqa: ARG002
        """Discard what is buffered and all that follows."""
        with suppress(OSError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), self.fileno())


class _Results(_Escaping):
    """Standard output: it is an error if results cannot be written."""

    def _fail(self, error: OSError) -> None:
        super()._fail(error)
        if isinstance(error, BrokenPipeError):
            raise SystemExit(READER_GONE) from None
        from steelscan.strip.errors import OutputError

        problem = f"cannot be written ({error.strerror})"
        raise OutputError(
            "standard output", problem, "Redirect it to a disk with free space"
        ) from error


@contextmanager
def safe_streams() -> Iterator[None]:
    """Make both streams safe while the block runs, even if they are closed."""
    for number in range(3):
        _open_if_closed(number)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        out, err = sys.stdout or nowhere, sys.stderr or nowhere
        with redirect_stdout(_Results(out)), redirect_stderr(_Escaping(err)):
            yield


def _open_if_closed(number: int) -> None:
    """Prevent a file that is opened later from getting the number of a standard stream."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
