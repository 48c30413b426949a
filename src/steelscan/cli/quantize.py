"""The verb that reduces the precision of a bundle: quantize."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.inputs import Budget
from steelscan.cli.options import BundleFile, Sign, SignedBy


@app.command(
    epilog="Example: steelscan quantize model.steelscan --to int8 --data strips/ "
    "--out int8.steelscan"
)
def quantize(
    bundle: BundleFile,
    to: Annotated[
        Literal["int8", "fp16"], typer.Option(help="int8 for CPUs with VNNI, fp16 for GPUs.")
    ],
    data: Annotated[
        str,
        typer.Option(
            help="Strips: those whose decisions the bundle records, and others to calibrate on."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The new bundle: one file.")],
    strips: Annotated[
        int, typer.Option(min=1, max=1_000, help="Maximum number of strips to calibrate on.")
    ] = 32,
    budget: Budget = None,
    sign: Sign = None,
    signed_by: SignedBy = None,
) -> None:
    """Write a copy of a bundle whose networks compute in 8-bit integers or 16-bit floats.

    Its decisions are compared per class with those of the trained networks, on strips that were
    not used to calibrate. If more is lost than the budget allows, nothing is written.
    """
    from steelscan.bundle import BUNDLE_KIND
    from steelscan.bundle.precision.quantize import quantize as quantize_bundle
    from steelscan.strip.files import check_output

    check_output(out, BUNDLE_KIND, [bundle])
    done = quantize_bundle(
        bundle,
        out,
        to=to,
        data=data,
        strips=strips,
        budget=budget,
        sign=sign,
        signed_by=signed_by,
    )
    for line in done.lines():
        print(line)
    if sign is None:
        print("Not signed: the signature of the first bundle is not valid for it. Use --sign")
    print(f"Bundle ({out.stat().st_size / 1e6:.1f} MB): {done.path}")
