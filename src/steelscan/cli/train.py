"""Verbs that train recipes: train and demo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.options import (
    Data,
    Device,
    Jobs,
    OnError,
    Out,
    RunOut,
    Seed,
    StartFrom,
    Track,
    Weights,
    WeightsDir,
    Workers,
    refuse_unused,
)

if TYPE_CHECKING:
    from steelscan.pipeline import Outcome


@app.command(epilog="Example: steelscan train quick --data data/severstal --out runs/first")
def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a JSON or Python file.")],
    data: Data,
    out: RunOut,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    jobs: Jobs = 0,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="local: processes of this machine; ray: tasks of a Ray cluster."),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster; without it Ray runs on this machine."),
    ] = None,
    cpus_per_network: Annotated[
        int, typer.Option(min=1, max=1024, help="Cores of a network that Ray fits.")
    ] = 1,
    gpus_per_network: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="GPUs of a network that Ray fits; 1 if there are any."),
    ] = None,
    weights: Weights = "auto",
    weights_dir: WeightsDir = None,
    track: Track = None,
    on_error: OnError = "stop",
    budget: Annotated[
        Literal["full", "small", "tiny"],
        typer.Option(
            help="full: as published; small: under an hour; tiny: minutes, with miniature networks."
        ),
    ] = "full",
    folds: Annotated[
        Path | None, typer.Option(help="CSV of image,fold, to use instead of the recipe's folds.")
    ] = None,
    start_from: StartFrom = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change epochs, batch, encoder, lr or the number of validation folds; of a part: "
            "segment.epochs=20, segment.MEMBER.lr=1e-4. Can be repeated.",
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what would be trained and how long, then stop.")
    ] = False,
) -> None:
    """Train a recipe on a data set: networks, scores, a submission and a report.

    An interrupted command continues if you repeat it. Several commands with one --out, also on
    several machines, share the fits; so do the tasks of a Ray cluster:
    steelscan train quick --data DATA --out RUN --engine ray --address auto

    Exit status 3 if test strips could not be read and --on-error skip is given: their rows in the
    submission contain "unread".
    """
    from steelscan import recipes
    from steelscan.pipeline import Options, plan_run
    from steelscan.pipeline.trackers import how_to_view
    from steelscan.pipeline.train import train as train_recipe
    from steelscan.pipeline.weights import prepare_weights
    from steelscan.recipes import with_budget, with_overrides
    from steelscan.strip.remote import LocalCopy, held_copy

    if engine == "local":
        names = "address cpus_per_network gpus_per_network"
        refuse_unused(context, names, "with --engine local")
    else:
        refuse_unused(context, "jobs", "with --engine ray, which fits as many as there is room for")
    if plan:
        refuse_unused(context, "track", "with --plan, which fits nothing")
    if start_from is not None:
        refuse_unused(context, "weights weights_dir", "with --start-from, which gives all weights")
    if weights == "random":
        refuse_unused(context, "weights_dir", "with --weights random")
    if plan and weights == "hub":
        refuse_unused(context, "weights", "with --plan, which downloads nothing")
    chosen = with_overrides(with_budget(recipes.load(recipe), budget), settings or ())
    if start_from is None:
        chosen = prepare_weights(chosen, weights, weights_dir, lambda line: print(line, flush=True))
    for change in chosen.changes:
        print(change)
    source = Path(recipe).read_bytes() if recipe.endswith(".py") else None
    of_ray = (engine, address, cpus_per_network, gpus_per_network)
    options = Options(
        seed,
        device,
        workers,
        on_error,
        folds,
        start_from,
        source,
        weights_dir,
        track,
        jobs,
        *of_ray,
    )
    if plan:
        print(plan_run(chosen, data, out, options).table())
        return
    with held_copy(out):
        done = train_recipe(
            chosen, data, out, options, lambda forecast: print(forecast.table(), flush=True)
        )
    copy = LocalCopy.at(out)
    _print_outcome(done, chosen.name, out if copy is None else copy.url, chosen.changes)
    if track is not None:
        print(f"Tracked: {how_to_view(track, out)}")
    if done.unread:
        raise typer.Exit(3)


@app.command(epilog="Example: steelscan demo --out runs/demo")
def demo(
    out: Out = Path("runs/demo"),
    seed: Seed = 0,
    device: Device = "auto",
    weights_dir: WeightsDir = None,
) -> None:
    """Make synthetic strips, train `quick` on them, and outline defects on new ones."""
    from steelscan import recipes
    from steelscan.mill import Mill, write_mill
    from steelscan.pipeline import Options
    from steelscan.pipeline import predict as predict_pictures
    from steelscan.pipeline.train import train as train_recipe

    data, run = out / "strips", out / "run"
    if not (data / "train.csv").exists():
        write_mill(Mill(strips=480, seed=seed), data, test_strips=20)
    options = Options(seed=seed, device=device, weights_dir=weights_dir, jobs=0)
    outcome = train_recipe(recipes.load("quick"), data, run, options)
    predict_pictures(run, str(data / "test_images"), out / "predicted", device=device)
    _print_outcome(outcome, "quick", run)
    print(f"Overlays of test strips: {out / 'predicted' / 'overlays'}")


def _print_outcome(
    outcome: "Outcome", recipe: str, run: Path | str, printed: tuple[str, ...] = ()
) -> None:
    """Print the results of a run at a path or URL, without the notes that the user has seen."""
    from steelscan.evaluation.metrics import Scores

    for part, scores in outcome.scores.items():
        print(f"\nStrips {part}:")
        print(Scores.table({recipe: scores, "all empty": outcome.empty[part]}))
    print()
    for note in outcome.notes:
        if note not in printed:
            print(f"Note: {note}")
    print(f"Submission: {run}/submission.csv")
    print(f"Report: {run}/report.html")
    if outcome.verdict:
        print()
    for line in outcome.verdict:
        print(line)
