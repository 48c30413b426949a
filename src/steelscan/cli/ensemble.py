"""The verb about the members of an ensemble: ensemble."""

from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.options import DataOfRun, Device, Out, RunPath, refuse_unused


@app.command(epilog="Example: steelscan ensemble runs/first --out runs/first-ensemble")
def ensemble(
    context: typer.Context,
    run: RunPath,
    out: Out,
    data: DataOfRun = None,
    members: Annotated[
        str,
        typer.Option(help="Members that may be left out, by number: '1 3 4'; all if not given."),
    ] = "",
    rules_only: Annotated[
        bool, typer.Option("--rules-only", help="Compare combining rules, not sets of members.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the outputs, so that a repetition is fast.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Compare rules to combine the networks of a run, and find members that it does not need.

    Each network predicts only strips that it was not trained on. An interrupted command continues
    if you repeat it.
    """
    if rules_only:
        refuse_unused(context, "members", "with --rules-only")
    from steelscan.analysis.ensemble import compare_ensemble, ensemble_text, write_ensemble_page
    from steelscan.pages import unwrapped_tables
    from steelscan.strip.errors import InputError
    from steelscan.strip.files import write_text

    parts = members.replace(",", " ").split()
    if not all(part.isdecimal() and len(part) < 5 for part in parts):
        raise InputError("--members", f"is {members!r}", "Give numbers, as '1 3 4'")
    numbers = [int(part) for part in parts]
    result = compare_ensemble(
        run, out, data=data, members=numbers, sets=not rules_only, keep=keep, device=device
    )
    with unwrapped_tables():
        write_text(out / "ensemble.txt", f"{ensemble_text(result)}\n")
    write_text(out / "ensemble.json", f"{result.model_dump_json(indent=2)}\n")
    write_ensemble_page(out / "ensemble.html", result)
    print(ensemble_text(result))
    kept = f"kept in {out / 'strips'}" if keep else "removed; --keep keeps them"
    print(f"\nOutputs of the members took {result.bytes / 1e6:.1f} MB, {kept}.")
    print(f"Page, text and JSON: {out / 'ensemble.html'}")
