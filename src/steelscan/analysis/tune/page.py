"""The page of a tuning: one HTML file that says what was gained, and how much of it is luck."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steelscan.evaluation.metrics import Scores
from steelscan.evaluation.statistics import Estimate
from steelscan.evaluation.tuning import Decision, Kind, Numbers, Plateau, Stretch, Tuning
from steelscan.pages import class_color, render_page, styled, svg_of
from steelscan.strip import Classes, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEEL, _AMBER = "#2f5d8a", "#c8702a"
NAMES = {
    "threshold": {"gate": "gate", "label": "label", "pixel": "pixel", "area": "area"},
    "triplet": {"gate": "gate", "label": "top", "pixel": "bottom", "area": "area above top"},
}
"""What the numbers of each kind are called."""


@dataclass(frozen=True, eq=False)
class TuningPage:
    """What the page tells."""

    title: str
    classes: Classes
    tuning: Tuning
    objective: str
    kind: Kind
    held_out: tuple[Scores, Scores, Scores] | None
    """Of strips never searched: with the recipe's numbers, the best found, and those used."""
    notes: Sequence[str]


def write_tuning_page(path: Path, page: TuningPage) -> None:
    """Write the page as one HTML file, whole or not at all. Raises OutputError."""
    write_text(path, render_page("steelscan.analysis.tune", "tuning.html.jinja", _content(page)))


def verdict(tuning: Tuning) -> str:
    """What a tuning comes to, in a sentence."""
    optimism = tuning.total.optimism
    changed = sum(each.tuned for each in tuning.classes)
    gate = tuning.image_gate
    what = f"{changed} of {len(tuning.classes)} classes are tuned"
    if gate is not None:
        what += f", the classifier's threshold {'is' if gate.tuned else 'stays'}"
        what += f" {gate.used:.2f}"
    kept = "" if changed or (gate is not None and gate.tuned) else ": the defaults stand"
    searched = [each.searched for each in tuning.classes]
    if not any(searched) and (gate is None or not gate.searched):
        return f"{what}{kept}. Nothing could be searched: there are too few groups."
    return f"{what}{kept}. A score tuned on these strips flatters itself by {optimism.text()}."


def _content(page: TuningPage) -> dict[str, Any]:
    total, used = page.tuning.total, page.tuning.used
    rows = [
        ("The recipe's numbers", total.score(0), "Nothing was searched."),
        (
            "The best found, on the strips searched",
            total.score(1),
            "What is usually told. It is not a score: the search has seen the answers.",
        ),
        (
            "The same, on strips not searched",
            total.score(2),
            "Chosen on some groups of strips, judged on others.",
        ),
        (
            "What is used",
            used.score(2),
            "Tuned where the gain is told from luck, the recipe's numbers elsewhere.",
        ),
    ]
    return {
        "title": page.title,
        "objective": page.objective,
        "verdict": verdict(page.tuning),
        "strips": page.tuning.strips,
        "groups": page.tuning.groups,
        "rows": [(name, _text(score), told) for name, score, told in rows],
        "optimism": _text(total.optimism, sign=True),
        "gate": _gate(page.tuning.image_gate),
        "classes": [
            _of_class(page, at, name, decision)
            for at, (name, decision) in enumerate(
                zip(page.classes.names, page.tuning.classes, strict=True)
            )
        ],
        "held_out": _held_out(page.held_out),
        "notes": page.notes,
    }


def _gate(gate: Decision[float] | None) -> dict[str, Any] | None:
    if gate is None:
        return None
    return {
        "default": f"{gate.default:.2f}",
        "found": f"{gate.found:.2f}",
        "used": f"{gate.used:.2f}",
        "reason": gate.reason,
        "optimism": _text(gate.fit.optimism, sign=True),
    }


def _of_class(page: TuningPage, at: int, name: str, decision: Decision[Numbers]) -> dict[str, Any]:
    from markupsafe import Markup

    fit, kind = decision.fit, page.kind
    drawing = ""
    if decision.plateau is not None:
        drawing = _draw(decision.plateau, decision.default, decision.used, kind)
    red, green, blue = class_color(at)
    return {
        "name": name,
        "color": f"rgb({red},{green},{blue})",
        "strips": decision.strips,
        "groups": decision.groups,
        "tuned": decision.tuned,
        "reason": decision.reason,
        "searched": decision.searched,
        "default": numbers_text(decision.default, kind),
        "found": numbers_text(decision.found, kind),
        "used": numbers_text(decision.used, kind),
        "scores": [_text(fit.score(which)) for which in range(3)],
        "gain": _text(fit.gain, sign=True),
        "optimism": _text(fit.optimism, sign=True),
        "choices": _choices(fit.others, kind),
        "stretches": stretches_text(decision.plateau, kind),
        "drawing": Markup(drawing),
    }


