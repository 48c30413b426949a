"""Train all nine solutions, `quick` and a plain U-Net, and write one report on the results.

Each recipe is one call of `steelscan train` in its own process, whose processor time and peak
memory are reported. What a finished run predicts is recorded in a small file, from which the report
is made. A recipe with a record is not run again; an interrupted one continues (its time is then
that of all calls). All are evaluated on the same held-out strips, which none was fitted or tuned
on. A data set named severstal is evaluated by repeated cross-validation, starting from the runs on
synthetic strips.

Run: scripts/nine --budget small --data DATA/neu DATA/severstal
The report again, from the records in the repository:
     scripts/nine --budget small --records reports/nine --report-only
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from measured_runs import Job, cost_of, run_measured, side_by_side
from nine_cross_validation import cross_validation
from nine_folds import folds_of, split_of_quick, write_folds
from nine_pages import STRIPS, made_mill, measured_sets, write_pictures
from nine_report import report
from nine_results import NINE, median_minutes
from quick import FOLDER, mill_strips, print_result
from records import record_of, write_record
from steelscan import recipes
from steelscan.data import open_dataset
from steelscan.recipes import Recipe, with_budget
from steelscan.strip.files import output_folder, write_text


def main() -> None:
    """Run the recipes that are not done yet, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", choices=list(STRIPS), default="tiny")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="Data sets of your own.")
    parser.add_argument("--strips", type=int, help=f"Synthetic strips. Default: {STRIPS}.")
    parser.add_argument("--out", type=Path, default=Path("runs/nine"))
    parser.add_argument("--records", type=Path, help="Folder. Default: records in --out.")
    parser.add_argument("--report", type=Path, default=Path("reports/nine.md"))
    names = [*NINE, "quick", "plain_unet"]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, default=names)
    parser.add_argument("--side-by-side", type=int, default=1, help="Recipes at the same time.")
    parser.add_argument("--jobs", type=int, help="For train: networks at the same time.")
    parser.add_argument("--unet-minutes", type=float, help="Processor time. Default: median.")
    parser.add_argument("--repeats", type=int, default=2, help="Of the cross-validation.")
    parser.add_argument("--report-only", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        run_quick("fourteenth_place")
        return
    options.records = options.records or options.out / "records"
    if options.report_only and not (options.records / options.budget).exists():
        parser.error(f"{options.records} has no records of this budget: omit --report-only")
    failed, mill = list[Job](), made_mill(options.out / "mill", options.budget, options.strips)
    for data in () if options.report_only else (mill, *options.data):
        failed += run_all(options, data)
    if options.budget != "tiny":
        sets = measured_sets(options.records / options.budget)
        write_pictures(sets, open_dataset(mill), options.report.parent)
    lines = report(options.records, options.budget, options.report.parent)
    write_text(options.report, "\n".join(lines) + "\n")
    print(f"Report: {options.report}")
    if failed:
        sys.exit("Failed: " + "; ".join(f"{each.run}.log" for each in failed))


def run_all(options: argparse.Namespace, data: Path) -> list[Job]:
    """Run all recipes on a data set, and record each that is done; return what failed."""
    runs = options.out / options.budget
    place, dataset = runs / data.name, open_dataset(data)

    def keep(job: Job) -> None:
        record = record_of(job.run, dataset)
        assert record is not None, f"{job.run} has no scores"
        path = options.records / options.budget / job.run.relative_to(runs)
        write_record(output_folder(path.parent) / f"{path.name}.json", record)

    if data.name == "severstal" and options.budget != "tiny":
        return cross_validation(options, data, place, keep)
    failed = side_by_side(train_jobs(options, data, place), options.side_by_side, keep)
    if options.budget != "tiny" and "plain_unet" in options.only:
        failed += side_by_side(unet_job(options, data, place), options.side_by_side, keep)
    return failed


def train_jobs(options: argparse.Namespace, data: Path, place: Path) -> Iterator[Job]:
    """Yield the training of each recipe without a record; folds are written beside its run."""
    dataset = open_dataset(data)
    split = None if options.budget == "tiny" else split_of_quick(dataset)
    for name in [each for each in options.only if each != "plain_unet"]:
        if (options.records / options.budget / data.name / f"{name}.json").exists():
            continue
        recipe, budget = budgeted(name, options.budget)
        command = train_command(recipe.name, budget, data, place / name, options.jobs)
        if split is not None:
            table = output_folder(place) / f"{name}.folds.csv"
            write_folds(table, dataset, folds_of(recipe.folds, split))
            command += ["--folds", str(table)]
        yield Job(command, place / name)


def budgeted(name: str, budget: str) -> tuple[Recipe, str]:
    """Return a recipe at a budget, and the budget; `quick` is small as it is."""
    own = "full" if name == "quick" and budget != "tiny" else budget
    return with_budget(recipes.load(name), own), own


def train_command(name: str, budget: str, data: Path, run: Path, jobs: int | None) -> list[str]:
    """Return a call of `steelscan train`."""
    command = [sys.executable, "-m", "steelscan", "train", name, "--budget", budget]
    command += ["--data", str(data), "--out", str(run)]
    return command if jobs is None else [*command, "--jobs", str(jobs)]


def unet_job(options: argparse.Namespace, data: Path, place: Path) -> Iterator[Job]:
    """Yield the fit of the plain U-Net with the processor time of the median recipe, if to be done.

    It has as many cores as each recipe had. Without a finished recipe it gets 10 minutes.
    """
    records = options.records / options.budget / data.name
    if (records / "plain_unet.json").exists():
        return
    run, table = place / "plain_unet", output_folder(place) / "plain_unet.folds.csv"
    dataset, folds = open_dataset(data), recipes.load("quick").folds
    write_folds(table, dataset, folds_of(folds, split_of_quick(dataset)))
    minutes = options.unet_minutes or median_minutes(records) or 10
    command = [sys.executable, str(Path(__file__).with_name("plain_unet.py")), "--data", str(data)]
    command += ["--folds", str(table), "--held-out", *map(str, folds.holdout)]
    command += ["--minutes", f"{minutes:.2f}", "--out", str(run)]
    yield Job(command, run)


def run_quick(name: str) -> None:
    """Train one recipe at the tiny budget from the beginning, and print the result line."""
    run = FOLDER / "nine" / name
    shutil.rmtree(run.parent, ignore_errors=True)
    if not run_measured(train_command(name, "tiny", mill_strips(), run, None), run):
        sys.exit(f"{name} failed: {run}.log")
    minutes = cost_of(run)["seconds"] / 60
    print_result(f"{name}, tiny, images to report, minutes", "a limit", minutes, "<= 5")


if __name__ == "__main__":
    main()
