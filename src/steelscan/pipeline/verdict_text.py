"""What a run found, as sentences for its end and the top of its report. No torch here."""

from collections.abc import Sequence

from steelscan.pages import plural
from steelscan.pipeline.evidence import Cause
from steelscan.pipeline.verdict import NeverFound, Verdict
from steelscan.pipeline.verdict_reasons import (
    FalseAlarms,
    FewGroups,
    FewSteps,
    LostBefore,
    NoPositives,
    RandomWeights,
    Reason,
)

_TINY = (
    "Budget tiny is a proof of wiring: it shows that every step runs, and its scores are no "
    "results."
)
_UNKNOWN = "None of the usual reasons applies: look at the learning curves and the masks."


def verdict_sentences(verdict: Verdict) -> list[str]:
    """Return a sentence on everything that a user must know first; none for a run that works."""
    lines = [_TINY] if verdict.budget == "tiny" else []
    found = [*_compared(verdict), *_everywhere(verdict)]
    if found:
        reasons = "; ".join(map(_reason, verdict.reasons))
        found[-1] += f" Likely because {reasons}." if reasons else f" {_UNKNOWN}"
    if not verdict.defective:
        found.append(
            f"No defect is on the {_strips(verdict.strips, verdict.part)}: they cannot show "
            "whether the run finds any."
        )
    return [*lines, *found, *map(_never_found, verdict.never_found)]


def _compared(verdict: Verdict) -> list[str]:
    if not verdict.failed:
        return []
    strips = _strips(verdict.strips, verdict.part)
    if not verdict.predicted:
        return [
            f"Nothing is predicted on any of the {strips}: mean Dice {verdict.mean_dice:.4f} is "
            "that of empty masks."
        ]
    start = "Worse than" if verdict.compared == "worse" else "Not shown to be better than"
    gain = verdict.gain
    interval = "" if gain.low is None else f" [{gain.low:+.4f}, {gain.high:+.4f}]"
    return [
        f"{start} empty masks on the {strips}: mean Dice {verdict.mean_dice:.4f}, with empty masks "
        f"{verdict.empty:.4f}, difference {gain.value:+.4f}{interval}."
    ]


def _everywhere(verdict: Verdict) -> list[str]:
    if not verdict.everywhere:
        return []
    place = "everywhere" if verdict.stopped == verdict.clean else "almost everywhere"
    return [
        f"Alarms {place}: {verdict.stopped} of {verdict.clean} clean "
        f"{_strips(None, verdict.part)} have a mask."
    ]


def _reason(reason: Reason) -> str:
    match reason:
        case FewSteps(network=network):
            steps = f"{network.steps} {plural(network.steps, 'step')}"
            epochs = f"{network.epochs} {plural(network.epochs, 'epoch')}"
            text = f"network {network.label}, was fitted for only {steps} ({epochs})"
        case RandomWeights(networks=count):
            which = "the network" if count == 1 else f"all {count} networks"
            text = f"{which} that predict{'s' * (count == 1)} pixels started with random weights"
        case NoPositives(strips=kind, classes=names):
            text = f"no {kind} strip has {_any_of(names)}"
        case LostBefore(by="gate"):
            text = f"gates closed {_of_pairs(reason)}"
        case LostBefore():
            text = f"no probability passes the thresholds on {_of_pairs(reason)}"
        case FalseAlarms(pairs=pairs, clean=clean):
            which = f"{pairs} of {clean} pairs of strip and class without a defect"
            text = f"masks on {which} cost more than masks on defects gain"
        case FewGroups(groups=count):
            groups = f"{count} {plural(count, 'group')} of strips"
            text = f"the score differs on {groups}, too few to show a gain"
    return text


def _of_pairs(reason: LostBefore) -> str:
    return f"{reason.pairs} of {reason.defective} pairs of strip and class with a defect"


def _never_found(found: NeverFound) -> str:
    losses = [f"{_cause(each.cause)} on {each.strips}" for each in found.losses]
    first, *others = losses
    text = (
        f"Class {found.name} is on {found.strips} {found.part.replace(' ', '-')} "
        f"{plural(found.strips, 'strip')} and is found on none: "
        f"{', '.join([f'{first} of {found.strips}', *others])}"
    )
    if found.without_gates:
        text += f"; without gates it would be found on {found.without_gates}"
    for part, hits, strips in found.elsewhere:
        text += f"; {part} it is found on {hits} of {strips}"
    return f"{text}." if found.trained else f"{text}; no training strip has it."


def _cause(cause: Cause) -> str:
    match cause.kind:
        case "gate":
            return f"the gate of step {cause.name} closed it"
        case "pixel":
            return "no pixel is above the pixel threshold"
        case "label":
            return "the label threshold removed it"
        case "rule":
            return f"the rule {cause.name} removed it"
        case "place":
            return "the mask is elsewhere"


def _any_of(names: Sequence[str]) -> str:
    """Return "class a", or "class a, b or c"."""
    *others, last = names
    return f"class {', '.join(others)} or {last}" if others else f"class {last}"


def _strips(count: int | None, part: str) -> str:
    """Return "95 strips held out"; None: without a number."""
    return f"strips {part}" if count is None else f"{count} {plural(count, 'strip')} {part}"
