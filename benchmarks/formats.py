"""Round trips: data sets converted to each format and back, and scored against themselves.

Run: python benchmarks/formats.py DATA [DATA ...]
"""

import argparse
import contextlib
import io
import re
import sys
import tempfile
import time
from pathlib import Path

from quick import mill_strips, print_result
from steelscan import cli
from steelscan.formats import FORMATS, locate


def steelscan(*arguments: object) -> str:
    """Run a command in this process and return what it prints."""
    sys.argv = ["steelscan", *map(str, arguments)]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            cli.main()
        except SystemExit as end:
            if end.code:
                raise
    return printed.getvalue()


def round_trip(data: Path, name: str, folder: Path) -> tuple[str, str, str]:
    """Return mean Dice, Dice on pairs with a defect, and what the conversions reported as lost."""
    own = locate(data, None, data).format.name
    there, back = folder / name, folder / f"{name}-back"
    printed = steelscan("convert", data, there, "--to", name)
    printed += steelscan("convert", there, back, "--to", own, "--from", name)
    scored = steelscan("score", data, back / "train.csv" if own == "run_lengths" else back)
    mean, defect = (
        match[1] if (match := re.search(rf"{label} +([\d.]+)", scored)) else "?"
        for label in ("mean Dice", "Dice where defect")
    )
    return mean, defect, "; ".join(re.findall(r"Lost: (.*)", printed)) or "nothing"


def main() -> None:
    """Print one row per data set and format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="*")
    parser.add_argument("--quick", action="store_true", help="small size, for scripts/bench")
    options = parser.parse_args()
    print("| data | format | mean Dice | Dice where defect | lost | CPU s |")
    print("|---|---|---|---|---|---|")
    for data in [mill_strips(24, 128, 400)] if options.quick else options.data:
        for name in FORMATS:
            start = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                mean, defect, lost = round_trip(data, name, Path(folder))
            seconds = time.process_time() - start
            print(f"| {data.name} | `{name}` | {mean} | {defect} | {lost} | {seconds:.0f} |")
            if options.quick:
                goal = ">= 1" if FORMATS[name].holes else ">= 0.99"
                what = f"Dice after a round trip through {name}"
                print_result(what, "the same masks", float(mean), goal, lost=lost)


if __name__ == "__main__":
    main()
