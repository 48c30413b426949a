"""Take one idea away from each solution, and compare with the finished run on held-out strips.

The runs with all ideas are those of `scripts/nine`, whose run folders are needed. Where an idea
only changes how the networks decide, the same networks decide without it; otherwise the networks
that differ are fitted again, on the same folds, with the same seeds. The result is recorded in a
small file, from which the report is made. A recorded ablation is not run again; an interrupted one
continues. `ablation_list.py` lists what is taken away.

Run: python benchmarks/ablations.py --runs runs/nine --budget small
The report again, from the records in the repository:
     python benchmarks/ablations.py --budget small --records reports/ablations --report-only
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ablation_list import ABLATIONS, Ablation
from ablation_report import Measured, report, write_measured
from ablation_runs import Prepared, copied_and_all, prepare
from measured_runs import Job, side_by_side
from records import record_of
from steelscan.pipeline import RunFolder
from steelscan.strip.errors import SteelscanError
from steelscan.strip.files import output_folder, write_text


def main() -> None:
    """Run the ablations that are not done yet, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/nine"), help="Of scripts/nine.")
    parser.add_argument("--budget", choices=["tiny", "small", "full"], default="small")
    parser.add_argument("--data", nargs="*", default=[], help="Names of data sets; default: all.")
    labels = [each.label for each in ABLATIONS]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=labels, help=", ".join(labels))
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--records", type=Path, help="Folder. Default: records in --out.")
    parser.add_argument("--report", type=Path, default=Path("reports/ablations.md"))
    parser.add_argument("--side-by-side", type=int, default=1, help="Ablations at the same time.")
    parser.add_argument("--report-only", action="store_true", help="Run nothing.")
    options = parser.parse_args()
    records, failed = (options.records or options.out / "records") / options.budget, []
    if not options.report_only:
        runs, out = options.runs / options.budget, options.out / options.budget
        places = places_of(runs, options.data, out, options.only or labels)
        if not places:
            sys.exit(
                f"{options.runs / options.budget} has no finished run: start with scripts/nine"
            )
        failed = ablate(places, records, options.side_by_side)
    write_text(options.report, "\n".join(report(records.parent, options.budget)) + "\n")
    print(f"Report: {options.report}")
    if failed:
        sys.exit("Failed: " + "; ".join(failed))


class Place(NamedTuple):
    """An ablation on a data set, the finished run with the idea, and where the other is made."""

    ablation: Ablation
    data: str
    base: RunFolder
    run: RunFolder


def places_of(runs: Path, data: Sequence[str], out: Path, labels: Sequence[str]) -> list[Place]:
    """Return each chosen ablation of each finished run, by data set."""
    found = sorted(each.name for each in runs.glob("*") if each.is_dir())
    return [
        Place(each, name, RunFolder(runs / name / each.recipe), RunFolder(out / name / each.label))
        for name in (data or found)
        for each in ABLATIONS
        if each.label in labels and (runs / name / each.recipe / "scores.json").exists()
    ]


def ablate(places: Sequence[Place], records: Path, count: int) -> list[str]:
    """Run the ablations without a record, several at the same time; return the logs of failures."""
    failed, jobs, made = list[str](), list[Job](), dict[Path, Place]()
    for place in places:
        run = place.run.path
        if _record(records, place).exists():
            continue
        try:
            dataset = place.base.open_data()
            prepared = prepare(place.ablation, place.base, dataset, run)
        except (SteelscanError, ValueError) as error:
            print(error)
            write_text(output_folder(run.parent) / f"{run.name}.log", f"{error}\n")
            failed.append(f"{run}.log")
            continue
        made[run] = place
        jobs.append(Job(command_of(prepared, place.base, dataset.root), run))

    def keep(job: Job) -> None:
        place = made[job.run]
        dataset, path = place.base.open_data(), _record(records, place)
        base, run = record_of(place.base.path, dataset), record_of(job.run, dataset)
        assert base is not None
        assert run is not None
        copied, every = copied_and_all(place.ablation, place.base, place.run)
        output_folder(path.parent)
        write_measured(path, Measured(place.ablation, base, run, every - copied))

    return failed + [f"{job.run}.log" for job in side_by_side(jobs, count, keep)]


def _record(records: Path, place: Place) -> Path:
    return records / place.data / f"{place.ablation.label}.json"


def command_of(made: Prepared, base: RunFolder, data: Path) -> list[str]:
    """Return the command that continues a prepared run."""
    command = [sys.executable, "-m", "steelscan", "train", str(made.recipe), "--data", str(data)]
    command += ["--folds", str(made.folds), "--seed", str(base.load_record().seed)]
    return [*command, "--out", str(made.run.path)]


if __name__ == "__main__":
    main()
