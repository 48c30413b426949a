"""A folder of answers belongs to one run."""

import hashlib
from pathlib import Path

from steelscan.pipeline.run import RunFolder
from steelscan.strip import RunError, output_folder, write_text


def claim(out: Path, mark: str, run: RunFolder, *settings: str) -> None:
    """Make a folder and mark it as that of a run's answers, in a file of the name ``mark``.

    Raises RunError when it is marked by another run, or for other settings, and OutputError when it
    cannot be written.
    """
    output_folder(out)
    content = run.recipe.read_bytes() + run.record.read_bytes() + run.thresholds.read_bytes()
    content += "".join(f"\n{setting}" for setting in settings).encode()
    own = f"{hashlib.sha256(content).hexdigest()}\n"
    file = out / mark
    if file.exists() and file.read_text() != own:
        raise RunError(
            out, "holds answers of another run or with other settings", "Name another --out"
        )
    write_text(file, own)
