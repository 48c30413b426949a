"""Every error that a user of steelscan can cause, as one tree.

    SteelscanError
    ├── InputError            an input is wrong
    │   ├── PictureError      a picture is unreadable, or is not an 8-bit picture of a strip
    │   ├── MaskError         a mask or a run length contradicts its frame or its classes
    │   ├── TableError        a CSV file lacks columns, or has invalid rows
    │   ├── DatasetError      a folder or zip is not a data set, or cannot be used for training
    │   └── RecipeError       the settings of a recipe are invalid or contradict each other
    ├── OutputError           a result cannot be written: no permission, no space
    ├── RunError              a run folder belongs to another recipe or data set, or is in use
    ├── BundleError           a bundle is broken, untrusted, or decides differently from its run
    └── MissingPartError      this installation lacks a part: an extra, a weight file

Every message has three parts: where (file or field), the problem, the remedy.
The command line prints it as one line and exits with status 2.
"""

import re
from typing import TypeVar

from steelscan.strip.errors.faults import Fault

E = TypeVar("E", bound="SteelscanError")

_CONTROL = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufeff\\ud800-\\udfff]"
)
"""Control characters except tab and newline, marks that change the direction of writing, and the
surrogates that stand for bytes of file names which are not UTF-8."""


def printable(text: str) -> str:
    r"""Escape characters that control a terminal or cannot be shown, as ``\x1b`` or ``\u202e``.

    Escaped JSON remains JSON with the same value.
    """

    def escape(match: re.Match[str]) -> str:
        code = ord(match[0])
        return f"\\x{code:02x}" if code < 0x20 else f"\\u{code:04x}"

    return _CONTROL.sub(escape, text)


class SteelscanError(Exception):
    """An error with a place, a problem and a remedy, each a part of a sentence.

    ``fault`` names what is wrong with a data set, if the error is about one.
    """

    def __init__(
        self, where: object, problem: str, remedy: str, fault: Fault | None = None
    ) -> None:
        super().__init__(where, problem, remedy)
        self.where = str(where)
        self.problem = problem
        self.remedy = remedy
        self.fault = fault

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.problem}. {self.remedy}.")

    def as_(self, kind: type[E], fault: Fault | None = None) -> E:
        """Return an error of another class with the same text, to raise from this one."""
        return kind(self.where, self.problem, self.remedy, fault or self.fault)


class InputError(SteelscanError):
    """An input is wrong."""


class PictureError(InputError):
    """A picture is unreadable, or is not an 8-bit picture of a strip."""


class MaskError(InputError):
    """A mask or a run length contradicts its frame or its classes."""


class TableError(InputError):
    """A CSV file lacks columns, or has invalid rows."""


class DatasetError(InputError):
    """A folder or zip is not a data set, or cannot be used for training."""


class RecipeError(InputError):
    """The settings of a recipe are invalid or contradict each other."""


class OutputError(SteelscanError):
    """A result cannot be written: no permission, no space."""


class RunError(SteelscanError):
    """A run folder belongs to another recipe or data set, or is in use."""


class BundleError(SteelscanError):
    """A bundle is broken, untrusted, or decides differently from the run it was exported from."""


class MissingPartError(SteelscanError):
    """This installation lacks a part that the work needs: an extra, a weight file."""
