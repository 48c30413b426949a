"""Run a command until it has succeeded once, and record how long that took over all calls."""

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from steelscan.strip.files import output_folder, write_json


def run_measured(command: Sequence[str], run: Path) -> bool:
    """Run a command that makes a run folder, unless it has succeeded; return whether it has.

    Its output is appended to ``RUN.log``; ``RUN.json`` has the seconds of all calls together.
    """
    cost = _cost(run)
    if cost["done"]:
        return True
    output_folder(run.parent)
    start = time.monotonic()
    with Path(f"{run}.log").open("ab") as log:
        done = subprocess.run(command, stdout=log, stderr=log, check=False).returncode == 0
    seconds = cost["seconds"] + time.monotonic() - start
    write_json(Path(f"{run}.json"), {"seconds": seconds, "done": done})
    return done


def minutes_of(run: Path) -> float:
    """Return the minutes of all calls of `run_measured` for a run."""
    return float(_cost(run)["seconds"]) / 60


def _cost(run: Path) -> dict[str, float]:
    path = Path(f"{run}.json")
    if not path.exists():
        return {"seconds": 0.0, "done": False}
    return dict(json.loads(path.read_text(encoding="utf-8")))
