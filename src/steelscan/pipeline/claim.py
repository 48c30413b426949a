"""A folder of answers belongs to one run, or to one bundle."""

import hashlib
from pathlib import Path

from steelscan.strip import RunError, output_folder, write_text


def claim(out: Path, mark: str, made_of: bytes, *settings: str) -> None:
    """Make a folder and mark it as that of what answers, in a file of the name ``mark``.

    ``made_of`` tells it from all others. Raises RunError when the folder is marked by another, or
    for other settings, and OutputError when it cannot be written.
    """
    output_folder(out)
    content = made_of + "".join(f"\n{setting}" for setting in settings).encode()
    own = f"{hashlib.sha256(content).hexdigest()}\n"
    file = out / mark
    if file.exists() and file.read_text() != own:
        raise RunError(
            out, "holds answers of another run or with other settings", "Name another --out"
        )
    write_text(file, own)
