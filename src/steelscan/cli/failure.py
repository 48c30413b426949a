"""How errors are printed: one line with a remedy, and an exit status."""

import errno
import sys
import traceback

_TRAIN = {
    "accelerate",
    "albumentations",
    "huggingface_hub",
    "platformdirs",
    "safetensors",
    "segmentation_models_pytorch",
    "timm",
    "torch",
    "zarr",
}
"""Modules that the extra `train` installs."""

_REMEDIES = {
    errno.ENOSPC: "Free space on that disk, then repeat the command",
    errno.EDQUOT: "Free space on that disk, then repeat the command",
    errno.EACCES: "Choose a folder with read and write permission",
    errno.EPERM: "Choose a folder with read and write permission",
    errno.EROFS: "Choose a folder with write permission",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.ELOOP: "Remove links that form a circle",
    errno.EMFILE: "Allow more open files (ulimit -n)",
    errno.ENFILE: "Close other programs, then repeat the command",
    errno.ENOMEM: "Use fewer or smaller pictures, or a machine with more memory",
}
_INSTALL = "Run: pip install 'steelscan[train]'"
_LONGEST = 2000
"""Characters of a line that are printed."""


def report(error: BaseException, debug: bool) -> int:
    """Print an error to standard error, and return the exit status.

    An error of the user is one line and status 2; with ``debug`` the trace comes first. Any other
    error is a bug of the program: its trace and one line with a remedy, status 1.
    """
    line = _line(error)
    if debug or line is None:
        traceback.print_exception(error, file=sys.stderr)
    bug = f"{type(error).__name__}: {error}. This is a bug in steelscan: "
    bug += "report it with the command and the lines above"
    print(shortened(f"Error: {line or bug}"), file=sys.stderr)
    return 1 if line is None else 2


def _line(error: BaseException) -> str | None:
    """Return what happened, where and the remedy; None if the error is not known."""
    from steelscan.strip.errors import SteelscanError

    match error:
        case SteelscanError():
            line: str | None = str(error)
        case ModuleNotFoundError() if error.name in _TRAIN:
            line = f"this verb: needs {error.name}, which is not installed. {_INSTALL}."
        case _ if _is_of_memory(error):
            line = (
                f"memory: there is not enough ({error or 'no details'}). {_REMEDIES[errno.ENOMEM]}."
            )
        case RecursionError():
            line = "input: is nested too deeply to be read. Check the input files."
        case UnicodeEncodeError() if error.reason == "surrogates not allowed":
            around = error.object[max(error.start - 40, 0) : error.end + 40]
            line = f"{around}: contains characters that are not UTF-8. Rename the file in UTF-8."
        case RuntimeError() if str(error).startswith("Symlink loop"):  # until Python 3.13
            line = f"{error}. {_REMEDIES[errno.ELOOP]}."
        case OSError():
            line = _system(error)
        case _:
            line = None
    return line


def _is_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, as Python, torch, OpenCV or onnxruntime report it."""
    messages = ("not enough memory", "out of memory", "Insufficient memory", "bad_alloc")
    return isinstance(error, MemoryError) or any(each in str(error) for each in messages)


def _system(error: OSError) -> str | None:
    if error.filename is None and error.errno not in _REMEDIES:
        return None
    where = "system" if error.filename is None else error.filename
    if isinstance(where, bytes):
        where = where.decode(errors="backslashreplace")
    remedy = _REMEDIES.get(error.errno or 0, "Check that it exists and can be used")
    return f"{where}: {error.strerror or error}. {remedy}."


def shortened(line: str) -> str:
    """Return a text as one line, without its middle if it is very long."""
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 300]} ... {line[-300:]}"
