"""Take one idea away from each solution, and compare with the finished run on held-out strips.

The runs with all ideas are those of `scripts/nine`. Where an idea only changes how the networks
decide, the same networks decide without it; otherwise the networks that differ are fitted again,
on the same folds, with the same seeds. A finished ablation is not run again; an interrupted one
continues. `ablation_list.py` lists what is taken away.

Run: python benchmarks/ablations.py --runs runs/nine --budget small
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ablation_list import ABLATIONS
from ablation_report import Place, report
from ablation_runs import Prepared, prepare
from measured_runs import run_measured
from steelscan.pipeline import RunFolder
from steelscan.strip.errors import SteelscanError
from steelscan.strip.files import write_text


def main() -> None:
    """Run the ablations that are not done yet, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/nine"), help="Of scripts/nine.")
    parser.add_argument("--budget", choices=["tiny", "small", "full"], default="small")
    parser.add_argument("--data", nargs="*", default=[], help="Names of data sets; default: all.")
    labels = [each.label for each in ABLATIONS]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=labels, help=", ".join(labels))
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--report", type=Path, default=Path("reports/ablations.md"))
    parser.add_argument("--report-only", action="store_true", help="Run nothing.")
    options = parser.parse_args()
    places = places_of(options.runs / options.budget, options.data, options.out / options.budget)
    if not places:
        sys.exit(f"{options.runs / options.budget} has no finished run: start with scripts/nine")
    chosen = [each for each in places if each.ablation.label in (options.only or labels)]
    failed = [] if options.report_only else [each for each in chosen if not ablate(each)]
    write_text(options.report, "\n".join(report(places, options.budget)) + "\n")
    print(f"Report: {options.report}")
    if failed:
        sys.exit("Failed: " + "; ".join(f"{each.run.path}.log" for each in failed))


def places_of(runs: Path, data: Sequence[str], out: Path) -> list[Place]:
    """Return each ablation of each finished run, by data set."""
    found = sorted(each.name for each in runs.glob("*") if each.is_dir())
    return [
        Place(each, name, RunFolder(runs / name / each.recipe), RunFolder(out / name / each.label))
        for name in (data or found)
        for each in ABLATIONS
        if (runs / name / each.recipe / "scores.json").exists()
    ]


def ablate(place: Place) -> bool:
    """Run one ablation unless it is finished; return whether it succeeded."""
    print(f"{place.ablation.label} on {place.data}", flush=True)
    try:
        dataset = place.base.open_data()
        made = prepare(place.ablation, place.base, dataset, place.run.path)
    except (SteelscanError, ValueError) as error:
        print(error)
        write_text(Path(f"{place.run.path}.log"), f"{error}\n")
        return False
    return run_measured(command_of(made, place.base, dataset.root), place.run.path)


def command_of(made: Prepared, base: RunFolder, data: Path) -> list[str]:
    """Return the command that continues a prepared run."""
    command = [sys.executable, "-m", "steelscan", "train", str(made.recipe), "--data", str(data)]
    command += ["--folds", str(made.folds), "--seed", str(base.load_record().seed)]
    return [*command, "--out", str(made.run.path)]


if __name__ == "__main__":
    main()
