"""Real data sets carried to each format and back by the verbs, and scored against themselves.

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

from steelscan import cli
from steelscan.formats import FORMATS, locate


def steelscan(*arguments: object) -> str:
    """Give a verb, in this process; what it prints."""
    sys.argv = ["steelscan", *map(str, arguments)]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            cli.main()
        except SystemExit as end:
            if end.code:
                raise
    return printed.getvalue()


def carried(data: Path, name: str, folder: Path) -> tuple[str, str, str]:
    """Mean Dice, Dice where there is a defect, and what the verbs said was lost."""
    own = locate(data, None, data).format.name
    there, back = folder / name, folder / f"{name}-back"
    said = steelscan("convert", data, there, "--to", name)
    said += steelscan("convert", there, back, "--to", own, "--from", name)
    scored = steelscan("score", data, back / "train.csv" if own == "run_lengths" else back)
    numbers = [
        re.search(rf"{label} +([\d.]+)", scored) for label in ("mean Dice", "Dice where defect")
    ]
    mean, defect = (found.group(1) if found else "?" for found in numbers)
    lost = "; ".join(re.findall(r"Lost: (.*)", said)) or "nothing"
    return mean, defect, lost


def main() -> None:
    """Print one row a data set and format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+")
    options = parser.parse_args()
    print("| data | format | mean Dice | Dice where defect | lost | CPU s |")
    print("|---|---|---|---|---|---|")
    for data in options.data:
        for each in FORMATS.values():
            start = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                mean, defect, lost = carried(data, each.name, Path(folder))
            seconds = time.process_time() - start
            print(
                f"| {data.name} | `{each.name}` | {mean} | {defect} | {lost} | {seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