def numbers_text(numbers: Numbers, kind: Kind) -> str:
    """The numbers of a class in words."""
    return ", ".join(
        f"{NAMES[kind][name]} {_value(name, value)}"
        for name, value in zip(numbers._fields, numbers, strict=True)
        if value is not None
    )


def stretches_text(found: Plateau | None, kind: Kind) -> str:
    """How far each threshold can go alone, in words."""
    if found is None:
        return ""
    return ", ".join(
        f"{NAMES[kind][each.name]} {_value(each.name, each.low)} to {_value(each.name, each.high)}"
        for each in found.stretches
    )


def _choices(others: Sequence[Numbers], kind: Kind) -> str:
    """What was chosen without each part, from the least to the most."""
    told = []
    for name, values in zip(Numbers._fields, zip(*others, strict=True), strict=True):
        known = [value for value in values if value is not None]
        if known:
            low, high = (_value(name, end) for end in (min(known), max(known)))
            told.append(f"{NAMES[kind][name]} {low}" + (f" to {high}" if low != high else ""))
    return ", ".join(told)


def _value(name: str, value: float) -> str:
    return str(int(value)) if name == "area" else f"{value:.2f}"


def _text(score: Estimate, *, sign: bool = False) -> dict[str, str]:
    how = "+.4f" if sign else ".4f"
    ends = "" if np.isnan(score.low) else f"{score.low:{how}} to {score.high:{how}}"
    return {"value": f"{score.value:{how}}", "ends": ends}


def _held_out(scores: tuple[Scores, Scores, Scores] | None) -> list[tuple[str, list[str]]]:
    if scores is None:
        return []
    names = ("The recipe's numbers", "The best found", "What is used")
    return [
        (
            name,
            [
                each.mean_dice.text(),
                each.defect_dice.text(),
                each.escapes.text(percent=True),
                each.overkill.text(percent=True),
            ],
        )
        for name, each in zip(names, scores, strict=True)
    ]


def _draw(found: Plateau, default: Numbers, used: Numbers, kind: Kind) -> str:
    """A curve for each threshold alone, and the map of label by pixel, as an ``<svg>`` element."""
    from matplotlib.figure import Figure

    with styled():
        count = len(found.stretches) + 1
        figure = Figure(figsize=(10.4, 2.5), layout="constrained")
        panels = figure.subplots(1, count, width_ratios=[1] * (count - 1) + [1.25])
        floor = min(min(each.scores) for each in found.stretches)
        top = max(max(each.scores) for each in found.stretches)
        room = 0.06 * max(top - floor, 1e-3)
        for number, (panel, stretch) in enumerate(zip(panels, found.stretches, strict=False)):
            _curve(panel, stretch, getattr(default, stretch.name), NAMES[kind][stretch.name])
            panel.set_ylim(floor - room, top + room)
            panel.tick_params(labelleft=number == 0)
        _map(panels[-1], found, default, used, kind)
        return svg_of(figure)


def _curve(panel: "Axes", stretch: Stretch, default: float, title: str) -> None:
    spread = stretch.name == "area"  # areas are doublings: they stand at even distances
    places = list(range(len(stretch.values))) if spread else list(stretch.values)
    low, high, used, start = (
        float(np.interp(value, stretch.values, places))
        for value in (stretch.low, stretch.high, stretch.used, default)
    )
    panel.axvspan(low, high, color="#dfe9f3", linewidth=0)
    panel.plot(places, stretch.scores, color=_STEEL, linewidth=1.4)
    panel.axvline(start, color="#8a94a3", linewidth=1, linestyle="dotted")
    panel.axvline(used, color=_AMBER, linewidth=1.2)
    panel.set_title(title)
    panel.grid(axis="y")
    if spread:
        ticks = list(range(0, len(places), max(1, len(places) // 4)))
        panel.set_xticks(ticks, [str(int(stretch.values[tick])) for tick in ticks])


def _map(panel: "Axes", found: Plateau, default: Numbers, used: Numbers, kind: Kind) -> None:
    mesh = panel.pcolormesh(
        found.pixels, found.labels, found.scores, cmap="Blues", shading="nearest", edgecolors="face"
    )
    panel.plot(default.pixel, default.label, "o", color="#1f2933", mfc="white", markersize=5)
    panel.plot(used.pixel, used.label, "o", color=_AMBER, markersize=5)
    panel.set_title(f"{NAMES[kind]['label']} (up) by {NAMES[kind]['pixel']}")
    figure = panel.get_figure()
    assert figure is not None
    figure.colorbar(mesh, ax=panel, pad=0.02)
