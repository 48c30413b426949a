"""The verb that tunes the thresholds of a finished run: tune."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.options import Data, OnError, RunPath, Seed, refuse_unused

if TYPE_CHECKING:
    from steelscan.evaluation.tuning import Objective
    from steelscan.strip import PerClass


@app.command(epilog="Example: steelscan tune runs/first --data data/severstal")
def tune(
    context: typer.Context,
    run: RunPath,
    data: Data,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; tuned in the run if not given.")
    ] = None,
    objective: Annotated[
        Literal["mean_dice", "escapes", "public_board"],
        typer.Option(
            help="Objective to maximise: mean Dice, Dice with penalised escapes, or the "
            "leaderboard's class frequencies."
        ),
    ] = "mean_dice",
    weight: Annotated[
        float,
        typer.Option(
            min=0, max=1000, help="Penalty per escape, in Dice, with --objective escapes."
        ),
    ] = 1.0,
    gate: Annotated[
        Literal["objective", "f1", "cost"] | None,
        typer.Option(
            help="Search the last gate by the objective, choose all gates by the F1 of each class, "
            "or lower those that cost more than they save; as the recipe does if not given."
        ),
    ] = None,
    by: Annotated[
        Literal["search", "auto"],
        typer.Option(help="Try all settings, or derive them from the expected Dice."),
    ] = "search",
    triplet: Annotated[
        bool,
        typer.Option(
            "--triplet", help="Tune a triplet of thresholds instead of one and a least area."
        ),
    ] = False,
    gain: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=1,
            help="Gain in Dice for which the needed number of defective groups is reported.",
        ),
    ] = 0.05,
    seed: Seed = 0,
    on_error: OnError = "stop",
) -> None:
    """Tune thresholds out of fold, and report how much of the tuned score is luck.

    A default changes only if strips outside the search confirm the gain. The run itself does not
    change: give thresholds.json to predict, submit or export with --thresholds. tuning.html
    explains it.
    """
    if objective != "escapes":
        refuse_unused(context, "weight", "without --objective escapes")
    from steelscan.analysis.tune import tune_run, tuning_text, write_tuning
    from steelscan.evaluation.tuning import CrossFitOptions, EscapeWeighted, MeanDice
    from steelscan.recipes import public_board

    objectives: dict[str, tuple[PerClass[Objective], str]] = {
        "mean_dice": (MeanDice(), "mean Dice"),
        "escapes": (EscapeWeighted(weight=weight), f"mean Dice minus {weight:g} per escape"),
        "public_board": (public_board(), "mean Dice with the public leaderboard's class shares"),
    }
    chosen, name = objectives[objective]
    done = tune_run(
        run,
        data,
        out,
        objective=chosen,
        name=name,
        gates=gate,
        triplet=triplet,
        options=CrossFitOptions(by=by, gain=gain, seed=seed),
        on_error=on_error,
    )
    write_tuning(done)
    print(tuning_text(done))
    print(f"Thresholds: {done.thresholds_file}")
    print(f"Page: {done.page}")
