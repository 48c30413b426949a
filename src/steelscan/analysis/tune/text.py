"""The result of tuning a run as text."""

from collections.abc import Sequence
from typing import Any

from steelscan.analysis.tune.tune import Tuned, notes_on
from steelscan.evaluation.metrics import Scores
from steelscan.evaluation.tuning import (
    ClassThresholds,
    CrossFit,
    Plateau,
    RuleKind,
    Tuning,
    TuningChoice,
)
from steelscan.pages import plain_table

NAMES = {
    "threshold": {"gate": "gate", "label": "label", "pixel": "pixel", "area": "area"},
    "triplet": {"gate": "gate", "label": "top", "pixel": "bottom", "area": "area above top"},
}
"""The names of the thresholds in each kind of rule."""

_HEAD = ("", "recipe", "best, same strips", "best, other strips", "optimism")


def tuning_text(done: Tuned) -> str:
    """Return the whole result as text; the last paragraph is the summary."""
    tuning = done.tuning
    named = list(zip(done.classes.names, tuning.classes, strict=True))
    rows = [_HEAD, _row("all classes", tuning.best)]
    rows += [_row(name, choice.fit) for name, choice in named if choice.searched]
    blocks = [
        f"{tuning.strips} strips out of fold in {tuning.groups} groups; {done.objective}.",
        plain_table(rows),
    ]
    if tuning.image_gate is not None:
        gate = tuning.image_gate
        changed = f"{gate.default:.2f} -> {gate.used:.2f}" if gate.tuned else f"{gate.used:.2f}"
        blocks.append(f"classifier's threshold: {changed} ({gate.reason})")
    if done.gates:
        blocks.append("\n".join(done.gates))
    blocks += [_of_class(name, choice, done.kind) for name, choice in named]
    if done.held_out is not None:
        columns = ("recipe", "best", "used")
        table = Scores.table(dict(zip(columns, done.held_out, strict=True)))
        blocks.append(f"Held-out strips, which were never searched:\n{table}")
    blocks += [f"Note: {note}" for note in notes_on(done)]
    blocks.append(verdict(tuning))
    return "\n\n".join(blocks)


def verdict(tuning: Tuning) -> str:
    """Return the summary of a tuning in one or two sentences."""
    changed = sum(each.tuned for each in tuning.classes)
    gate = tuning.image_gate
    what = f"{changed} of {len(tuning.classes)} classes are tuned"
    if gate is not None:
        what += f", the classifier's threshold {'is' if gate.tuned else 'stays'} {gate.used:.2f}"
    if not changed and (gate is None or not gate.tuned):
        what += ": the defaults are kept"
    searched = any(each.searched for each in tuning.classes)
    if not searched and (gate is None or not gate.searched):
        return f"{what}. Nothing could be searched: there are too few groups."
    optimism = tuning.best.optimism.text()
    return f"{what}. A score on the strips that were searched is too high by {optimism}."


def thresholds_text(thresholds: ClassThresholds, kind: RuleKind) -> str:
    """Return the thresholds of a class as text."""
    return ", ".join(
        f"{NAMES[kind][name]} {value_text(name, value)}"
        for name, value in zip(thresholds._fields, thresholds, strict=True)
        if value is not None
    )


def tolerances_text(plateau: Plateau | None, kind: RuleKind) -> str:
    """Return the range in which each threshold is as good, as text."""
    return ", ".join(
        f"{NAMES[kind][each.name]} {range_text(each.name, each.low, each.high)}"
        for each in (plateau.tolerances if plateau else ())
    )


def choices_text(choices: Sequence[ClassThresholds], kind: RuleKind) -> str:
    """Return the range of each threshold over some choices, as text."""
    ranges = []
    for name, values in zip(ClassThresholds._fields, zip(*choices, strict=True), strict=True):
        known = [value for value in values if value is not None]
        if known:
            low, high = min(known), max(known)
            one = value_text(name, low) == value_text(name, high)
            text = value_text(name, low) if one else range_text(name, low, high)
            ranges.append(f"{NAMES[kind][name]} {text}")
    return ", ".join(ranges)


def range_text(name: str, low: float, high: float) -> str:
    """Return two values of a threshold as text."""
    return f"{value_text(name, low)} to {value_text(name, high)}"


def value_text(name: str, value: float) -> str:
    """Return the value of a threshold as text."""
    return str(int(value)) if name == "area" else f"{value:.2f}"


def _row(name: str, fit: CrossFit[Any]) -> tuple[str, ...]:
    return (name, *(fit.score(which).text() for which in range(3)), fit.optimism.text(sign=True))


def _of_class(name: str, choice: TuningChoice[ClassThresholds], kind: RuleKind) -> str:
    state = "tuned" if choice.tuned else "recipe's kept" if choice.searched else "not searched"
    lines = [f"{name}: {state}; {choice.reason}"]
    if choice.tuned:
        lines.append(f"  from     {thresholds_text(choice.default, kind)}")
    lines.append(f"  used     {thresholds_text(choice.used, kind)}")
    if choice.plateau is not None:
        lines.append(f"  as good  {tolerances_text(choice.plateau, kind)}")
    return "\n".join(lines)
