"""The result of tuning a run as an HTML page and as the file of tuned thresholds."""

from typing import TYPE_CHECKING, Any

import numpy as np

from steelscan.analysis.tune.text import (
    NAMES,
    choices_text,
    thresholds_text,
    tolerances_text,
    verdict,
)
from steelscan.analysis.tune.tune import Tuned, notes_on
from steelscan.evaluation.metrics import Scores
from steelscan.evaluation.statistics import Estimate
from steelscan.evaluation.tuning import ClassThresholds, Plateau, RuleKind, Tolerance, TuningChoice
from steelscan.pages import class_color, render_page, styled, svg_of
from steelscan.strip.files import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HOW_CHOSEN = {
    "f1": (
        "The threshold of each class is the one with the best F1 of that class, over the strips "
        "that no network was fitted on. It changes if F1 grows on groups outside the search by "
        "more than chance."
    ),
    "cost": (
        "A gate costs the defects on strips that it closes, and saves the false alarms there. Its "
        "threshold is lowered for a class, down to 0, if that raises the score on the strips that "
        "no network was fitted on, and either spoils no strip or also raises it on groups outside "
        "the search by more than chance."
    ),
}

_STEEL, _AMBER = "#2f5d8a", "#c8702a"


def write_tuning(done: Tuned) -> None:
    """Write ``thresholds.json`` and ``tuning.html``. Raises OutputError."""
    write_text(done.thresholds_file, done.thresholds.model_dump_json(indent=2) + "\n")
    page = render_page("steelscan.analysis.tune", "tuning.html.jinja", _content(done))
    write_text(done.page, page)


def _content(done: Tuned) -> dict[str, Any]:
    tuning = done.tuning
    rows = [
        ("The recipe's thresholds", tuning.best.score(0), "Nothing was searched."),
        (
            "The best thresholds, on the same strips",
            tuning.best.score(1),
            "The usual report. It is too high: the search used these strips.",
        ),
        (
            "The best thresholds, on other strips",
            tuning.best.score(2),
            "Chosen on some groups of strips, scored on the others.",
        ),
        (
            "What is used",
            tuning.used.score(2),
            "Tuned where the gain is more than chance, the recipe's thresholds elsewhere.",
        ),
    ]
    named = zip(done.classes.names, tuning.classes, strict=True)
    return {
        "title": done.title,
        "objective": done.objective,
        "verdict": verdict(tuning),
        "strips": tuning.strips,
        "groups": tuning.groups,
        "rows": [(name, _text(score), meaning) for name, score, meaning in rows],
        "optimism": _text(tuning.best.optimism, sign=True),
        "gate": _gate(tuning.image_gate),
        "gates": done.gates,
        "how": done.how,
        "how_chosen": _HOW_CHOSEN.get(done.gates_by or ""),
        "classes": [
            _of_class(done.kind, at, name, choice) for at, (name, choice) in enumerate(named)
        ],
        "held_out": _held_out(done.held_out),
        "notes": notes_on(done),
    }


def _gate(gate: TuningChoice[float] | None) -> dict[str, Any] | None:
    if gate is None:
        return None
    return {
        "default": f"{gate.default:.2f}",
        "best": f"{gate.best:.2f}",
        "used": f"{gate.used:.2f}",
        "reason": gate.reason,
        "optimism": _text(gate.fit.optimism, sign=True),
    }


