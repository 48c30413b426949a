"""The verb that checks a bundle on the machine where it runs: verify."""

from typing import Annotated

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import Budget
from steelscan.cli.options import BundleFile, SignedBy


@app.command(epilog="Example: steelscan verify model.steelscan --data strips/")
def verify(
    bundle: BundleFile,
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder, zip or pattern with strips whose decisions the bundle records; its own "
            "strips if not given."
        ),
    ] = None,
    cores: Annotated[
        int, typer.Option(min=1, max=256, help="Number of CPU cores used, all on one strip.")
    ] = 1,
    budget: Budget = None,
    escape_budget: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of defective strips that the early exit may lose."),
    ] = None,
    signed_by: SignedBy = None,
) -> None:
    """Check on this machine that a bundle decides as the trained networks did."""
    from steelscan.bundle.proof import signature_notes
    from steelscan.bundle.proof.verify import verify as verify_bundle

    parity = verify_bundle(
        bundle,
        data,
        threads=cores,
        budget=budget,
        escape_budget=escape_budget,
        signed_by=signed_by,
    )
    print(f"Decides as trained: {parity.text()}")
    for line in signature_notes(bundle, signed_by):
        print(line)
