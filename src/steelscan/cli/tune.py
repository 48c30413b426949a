"""The verb that tunes a finished run: tune."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.options import Data, OnError, Seed, refuse_unused

if TYPE_CHECKING:
    from steelscan.evaluation.tuning import Objective
    from steelscan.strip import PerClass


@app.command(epilog="Example: steelscan tune runs/first --data data/severstal")
def tune(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="Run folder of a finished training.")],
    data: Data,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; tuned in the run if not given.")
    ] = None,
    objective: Annotated[
        Literal["mean_dice", "escapes", "public_board"],
        typer.Option(help="What is made high: mean Dice, with escapes dearer, or on the board."),
    ] = "mean_dice",
    weight: Annotated[
        float, typer.Option(min=0, max=1000, help="Cost of an escape above its Dice, for escapes.")
    ] = 1.0,
    by: Annotated[
        Literal["search", "auto"],
        typer.Option(help="Try all settings, or follow from the expected Dice."),
    ] = "search",
    triplet: Annotated[bool, typer.Option("--triplet", help="Tune a triplet instead.")] = False,
    gain: Annotated[
        float, typer.Option(min=0.001, max=1, help="Gain looked for, in Dice where the class is.")
    ] = 0.05,
    seed: Seed = 0,
    on_error: OnError = "stop",
) -> None:
    """Tune thresholds out of fold, and say how much of the tuned score is luck.

    Defaults stay unless a gain shows on strips that were not searched. The run is left as it is:
    thresholds.json is for predict and submit --thresholds, tuning.html for people.
    """
    if objective != "escapes":
        refuse_unused(context, "weight", "without --objective escapes")
    from steelscan.analysis.tune import tune_run, tuning_text, write_tuning
    from steelscan.evaluation.tuning import CrossFitOptions, EscapeWeighted, MeanDice
    from steelscan.recipes import public_board

    named: dict[str, tuple[PerClass[Objective], str]] = {
        "mean_dice": (MeanDice(), "mean Dice"),
        "escapes": (EscapeWeighted(weight=weight), f"mean Dice, less {weight:g} an escape"),
        "public_board": (public_board(), "mean Dice with the public board's share of defects"),
    }
    aim, name = named[objective]
    done = tune_run(
        run,
        data,
        out,
        objective=aim,
        name=name,
        triplet=triplet,
        options=CrossFitOptions(by=by, gain=gain, seed=seed),
        on_error=on_error,
    )
    write_tuning(done)
    print(tuning_text(done))
    print(f"Thresholds: {done.thresholds_file}")
    print(f"Page: {done.page}")
