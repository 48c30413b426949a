"""Measure whether this machine keeps up with a line when it runs a bundle."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt, ValidationError, computed_field

from steelscan.bundle import Manifest, MillimetresPerPixel, read_package, usable_cores
from steelscan.bundle.bench import Measured, Setting, machine, measure_each
from steelscan.inspection.line import Along, Costs, Line, Verdict, strips_across, verdict_of
from steelscan.strip import Spec
from steelscan.strip.errors import InputError


class LineRequest(Spec):
    """A line as its users describe it: metres per second, millimetres, strips side by side.

    ``mm_per_pixel`` None: as the bundle stores it; ``width_mm`` and ``strips_across`` None: one
    strip across.
    """

    speed: Annotated[float, Field(ge=1e-6, le=1e4)]
    mm_per_pixel: MillimetresPerPixel | None = None
    width_mm: Annotated[float, Field(gt=0, le=1e6)] | None = None
    strips_across: Annotated[int, Field(ge=1, le=10_000)] | None = None
    sides: PositiveInt = 1
    along: Along = "width"

    def line(self, manifest: Manifest) -> Line:
        """Return the line with the strips of a bundle. Raises InputError if a size is missing."""
        scale = self.mm_per_pixel or manifest.mm_per_pixel
        if scale is None:
            problem = "is missing, and the bundle does not store it"
            raise InputError("--mm-per-pixel", problem, "Give the side of a pixel in mm")
        if self.width_mm is not None and self.strips_across is not None:
            problem = "is given together with --strips-across"
            raise InputError("--width-mm", problem, "Give one of them")
        across = self.strips_across or 1
        if self.width_mm is not None:
            across = strips_across(self.width_mm, manifest.strip, scale, self.along)
        return Line(
            speed=self.speed,
            mm_per_pixel=scale,
            frame=manifest.frame,
            along=self.along,
            across=across,
            sides=self.sides,
        )


def line_request(**fields: Any) -> LineRequest:
    """Return a request with these fields. Raises InputError if a number is out of range."""
    try:
        return LineRequest(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = "--" + "-".join(map(str, first["loc"])).replace("_", "-")
        raise InputError(where, f"is {first['input']}", first["msg"]) from None


class LineBudget(Spec):
    """A line, what was measured, and the verdict.

    ``cores`` is the number of cores that the costs and the verdict are for; the measured times are
    scaled if there are fewer here. ``cascade`` and ``first_network`` are None if no strip can be
    decided before all networks have run.
    """

    machine: dict[str, Any]
    line: Line
    cores: PositiveInt
    costs_ms: Costs
    verdict: Verdict
    all_networks: Measured
    cascade: Measured | None
    first_network: Measured | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def decided_by_first(self) -> int | None:
        """How many of the pictures the first network decided; None if it cannot."""
        if self.cascade is None or self.first_network is None:
            return None
        return sum(
            count <= min(self.first_network.networks_run) for count in self.cascade.networks_run
        )


def measure_line(
    bundle: Path,
    request: LineRequest,
    *,
    data: str | None = None,
    strips: int = 100,
    cores: int | None = None,
) -> LineBudget:
    """Measure a bundle on this machine and compare its speed with a line.

    Strips are scanned in parallel, one per core. If ``cores`` is more than this machine has, the
    times are scaled; None: all that this process may use. Raises InputError and what
    `measure_each` raises.
    """
    manifest = read_package(bundle).manifest
    line = request.line(manifest)
    wanted = cores or usable_cores()
    all_networks = Setting(
        bundle=str(bundle),
        data=data,
        scans=strips,
        cores=min(wanted, usable_cores()),
        way="workers",
        mode="all",
        frame=manifest.frame,
    )
    several = len(manifest.graphs) > 1
    others = ("cascade", "fewest") if several else ()
    settings = (all_networks, *(all_networks.but(mode=each) for each in others))
    return line_budget(line, wanted, measure_each(settings))


def line_budget(line: Line, cores: int, measured: list[Measured]) -> LineBudget:
    """Return the verdict from measurements: all networks, as in use, decided by the first network.

    The last two may be missing.
    """
    all_networks, cascade, first = [*measured, None, None][:3]
    assert all_networks is not None
    if first is not None and min(first.networks_run) == all_networks.networks:
        first = None
    used = cascade if cascade is not None and cascade.early else all_networks
    scale = all_networks.setting.cores / cores
    costs = Costs(
        all_networks=all_networks.milliseconds * scale,
        first_network=None if first is None else first.milliseconds * scale,
        these_pictures=used.milliseconds * scale,
    )
    return LineBudget(
        machine=machine(),
        line=line,
        cores=cores,
        costs_ms=costs,
        verdict=verdict_of(line, costs, cores),
        all_networks=all_networks,
        cascade=cascade,
        first_network=first,
    )