def _of_class(
    kind: RuleKind, at: int, name: str, choice: TuningChoice[ClassThresholds]
) -> dict[str, Any]:
    from markupsafe import Markup

    fit = choice.fit
    drawing = ""
    if choice.plateau is not None:
        drawing = _draw(choice.plateau, choice.default, choice.used, kind)
    red, green, blue = class_color(at)
    return {
        "name": name,
        "color": f"rgb({red},{green},{blue})",
        "strips": choice.strips,
        "groups": choice.groups,
        "tuned": choice.tuned,
        "reason": choice.reason,
        "searched": choice.searched,
        "default": thresholds_text(choice.default, kind),
        "best": thresholds_text(choice.best, kind),
        "used": thresholds_text(choice.used, kind),
        "scores": [_text(fit.score(which)) for which in range(3)],
        "gain": _text(fit.gain, sign=True),
        "optimism": _text(fit.optimism, sign=True),
        "choices": choices_text(fit.chosen_without_part, kind),
        "tolerances": tolerances_text(choice.plateau, kind),
        "drawing": Markup(drawing),
    }


def _text(score: Estimate, *, sign: bool = False) -> dict[str, str]:
    how = "+.4f" if sign else ".4f"
    ends = "" if np.isnan(score.low) else f"{score.low:{how}} to {score.high:{how}}"
    return {"value": f"{score.value:{how}}", "ends": ends}


def _held_out(scores: tuple[Scores, Scores, Scores] | None) -> list[tuple[str, list[str]]]:
    if scores is None:
        return []
    names = ("The recipe's thresholds", "The best thresholds", "What is used")
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


def _draw(plateau: Plateau, default: ClassThresholds, used: ClassThresholds, kind: RuleKind) -> str:
    """Draw a curve per threshold and the map of label by pixel, as an ``<svg>`` element."""
    from matplotlib.figure import Figure

    with styled():
        count = len(plateau.tolerances) + 1
        figure = Figure(figsize=(10.4, 2.5), layout="constrained")
        panels = figure.subplots(1, count, width_ratios=[1] * (count - 1) + [1.25])
        floor = min(min(each.scores) for each in plateau.tolerances)
        top = max(max(each.scores) for each in plateau.tolerances)
        room = 0.06 * max(top - floor, 1e-3)
        for number, (panel, each) in enumerate(zip(panels, plateau.tolerances, strict=False)):
            _curve(panel, each, getattr(default, each.name), NAMES[kind][each.name])
            panel.set_ylim(floor - room, top + room)
            panel.tick_params(labelleft=number == 0)
        _map(panels[-1], plateau, default, used, kind)
        return svg_of(figure)


def _curve(panel: "Axes", tolerance: Tolerance, default: float, title: str) -> None:
    equidistant = tolerance.name == "area"  # areas grow by a factor from one to the next
    places = list(range(len(tolerance.values))) if equidistant else list(tolerance.values)
    low, high, used, start = (
        float(np.interp(value, tolerance.values, places))
        for value in (tolerance.low, tolerance.high, tolerance.used, default)
    )
    panel.axvspan(low, high, color="#dfe9f3", linewidth=0)
    panel.plot(places, tolerance.scores, color=_STEEL, linewidth=1.4)
    panel.axvline(start, color="#8a94a3", linewidth=1, linestyle="dotted")
    panel.axvline(used, color=_AMBER, linewidth=1.2)
    panel.set_title(title)
    panel.grid(axis="y")
    if equidistant:
        ticks = list(range(0, len(places), max(1, len(places) // 4)))
        panel.set_xticks(ticks, [str(int(tolerance.values[tick])) for tick in ticks])


def _map(
    panel: "Axes",
    plateau: Plateau,
    default: ClassThresholds,
    used: ClassThresholds,
    kind: RuleKind,
) -> None:
    mesh = panel.pcolormesh(
        plateau.pixels,
        plateau.labels,
        plateau.scores,
        cmap="Blues",
        shading="nearest",
        edgecolors="face",
    )
    panel.plot(default.pixel, default.label, "o", color="#1f2933", mfc="white", markersize=5)
    panel.plot(used.pixel, used.label, "o", color=_AMBER, markersize=5)
    panel.set_title(f"{NAMES[kind]['label']} (up) by {NAMES[kind]['pixel']}")
    figure = panel.get_figure()
    assert figure is not None
    figure.colorbar(mesh, ax=panel, pad=0.02)
