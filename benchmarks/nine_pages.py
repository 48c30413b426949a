"""What `scripts/nine` found, for the pages of the solutions, recipes and the README.

Run: python benchmarks/nine_pages.py --records reports/nine
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from nine_minutes import points_of, write_minutes
from nine_pictures import write_found, write_strip
from nine_report import BARS, Measured, cost_cells, gain_cell, measure, places_of
from nine_results import NINE, records_of
from steelscan.data import Dataset, open_dataset
from steelscan.evaluation.statistics import Estimate
from steelscan.mill import Mill, write_mill
from steelscan.strip.files import output_folder, write_text

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- found: begin -->", "<!-- found: end -->"
BEFORE = "## Ours, and where sources disagree"
"""The heading before which a page gets its section."""

STRIPS = {"tiny": 48, "small": 480}
TESTS = {"tiny": 12, "small": 20}
"""Synthetic strips, and synthetic test strips without masks, of a budget."""

Sets = Mapping[Path, Measured]
"""What is measured on each data set, by the folder of its records."""


def main() -> None:
    """Draw all pictures, write the pages of the solutions, and print lines to copy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/nine"), help="Of scripts/nine.")
    parser.add_argument("--records", type=Path, default=Path("reports/nine"))
    parser.add_argument("--budget", choices=["small"], default="small")
    options = parser.parse_args()
    sets = measured_sets(options.records / options.budget)
    mill = open_dataset(made_mill(options.out / "mill", options.budget))
    write_pictures(sets, mill, ROOT / "reports")
    write_solution_pages(sets, mill, options.budget, ROOT / "docs" / "solutions")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for line in (*reproduced_lines(sets, options.budget), "", *readme_rows(sets, readme)):
        print(line)


def made_mill(folder: Path, budget: str, strips: int | None = None) -> Path:
    """Make the synthetic strips of a budget once, or so many; return their folder.

    Ends the program if there are more or fewer of another call.
    """
    wanted = strips or STRIPS[budget]
    if not (folder / "train.csv").exists():
        output_folder(folder.parent)
        write_mill(Mill(strips=wanted, seed=0), folder, test_strips=TESTS[budget])
    elif (there := len(open_dataset(folder))) != wanted:
        way_out = f"Choose another --out, or give --strips {there}"
        sys.exit(f"{folder}: has {there} strips, not {wanted}. {way_out}.")
    return folder


def measured_sets(records: Path) -> dict[Path, Measured]:
    """Return what is measured on each data set on which anything is done."""
    every = {place: measure(place) for place in places_of(records)}
    return {place: measured for place, measured in every.items() if measured is not None}


def write_pictures(sets: Sets, mill: Dataset, reports: Path) -> None:
    """Draw the pictures of the report on all data sets, and of one strip of the mill."""
    if sets:
        points = {place.name: points_of(sets[place], place) for place in sets}
        write_minutes(reports / "nine-minutes.png", points)
    for place in sets:
        if place.name == "mill":
            write_strip(reports / "nine-strip.png", place, mill)


def write_solution_pages(sets: Sets, mill: Dataset, budget: str, folder: Path) -> None:
    """Write the section on what was found into each page, with its picture if the mill is done.

    A section that is there is replaced; pages of recipes that are not done stay as they are.
    """
    for name in NINE:
        if not any(name in measured.scores for measured in sets.values()):
            continue
        picture = folder / f"found-{name}.png"
        for place in sets:
            for record in records_of(place, name) if place.name == "mill" else ():
                write_found(picture, record, mill)
        page = folder / f"{name}.md"
        section = solution_section(name, sets, budget, picture.exists())
        write_text(page, with_section(page.read_text(encoding="utf-8"), section))


def solution_section(name: str, sets: Sets, budget: str, picture: bool) -> str:
    """Return the section of a page, with its markers."""
    lines = [BEGIN, "## What it found here", "", *_introduction(budget), ""]
    head = "| data | mean Dice | Dice where defect | less plain U-Net | networks | core min |"
    lines.append(head)
    lines.append("|---|---|---|---|---:|---:|")
    for place, measured in sets.items():
        if name in measured.scores:
            scores, gains = measured.scores[name], measured.gains[name]
            cells = [place.name, scores["mean_dice"].text(), scores["defect_dice"].text()]
            cells.append(gain_cell(gains["plain_unet"]) if "plain_unet" in gains else "")
            cells += cost_cells(records_of(place, name))[:2]
            lines.append(f"| {' | '.join(cells)} |")
    if picture:
        title = "Two synthetic strips with true and predicted outlines"
        lines += ["", f"![{title}](found-{name}.png)", ""]
        lines.append("*Two held-out synthetic strips, chosen by their true masks: most classes,")
        lines.append("then most pieces.*")
    return "\n".join([*lines, END, "", ""])


def with_section(page: str, section: str) -> str:
    """Return a page with this section in place of an earlier one, or before `BEFORE`."""
    without = re.sub(rf"{BEGIN}.*?{END}\n+", "", page, flags=re.DOTALL)
    if without.count(f"{BEFORE}\n") != 1:
        raise ValueError(f"the page has no heading {BEFORE!r}, or several")
    return without.replace(f"{BEFORE}\n", f"{section}{BEFORE}\n")


def reproduced_lines(sets: Sets, budget: str) -> Iterator[str]:
    """Yield each recipe's name and the line of its docstring."""
    for name in NINE:
        units = ((" mean Dice", " on defects"), *[("", "")] * len(sets))
        figures = "; ".join(
            f"{data.name} {_short(scores['mean_dice'])}{mean}, "
            f"{_short(scores['defect_dice'])}{defect}"
            for (data, scores), (mean, defect) in zip(_figures(sets, name), units, strict=False)
        )
        if figures:
            yield f"{name}: Reproduced: {figures} ({budget}, reports/nine.md)"


def readme_rows(sets: Sets, readme: str) -> Iterator[str]:
    """Yield the rows of the README's table of recipes, with what is measured as last cell."""
    for line in readme.splitlines():
        found = re.match(r"\| `(\w+_place)` \|", line)
        if not found:
            continue
        figures = ", ".join(
            f"{data.name} {_short(scores['mean_dice'])} / {_short(scores['defect_dice'])}"
            for data, scores in _figures(sets, found[1])
        )
        head = line.rstrip(" |").rpartition("|")[0]
        yield f"{head}| {figures} |" if figures else line


def _introduction(budget: str) -> Iterator[str]:
    yield f"At the budget `{budget}`, on strips that no network was fitted on and no threshold was"
    yield "tuned on, with 95 % intervals. Protocol and comparison:"
    yield "[all nine](../../reports/nine.md)."


def _figures(sets: Sets, name: str) -> list[tuple[Path, Mapping[str, Estimate]]]:
    """Return the scores of a recipe on each data set on which it is to reach something."""
    of_name = {data: each.scores.get(name) for data, each in sets.items() if data.name in BARS}
    return [(data, scores) for data, scores in of_name.items() if scores is not None]


def _short(estimate: Estimate) -> str:
    """Return two decimals without the leading zero, as 0.93 -> .93."""
    return f"{estimate.value:.2f}".removeprefix("0")


if __name__ == "__main__":
    main()
