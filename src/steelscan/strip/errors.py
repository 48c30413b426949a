"""Every error that a user of steelscan can cause, as one tree.

    SteelscanError
    ├── InputError            what was handed over is wrong
    │   ├── PictureError      a picture cannot be read, or is not an 8-bit picture of a strip
    │   ├── MaskError         a mask or a run length contradicts its frame or its classes
    │   ├── TableError        a CSV file lacks columns, or holds rows that cannot be meant
    │   ├── DatasetError      a folder or zip is no data set, or one that cannot be trained on
    │   └── RecipeError       a recipe does not hold together
    ├── OutputError           a result cannot be written: no permission, no space
    ├── RunError              a run folder belongs to another recipe or data set, or is in use
    ├── BundleError           a bundle is broken, not to be trusted, or decides otherwise
    └── MissingPartError      a part that this installation lacks: an extra, a weight file

Every message has the same three pieces: where (file, field), what was found there, the way out.
The command line prints it as one line and exits with status 2.
"""

import re

from steelscan.strip.faults import Fault

_CONTROL = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufeff\\ud800-\\udfff]"
)
"""Control characters but tab and newline, marks that turn the direction of writing, and halves of
letters, as file names hold them that are not UTF-8."""


def printable(text: str) -> str:
    r"""Escape what a terminal would obey or could not show, as ``\x1b`` or ``\u202e``.

    JSON that holds such letters stays JSON of the same value.
    """

    def escaped(found: re.Match[str]) -> str:
        code = ord(found[0])
        return f"\\x{code:02x}" if code < 0x20 else f"\\u{code:04x}"

    return _CONTROL.sub(escaped, text)


class SteelscanError(Exception):
    """An error with a place, a finding and a way out; all three are plain sentences' parts.

    ``fault`` names what is wrong with a data set, where the error is about one.
    """

    def __init__(self, where: object, found: str, remedy: str, fault: Fault | None = None) -> None:
        super().__init__(where, found, remedy)
        self.where = str(where)
        self.found = found
        self.remedy = remedy
        self.fault = fault

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.found}. {self.remedy}.")


class InputError(SteelscanError):
    """What was handed over is wrong."""


class PictureError(InputError):
    """A picture cannot be read, or is not an 8-bit picture of a strip."""


class MaskError(InputError):
    """A mask or a run length contradicts its frame or its classes."""


class TableError(InputError):
    """A CSV file lacks columns, or holds rows that cannot be meant."""


class DatasetError(InputError):
    """A folder or zip is no data set, or one that cannot be trained on."""


class RecipeError(InputError):
    """A recipe does not hold together."""


class OutputError(SteelscanError):
    """A result cannot be written: no permission, no space."""


class RunError(SteelscanError):
    """A run folder belongs to another recipe or data set, or is in use."""


class BundleError(SteelscanError):
    """A bundle is broken, not to be trusted, or decides otherwise than what was trained."""


class MissingPartError(SteelscanError):
    """This installation lacks a part that the work needs: an extra, a weight file."""
