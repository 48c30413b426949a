"""What the command line says of an error: one line with a way out, and an exit status."""

import errno
import sys
import traceback

_TRAIN = {
    "accelerate",
    "albumentations",
    "safetensors",
    "segmentation_models_pytorch",
    "timm",
    "torch",
    "zarr",
}
"""What the extra `train` installs, by the names that are imported."""

_WAYS_OUT = {
    errno.ENOSPC: "Free space on that disk, and give the same command again",
    errno.EDQUOT: "Free space on that disk, and give the same command again",
    errno.EACCES: "Choose a folder that you may read and write",
    errno.EPERM: "Choose a folder that you may read and write",
    errno.EROFS: "Choose a folder that you may write",
    errno.ENAMETOOLONG: "Give it a shorter name",
    errno.ELOOP: "Remove the links that lead to each other",
    errno.EMFILE: "Allow more open files (ulimit -n)",
    errno.ENFILE: "Close other programs, and give the same command again",
    errno.ENOMEM: "Give fewer or smaller pictures, or use a machine with more memory",
}
_INSTALL = "Run: pip install 'steelscan[train]'"
_LONGEST = 2000


def report(error: BaseException, debug: bool) -> int:
    """Print an error to standard error, and return the exit status.

    An error of the user is one line and status 2, with ``debug`` after its trace. Any other is a
    fault of the program: its trace and one line on what to do, status 1.
    """
    line = _line(error)
    if debug or line is None:
        traceback.print_exception(error, file=sys.stderr)
    print(shortened(f"Error: {line or _fault(error)}"), file=sys.stderr)
    return 1 if line is None else 2


def _line(error: BaseException) -> str | None:
    """What happened, where and the way out; None where that is not known."""
    from steelscan.strip import SteelscanError

    match error:
        case SteelscanError():
            line: str | None = str(error)
        case ModuleNotFoundError() if error.name in _TRAIN:
            line = f"this verb: needs {error.name}, which is not installed. {_INSTALL}."
        case _ if _is_of_memory(error):
            line = f"memory: there is not enough ({error or 'of it'}). {_WAYS_OUT[errno.ENOMEM]}."
        case RecursionError():
            line = "input: is nested too deeply to be read. Check the file that was given last."
        case UnicodeEncodeError() if error.reason == "surrogates not allowed":
            around = error.object[max(error.start - 40, 0) : error.end + 40]
            line = f"{around}: holds letters that are not UTF-8. Rename the file in UTF-8."
        case RuntimeError() if str(error).startswith("Symlink loop"):  # until Python 3.13
            line = f"{error}. {_WAYS_OUT[errno.ELOOP]}."
        case OSError():
            line = _system(error)
        case _:
            line = None
    return line


def _is_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, as Python, torch, OpenCV or onnxruntime tell it."""
    told = ("not enough memory", "out of memory", "Insufficient memory", "bad_alloc")
    return isinstance(error, MemoryError) or any(each in str(error) for each in told)


def _system(error: OSError) -> str | None:
    if error.filename is None and error.errno not in _WAYS_OUT:
        return None
    where = "system" if error.filename is None else error.filename
    if isinstance(where, bytes):
        where = where.decode(errors="backslashreplace")
    remedy = _WAYS_OUT.get(error.errno or 0, "Check that it is there and can be used")
    return f"{where}: {error.strerror or error}. {remedy}."


def _fault(error: BaseException) -> str:
    return (
        f"{type(error).__name__}: {error}. This is a fault of steelscan: "
        "report it with the command and the lines above"
    )


def shortened(line: str) -> str:
    """One line of a text, without the middle where it is very long."""
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 300]} ... {line[-300:]}"
