"""Whether this machine holds a line with a bundle: measured, reckoned, and said in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt, ValidationError

from steelscan.bundle import Manifest, MillimetresPerPixel, read_package, usable_cores
from steelscan.bundle.bench import Measured, Setting, bundle_heads, machine, measure_each
from steelscan.evaluation.statistics import lower_bound, upper_bound
from steelscan.inspection.line import Along, Costs, Holding, Line, holding, sides_of, strips_across
from steelscan.strip import Frame, InputError, Spec

_ALONE = 0.85
"""Where less of the cores was busy with the bundle, others were at work on them."""


class LineAsked(Spec):
    """A line as its people know it: metres a second, millimetres, strips side by side.

    ``mm_per_pixel`` None: the bundle says; ``width_mm`` and
    ``strips_across`` None: one strip across.
    """

    speed: Annotated[float, Field(ge=1e-6, le=1e4)]
    mm_per_pixel: MillimetresPerPixel | None = None
    width_mm: Annotated[float, Field(gt=0, le=1e6)] | None = None
    strips_across: Annotated[int, Field(ge=1, le=10_000)] | None = None
    sides: PositiveInt = 1
    along: Along = "width"

    def line(self, manifest: Manifest) -> Line:
        """The line with strips as a bundle sees them. Raises InputError where something lacks."""
        scale = self.mm_per_pixel or manifest.mm_per_pixel
        if scale is None:
            found = "is not given, and the bundle does not say"
            raise InputError("--mm-per-pixel", found, "Give the millimetres that a pixel shows")
        if self.width_mm is not None and self.strips_across is not None:
            found = "is given together with --strips-across"
            raise InputError("--width-mm", found, "Give one of them")
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


def line_asked(**said: Any) -> LineAsked:
    """A line by its fields. Raises InputError for numbers that no line has."""
    try:
        return LineAsked(**said)
    except ValidationError as error:
        first = error.errors()[0]
        where = "--" + "-".join(map(str, first["loc"])).replace("_", "-")
        raise InputError(where, f"is {first['input']}", first["msg"]) from None


@dataclass(frozen=True)
class LineBudget:
    """A line, what was measured, and what follows.

    ``cores`` are those planned with: the costs of those measured, shared by so many. ``cascade``
    and ``soonest`` are None where no strip can leave before all networks are asked.
    """

    line: Line
    cores: int
    every: Measured
    cascade: Measured | None
    soonest: Measured | None
    costs: Costs
    holding: Holding

    @property
    def first(self) -> str:
        """Those who are asked of a strip that leaves as soon as it can, in words."""
        fewest = 1 if self.soonest is None else min(self.soonest.networks_run)
        return "the first network" if fewest == 1 else f"the first {fewest} networks"

    @property
    def at_first(self) -> int | None:
        """Of the pictures measured, how many left at the first network; None: none can."""
        if self.cascade is None or self.soonest is None:
            return None
        return sum(asked <= min(self.soonest.networks_run) for asked in self.cascade.networks_run)


def plan(
    bundle: Path,
    asked: LineAsked,
    *,
    data: str | None = None,
    strips: int = 100,
    cores: int | None = None,
) -> LineBudget:
    """Measure a bundle here on strips of its frame, and hold that against a line.

    Several strips are scanned at once, by ``cores`` (None: all that may be used); where there are
    fewer here, the time of those is shared by so many. Raises InputError and what measuring raises.
    """
    manifest = read_package(bundle).manifest
    line = asked.line(manifest)
    planned = cores or usable_cores()
    used = min(planned, usable_cores())
    every = Setting(
        bundle=str(bundle),
        data=data,
        scans=strips,
        cores=used,
        way="workers",
        mode="all",
        frame=manifest.frame,
    )
    several = len(manifest.graphs) > 1
    others = (every.but(mode="cascade"), every.but(mode="fewest")) if several else ()
    measured = measure_each((every, *others))
    return planned_with(line, planned, measured)


def planned_with(line: Line, cores: int, measured: list[Measured]) -> LineBudget:
    """What follows for a line from times with all networks, as in use, and where the first clears.

    The last two may lack.
    """
    every, cascade, soonest = [*measured, None, None][:3]
    assert every is not None
    if soonest is not None and min(soonest.networks_run) == every.networks:
        soonest = None
    seen = cascade if cascade is not None and cascade.early else every
    share = every.setting.cores / cores
    costs = Costs(
        every=every.milliseconds * share,
        soonest=None if soonest is None else soonest.milliseconds * share,
        seen=seen.milliseconds * share,
    )
    return LineBudget(line, cores, every, cascade, soonest, costs, holding(line, costs, cores))


def plan_json(found: LineBudget) -> dict[str, Any]:
    """All of it as plain values."""
    line, measured = found.line, (found.every, found.cascade, found.soonest)
    return {
        "machine": machine(),
        "line": {
            **line.model_dump(mode="json"),
            "strips_per_second": line.strips_per_second,
            "budget_ms": line.budget_ms,
        },
        "cores": found.cores,
        "costs_ms": found.costs.model_dump(mode="json"),
        "pictures_cleared_at_first": found.at_first,
        **found.holding.model_dump(mode="json"),
        "measured": [each.model_dump(mode="json") for each in measured if each is not None],
    }


def plan_text(found: LineBudget) -> str:
    """All of it in words."""
    parts = _line(found), bundle_heads(found.every), _costs(found), _verdict(found)
    return "\n\n".join("\n".join(part) for part in parts)


def _line(found: LineBudget) -> Iterator[str]:
    line = found.line
    across = sides_of(Frame(*line.frame), line.along)[1] * line.mm_per_pixel
    yield (
        f"Line of {line.speed:g} m/s, {line.mm_per_pixel:g} mm a pixel: a strip shows "
        f"{line.strip_mm:g} mm along it and {across:g} mm across."
    )
    yield (
        f"{line.across} across, sides: {line.sides}: {line.strips_per_second:.2f} strips a second, "
        f"{line.budget_ms:.1f} ms for each on {cores_text(found.cores)}."
    )


def _costs(found: LineBudget) -> Iterator[str]:
    used, costs = found.every.setting.cores, found.costs
    if used != found.cores:
        yield f"Measured on {cores_text(used)}, reckoned for {found.cores}."
    yield f"{'':28}{'ms a strip':>12}{'busy':>9}   cores that hold the line"
    rows = [("every", "all networks asked")]
    if found.cascade is not None and found.cascade.early:
        rows.append(("seen", "as on these pictures"))
    if costs.soonest is not None:
        rows.append(("soonest", f"cleared by {found.first}"))
    for name, words in rows:
        busy = f"{100 * found.holding.busy[name]:.0f} %"
        cost = getattr(costs, name)
        yield f"{words:28}{cost:12.1f}{busy:>9}   {found.holding.cores[name]}"
    if found.every.busy < _ALONE * used:
        least = found.every.cpu_milliseconds / found.cores
        yield f"Others were at work: {found.every.busy:.2f} of {used} cores were busy with this."
        yield f"Alone it might take {least:.1f} ms with all networks; measure again without them."


def _verdict(found: LineBudget) -> Iterator[str]:
    needed = found.holding.needed
    if needed == 0:
        yield "Holds it, with all networks asked for every strip."
        return
    if needed is None:
        even = "no strip can leave early"
        if found.costs.soonest is not None:
            even = f"not even if {found.first} cleared every strip"
        yield f"Does not hold it: {even}."
        yield "The table says how many cores like these would."
    else:
        least = ceil(100 * needed)
        yield f"Holds it if at least {least} % of strips leave after {found.first}."
    if found.at_first is not None:
        yield from _left(found, found.at_first)


def _left(found: LineBudget, left: int) -> Iterator[str]:
    assert found.cascade is not None
    count = len(found.cascade.networks_run)
    low, high = (bound(left, count, 0.975) for bound in (lower_bound, upper_bound))
    share = f"{100 * left / count:.0f} % [{100 * low:.0f} %, {100 * high:.0f} %]"
    yield f"Of the pictures measured {left} of {count} did: {share}."
    later = found.cascade.early - left
    if later > 0:
        yield f"{later} of {count} left later, before all networks were asked."
    kept = "keeps up" if found.costs.seen <= found.line.budget_ms else "falls behind"
    yield f"With strips like these, at {found.costs.seen:.1f} ms each, the machine {kept}."
    if found.every.setting.data is None:
        yield "The bundle brings defective strips along first: give --data, strips as they come."


def cores_text(count: int) -> str:
    """So many cores, in words."""
    return f"{count} core{'' if count == 1 else 's'}"
