"""What the runs of `scripts/nine` found, for the pages of the solutions, recipes and the README.

Run: python benchmarks/nine_pages.py --budget small --data DATA/neu DATA/severstal
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from nine_minutes import points_of, write_minutes
from nine_pictures import write_found, write_strip
from nine_report import BARS, Measured, cost_cells, gain_cell, measure
from nine_results import NINE, folders_of
from steelscan.evaluation.statistics import Estimate
from steelscan.strip.files import write_text

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- found: begin -->", "<!-- found: end -->"
BEFORE = "## Ours, and where sources disagree"
"""The heading before which a page gets its section."""

Sets = Mapping[Path, Measured]
"""What is measured on each data set, by its folder."""


def main() -> None:
    """Draw all pictures, write the pages of the solutions, and print lines to copy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/nine"), help="Of scripts/nine.")
    parser.add_argument("--budget", choices=["small", "full"], default="small")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="As of scripts/nine.")
    options = parser.parse_args()
    place, data = options.out / options.budget, [options.out / "mill", *options.data]
    sets = measured_sets(place, data)
    write_pictures(place, sets, ROOT / "reports")
    write_solution_pages(place, sets, options.budget, ROOT / "docs" / "solutions")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for line in (*reproduced_lines(sets, options.budget), "", *readme_rows(sets, readme)):
        print(line)


def measured_sets(place: Path, data: list[Path]) -> dict[Path, Measured]:
    """Return what is measured on each data set on which anything is done."""
    every = {folder: measure(place / folder.name, folder) for folder in data}
    return {folder: measured for folder, measured in every.items() if measured is not None}


def write_pictures(place: Path, sets: Sets, reports: Path) -> None:
    """Draw the pictures of the report on all data sets, and of one strip of the mill."""
    if sets:
        points = {each.name: points_of(sets[each], place / each.name) for each in sets}
        write_minutes(reports / "nine-minutes.png", points)
    for data in sets:
        if data.name == "mill":
            write_strip(reports / "nine-strip.png", place / data.name, data)


def write_solution_pages(place: Path, sets: Sets, budget: str, folder: Path) -> None:
    """Write the section on what was found into each page, with its picture if the mill is done.

    A section that is there is replaced; pages of recipes that are not done stay as they are.
    """
    for name in NINE:
        if not any(name in measured.scores for measured in sets.values()):
            continue
        picture = folder / f"found-{name}.png"
        for data in sets:
            if data.name == "mill":
                write_found(picture, place / data.name, name, data)
        page = folder / f"{name}.md"
        section = solution_section(name, place, sets, budget, picture.exists())
        write_text(page, with_section(page.read_text(encoding="utf-8"), section))


def solution_section(name: str, place: Path, sets: Sets, budget: str, picture: bool) -> str:
    """Return the section of a page, with its markers."""
    lines = [BEGIN, "## What it found here", "", *_introduction(budget), ""]
    head = "| data | mean Dice | Dice where defect | less plain U-Net | networks | core min |"
    lines.append(head)
    lines.append("|---|---|---|---|---:|---:|")
    for data, measured in sets.items():
        if name in measured.scores:
            scores, gains = measured.scores[name], measured.gains[name]
            cells = [data.name, scores["mean_dice"].text(), scores["defect_dice"].text()]
            cells.append(gain_cell(gains["plain_unet"]) if "plain_unet" in gains else "")
            cells += cost_cells(folders_of(place / data.name, name))[:2]
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
