"""The verbs of the command line: they say where, never what; the work is done elsewhere."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from steelscan import __version__

if TYPE_CHECKING:
    from steelscan.pipeline import Outcome

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find and outline defects on steel strip.",
)

Data = Annotated[Path, typer.Option(help="Data set: a folder or a zip.")]
Out = Annotated[Path, typer.Option(help="Folder for the results; the same one goes on.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Device = Annotated[Literal["auto", "cpu"], typer.Option(help="Where networks run.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that read strips for training.")]
Weights = Annotated[
    Literal["auto", "random"],
    typer.Option(help="First weights: as the recipe says if installed here, or random."),
]
OnError = Annotated[
    Literal["stop", "skip"], typer.Option(help="What to do with a file that cannot be used.")
]


@app.command(name="list", epilog="Example: steelscan list")
def list_recipes() -> None:
    """List the recipes."""
    from steelscan import recipes

    for name in recipes.names():
        print(f"{name:<20} {recipes.summary(name)}")


@app.command(epilog="Example: steelscan show quick --json > mine.json")
def show(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a JSON file.")],
    json: Annotated[bool, typer.Option("--json", help="As JSON, to edit and train.")] = False,
) -> None:
    """Show a recipe: its source, or its values as JSON."""
    from steelscan import recipes

    if json or recipe.endswith(".json"):
        print(recipes.load(recipe).model_dump_json(indent=2))
    else:
        print(recipes.source(recipe))


@app.command(epilog="Example: steelscan train quick --data data/severstal --out runs/first")
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a JSON file.")],
    data: Data,
    out: Out,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    weights: Weights = "auto",
    on_error: OnError = "stop",
    budget: Annotated[
        Literal["full", "small", "tiny"],
        typer.Option(help="How much time: all, under an hour, or minutes, on a few strips."),
    ] = "full",
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be fitted, how long it takes, and stop.")
    ] = False,
) -> None:
    """Carry a recipe from a data set to networks, scores, a submission and a report.

    After an interruption the same command goes on where it stopped.
    """
    from steelscan import recipes
    from steelscan.pipeline import Options, plan_run, with_budget
    from steelscan.pipeline import train as train_recipe

    chosen = with_budget(recipes.load(recipe), budget)
    for change in chosen.changes:
        print(change)
    if weights == "random":
        chosen = chosen.with_random_weights()
    options = Options(seed=seed, device=device, workers=workers, on_error=on_error)
    if plan:
        print(plan_run(chosen, data, out, options).table())
        return
    done = train_recipe(chosen, data, out, options, lambda found: print(found.table(), flush=True))
    _print_outcome(done, recipe, out, chosen.changes)


@app.command(epilog="Example: steelscan predict runs/first new_strips/ --out predicted")
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder of a finished training.")],
    images: Annotated[str, typer.Argument(help="Folder, picture, zip, or quoted glob pattern.")],
    out: Out,
    device: Device = "auto",
    on_error: OnError = "stop",
    overlays: Annotated[bool, typer.Option(help="Draw the outlines on the pictures.")] = True,
) -> None:
    """Outline the defects of pictures: masks, overlays and a submission.csv.

    After an interruption the same command goes on where it stopped.
    """
    from steelscan.pipeline import predict as predict_pictures

    done = predict_pictures(run, images, out, device=device, on_error=on_error, overlays=overlays)
    found = ", ".join(f"{name}: {count}" for name, count in done.found.items())
    print(f"{done.pictures} pictures, {done.clean} without defect; with class {found}")
    if done.skipped:
        print(f"{len(done.skipped)} could not be read: {out / 'skipped.csv'}")
    print(f"Masks, overlays and submission.csv: {out}")


@app.command(epilog="Example: steelscan submit runs/first --layout joined")
def submit(
    run: Annotated[Path, typer.Argument(help="Run folder of a finished training.")],
    out: Annotated[
        Path | None, typer.Option(help="CSV file; submission-LAYOUT.csv in the run if not given.")
    ] = None,
    layout: Annotated[
        Literal["joined", "columns"] | None,
        typer.Option(help="ImageId_ClassId with all rows, or ImageId,ClassId; as the data is."),
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="Other pictures to answer: folder, zip, quoted pattern.")
    ] = None,
    device: Device = "auto",
    on_error: OnError = "stop",
) -> None:
    """Write the submission of a finished run again, in either layout of the competition.

    With --images the networks answer those pictures instead, and --out is needed.
    """
    from steelscan.pipeline import submit as submit_run

    done = submit_run(run, out, layout=layout, images=images, device=device, on_error=on_error)
    print(done.text())


@app.command(epilog="Example: steelscan runs runs/ --json")
def runs(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Where to look; runs/ if not given.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List all runs below some folders, at most three levels deep: how far, how good, how big."""
    from steelscan.pipeline import find_runs, runs_json, runs_table

    found = find_runs(folders or [Path("runs")])
    print(runs_json(found) if json else runs_table(found))


@app.command(epilog="Example: steelscan compare runs/first runs/second --list changed.csv")
def compare(
    run_a: Annotated[Path, typer.Argument(help="Run folder of a finished training.")],
    run_b: Annotated[Path, typer.Argument(help="Another one, on the same data.")],
    list_: Annotated[
        Path | None, typer.Option("--list", help="CSV file for all strips decided otherwise.")
    ] = None,
) -> None:
    """Compare two runs strip by strip: B less A, with intervals that say what may be luck."""
    from steelscan.pipeline import compare as compare_runs
    from steelscan.pipeline import comparison_text

    found = compare_runs(run_a, run_b)
    print(comparison_text(found))
    if list_ is not None:
        found.write_changes(list_)
        print(f"Changed strips: {list_}")


