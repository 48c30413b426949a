"""Run all benchmarks at their quick size and print one table.

The table shows what was measured, against what, the ratio, the goal, and whether it is met. A
benchmark takes part if it has the option `--quick` (see `quick.py`). The exit status is 1 if one
failed or a goal was missed. The lines are also written to runs/bench/results.json.

Run: scripts/bench [NAME ...]
"""

import argparse
import json
import operator
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from quick import FOLDER, exported_bundle

HERE = Path(__file__).parent
COMPARE: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le}


def main() -> None:
    """Run the benchmarks one after another, and print the table."""
    names = [path.stem for path in sorted(HERE.glob("*.py")) if '"--quick"' in path.read_text()]
    names = [name for name in names if name != Path(__file__).stem]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--limit", type=float, default=600, help="seconds for one benchmark")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(names))
    if unknown:
        parser.error(f"{unknown[0]} is not a benchmark; there are {', '.join(names)}")
    exported_bundle()  # trains and exports here, so that no benchmark's time includes it
    rows = [row for name in options.names or names for row in results(name, options.limit)]
    (FOLDER / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    Console(width=None if sys.stdout.isatty() else 140).print(table(rows))
    if any(row["met"] is False or "error" in row for row in rows):
        sys.exit(1)


def results(name: str, limit: float) -> list[dict[str, Any]]:
    """Run one benchmark and return its result lines; one line with "error" if it fails."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    start = time.monotonic()
    command = [sys.executable, str(HERE / f"{name}.py"), "--quick"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    rows = []
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=limit, check=True
        )
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"what"')]
        error = "" if rows else "printed no result"
    except subprocess.TimeoutExpired:
        error = f"took more than {limit:g} s"
    except subprocess.CalledProcessError as failed:
        error = (failed.stderr.strip().splitlines() or ["failed"])[-1]
    if error:
        rows = [{"what": name, "against": "", "ratio": None, "goal": None, "error": error}]
    seconds = time.monotonic() - start
    return [{"benchmark": name, **row, "met": met(row), "seconds": seconds} for row in rows]


def met(row: dict[str, Any]) -> bool | None:
    """Return whether the ratio of a result meets its goal; None if there is no goal."""
    if row["goal"] is None:
        return None
    sign, number = row["goal"].split()
    return COMPARE[sign](row["ratio"], float(number))


def table(rows: list[dict[str, Any]]) -> Table:
    """Return the table of all results."""
    shown = Table("benchmark", "what", "against", title="Benchmarks at their quick size")
    for column in ("ratio", "goal", "met", "s"):
        shown.add_column(column, justify="right")
    texts = {True: "yes", False: "NO", None: ""}
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.4g}"
        against = row.get("error", row["against"])
        state = "failed" if "error" in row else texts[row["met"]]
        cells = (row["benchmark"], row["what"], against, ratio, row["goal"] or "", state)
        shown.add_row(*cells, f"{row['seconds']:.0f}")
    return shown


if __name__ == "__main__":
    main()
