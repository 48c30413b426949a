"""A line budget as text."""

from collections.abc import Iterator
from math import ceil

from steelscan.bundle.bench import bundle_heads
from steelscan.evaluation.statistics import lower_bound, upper_bound
from steelscan.inspection.line_budget import LineBudget
from steelscan.pages import plural

_ALONE = 0.85
"""Below this share of busy cores, other programs took part of them."""


def line_text(budget: LineBudget) -> str:
    """Return the line, the measured costs and the verdict as text."""
    parts = _line(budget), bundle_heads(budget.all_networks), _costs(budget), _verdict(budget)
    return "\n\n".join("\n".join(part) for part in parts)


def _line(budget: LineBudget) -> Iterator[str]:
    line = budget.line
    along, across = line.strip_mm
    yield (
        f"Line of {line.speed:g} m/s, {line.mm_per_pixel:g} mm per pixel: a strip shows "
        f"{along:g} mm along it and {across:g} mm across."
    )
    yield (
        f"{_counted(line.across, 'strip')} across, {_counted(line.sides, 'side')}: "
        f"{line.strips_per_second:.2f} strips per second, that is {line.budget_ms:.1f} ms per "
        f"strip on {_counted(budget.cores, 'core')}."
    )


def _first(budget: LineBudget) -> str:
    """Name the networks that run if a strip is decided as early as possible."""
    fewest = 1 if budget.first_network is None else min(budget.first_network.networks_run)
    return "the first network" if fewest == 1 else f"the first {fewest} networks"


def _costs(budget: LineBudget) -> Iterator[str]:
    measured, costs = budget.all_networks, budget.costs_ms
    used = measured.setting.cores
    if used != budget.cores:
        yield f"Measured on {_counted(used, 'core')}, extrapolated to {budget.cores}."
    yield f"{'':30}{'ms per strip':>12}{'busy':>9}   cores needed"
    rows = [("all_networks", "all networks run")]
    if budget.cascade is not None and budget.cascade.early:
        rows.append(("these_pictures", "as on these pictures"))
    if costs.first_network is not None:
        rows.append(("first_network", f"decided by {_first(budget)}"))
    for name, label in rows:
        busy = f"{100 * budget.verdict.busy[name]:.0f} %"
        cost = getattr(costs, name)
        yield f"{label:30}{cost:12.1f}{busy:>9}   {budget.verdict.cores[name]}"
    if measured.busy < _ALONE * used:
        least = measured.cpu_milliseconds / budget.cores
        yield (
            f"Other programs were running: steelscan used {measured.busy:.2f} of "
            f"{_counted(used, 'core')}."
        )
        yield f"Without them a strip may take {least:.1f} ms with all networks: measure again."


def _verdict(budget: LineBudget) -> Iterator[str]:
    needed = budget.verdict.share_needed
    if needed == 0:
        yield "The machine keeps up, even if all networks run for every strip."
        return
    if needed is None:
        reason = "no strip can be decided early"
        if budget.costs_ms.first_network is not None:
            reason = f"it would even if {_first(budget)} decided every strip"
        yield f"The machine falls behind: {reason}."
        yield "The last column is the number of such cores that would keep up."
    else:
        least = ceil(100 * needed)
        yield f"The machine keeps up if {_first(budget)} can decide at least {least} % of strips."
    if budget.decided_by_first is not None:
        yield from _early(budget, budget.decided_by_first)


def _early(budget: LineBudget, decided: int) -> Iterator[str]:
    assert budget.cascade is not None
    count = len(budget.cascade.networks_run)
    low, high = (bound(decided, count, 0.975) for bound in (lower_bound, upper_bound))
    share = f"{100 * decided / count:.0f} % [{100 * low:.0f} %, {100 * high:.0f} %]"
    yield f"It decided {decided} of the {count} pictures measured: {share}."
    later = budget.cascade.early - decided
    if later > 0:
        yield f"{later} of {count} were decided later, before all networks had run."
    kept = "keeps up" if budget.costs_ms.these_pictures <= budget.line.budget_ms else "falls behind"
    yield (
        f"With strips like these, at {budget.costs_ms.these_pictures:.1f} ms each, "
        f"the machine {kept}."
    )
    if budget.all_networks.setting.data is None:
        yield "The strips in the bundle are mostly defective: give --data with typical strips."


def _counted(count: int, noun: str) -> str:
    return f"{count} {plural(count, noun)}"
