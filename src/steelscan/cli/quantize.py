"""The verb that brings a bundle to another precision."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steelscan.cli.app import app
from steelscan.cli.options import BundleFile, Sign, SignedBy


@app.command(epilog="Example: steelscan quantize model.steelscan --to int8 --data D --out M8")
def quantize(
    bundle: BundleFile,
    to: Annotated[
        Literal["int8", "fp16"], typer.Option(help="int8 for CPUs with VNNI, fp16 for GPUs.")
    ],
    data: Annotated[
        str,
        typer.Option(help="The data set that it was proven on, or part of it with other strips."),
    ],
    out: Annotated[Path, typer.Option(help="The new bundle: one file.")],
    strips: Annotated[
        int, typer.Option(min=1, max=1_000, help="Strips to calibrate on, at most.")
    ] = 32,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of verdicts that may flip, and of the defects of a class that may be lost.",
        ),
    ] = None,
    sign: Sign = None,
    signed_by: SignedBy = None,
) -> None:
    """Write a bundle anew whose networks compute in 16-bit floats or 8-bit integers.

    It is held against the trained networks' decisions, class by class, on strips that did not
    calibrate; where that costs more than the budget it is refused, and nothing is written.
    """
    from steelscan.bundle import BUNDLE_KIND
    from steelscan.bundle.precision.quantize import quantize as quantize_bundle
    from steelscan.strip import check_output

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
        print("Not signed: a signature does not pass over to another bundle; --sign makes one")
    print(f"Bundle ({out.stat().st_size / 1e6:.1f} MB): {done.path}")