@app.command(epilog="Example: steelscan score data/severstal predicted/submission.csv")
def score(
    truth: Annotated[Path, typer.Argument(help="Data set, or CSV of run lengths.")],
    predicted: Annotated[Path, typer.Argument(help="CSV, predict's folder, or PNG masks.")],
) -> None:
    """Score predictions against the truth: five numbers, with intervals, and each class."""
    from steelscan.evaluation import Scores
    from steelscan.pipeline import score_files

    found = score_files(truth, predicted)
    print(Scores.table({"predicted": found.scores, "all empty": found.empty}))
    print()
    print(found.class_table())
    for note in found.notes:
        print(f"Note: {note}")


@app.command(epilog="Example: steelscan convert data/severstal coco/ --to coco")
def convert(
    source: Annotated[Path, typer.Argument(help="Data set: folder, zip, or annotations' file.")],
    target: Annotated[Path, typer.Argument(help="New or empty folder.")],
    to: Annotated[
        str,
        typer.Option(
            help="Format: class_pngs, coco, cvat, index_pngs, label_studio, labelme, run_lengths, "
            "voc or yolo."
        ),
    ],
    from_: Annotated[
        str | None, typer.Option("--from", help="Format of the source; found if not given.")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Copy the pictures too.")] = True,
    on_error: OnError = "stop",
) -> None:
    """Write a data set in another format of annotations, and say what that format cannot hold."""
    from steelscan.data import convert as convert_data

    done = convert_data(source, target, to, from_, copy_pictures=pictures, on_error=on_error)
    print(done.text())
    print(f"Data set in the format {to}: {target}")


@app.command(epilog="Example: steelscan mill strips/ --strips 200 --seed 1")
def mill(
    out: Annotated[Path, typer.Argument(help="New folder, in the competition's layout.")],
    strips: Annotated[int, typer.Option(min=1, help="How many strips with masks.")] = 100,
    test_strips: Annotated[int, typer.Option(min=0, help="How many test strips.")] = 0,
    seed: Seed = 0,
    height: Annotated[int, typer.Option(help="Rows of a strip.")] = 256,
    width: Annotated[int, typer.Option(help="Columns of a strip.")] = 1600,
) -> None:
    """Make synthetic strips with defects and exact masks."""
    from steelscan.data import Mill, write_mill

    write_mill(Mill(strips=strips, seed=seed, height=height, width=width), out, test_strips)
    print(f"{strips} strips with masks, {test_strips} test strips: {out}")


@app.command(epilog="Example: steelscan demo --out runs/demo")
def demo(out: Out = Path("runs/demo"), seed: Seed = 0, device: Device = "auto") -> None:
    """Make synthetic strips, train `quick` on them, and outline strips never seen."""
    from steelscan import recipes
    from steelscan.data import Mill, write_mill
    from steelscan.pipeline import Options
    from steelscan.pipeline import predict as predict_pictures
    from steelscan.pipeline import train as train_recipe

    data, run = out / "strips", out / "run"
    if not (data / "train.csv").exists():
        write_mill(Mill(strips=480, seed=seed), data, test_strips=20)
    outcome = train_recipe(recipes.load("quick"), data, run, Options(seed=seed, device=device))
    predict_pictures(run, str(data / "test_images"), out / "predicted", device=device)
    _print_outcome(outcome, "quick", run)
    print(f"Overlays of test strips: {out / 'predicted' / 'overlays'}")


@app.callback(invoke_without_command=True)
def _common(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    if version:
        print(f"steelscan {__version__}")
        raise typer.Exit
    _common_state["debug"] = debug


def _print_outcome(outcome: "Outcome", recipe: str, run: Path, told: tuple[str, ...] = ()) -> None:
    """Print what a run came to; ``told`` are notes that stand above already."""
    from steelscan.evaluation import Scores

    for part, scores in outcome.scores.items():
        print(f"\nStrips {part}:")
        print(Scores.table({recipe: scores, "all empty": outcome.empty[part]}))
    print()
    for note in outcome.notes:
        if note not in told:
            print(f"Note: {note}")
    print(f"Submission: {run / 'submission.csv'}")
    print(f"Report: {run / 'report.html'}")


_common_state = {"debug": False}


_TRAIN = {
    "accelerate",
    "albumentations",
    "filelock",
    "safetensors",
    "segmentation_models_pytorch",
    "timm",
    "torch",
    "zarr",
}
"""What the extra `train` installs, by the names that are imported."""


def _missing_part(error: Exception) -> Exception | None:
    """What to say when a package of the extra `train` is not installed."""
    if not isinstance(error, ModuleNotFoundError) or error.name not in _TRAIN:
        return None
    from steelscan.strip import MissingPartError

    found = f"needs {error.name}, which is not installed"
    return MissingPartError("this verb", found, "Run: pip install 'steelscan[train]'")


def main() -> None:
    """Run the command line; a user's error is one line and exit status 2."""
    try:
        app()
    except Exception as error:
        from steelscan.strip import SteelscanError  # not before: --help must come at once

        error = _missing_part(error) or error
        if not isinstance(error, SteelscanError) or _common_state["debug"]:
            raise
        print(f"Error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
