"""The verb about ensembles of finished runs."""

from pathlib import Path
from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import Device, Out, refuse_unused


@app.command(epilog="Example: steelscan ensemble runs/first --out runs/first-ensemble")
def ensemble(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="Run folder of a finished training.")],
    out: Out,
    data: Annotated[
        Path | None, typer.Option(help="Its data set, if that lies elsewhere by now.")
    ] = None,
    members: Annotated[
        str,
        typer.Option(help="Numbers of the members that may be left out, as '1 3 4'; all if empty."),
    ] = "",
    rules_only: Annotated[
        bool, typer.Option("--rules-only", help="Try no sets of members.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the answers; comparing again asks no network.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Compare the rules by which a run's networks answer together, and which of them it needs.

    Networks are asked only about strips that they were not fitted on. After an interruption the
    same command goes on where it stopped.
    """
    if rules_only:
        refuse_unused(context, "members", "with --rules-only")
    from steelscan.analysis.ensemble import compare_ensemble, ensemble_text, write_ensemble_page
    from steelscan.strip import InputError, write_text

    parts = members.replace(",", " ").split()
    if not all(part.isdecimal() and len(part) < 5 for part in parts):
        raise InputError("members", f"is {members!r}", "Give numbers, as '1 3 4'")
    numbers = [int(part) for part in parts]
    found = compare_ensemble(
        run, out, data=data, members=numbers, sets=not rules_only, keep=keep, device=device
    )
    text = ensemble_text(found)
    write_text(out / "ensemble.txt", f"{text}\n")
    write_text(out / "ensemble.json", f"{found.model_dump_json(indent=2)}\n")
    write_ensemble_page(out / "ensemble.html", found)
    print(text)
    kept = f"kept in {out / 'strips'}" if keep else "removed; --keep keeps them"
    print(f"\nAnswers of the members took {found.bytes / 1e6:.1f} MB, {kept}.")
    print(f"Page, text and JSON: {out / 'ensemble.html'}")
