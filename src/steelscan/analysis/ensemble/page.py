"""The comparison of an ensemble as one HTML file."""

from pathlib import Path
from typing import Any

from steelscan.analysis.ensemble.ensemble import EnsembleComparison
from steelscan.analysis.ensemble.subsets import LeftOut, Selection, Sets
from steelscan.analysis.ensemble.text import (
    SETTINGS,
    conclusion,
    gain_text,
    is_idle,
    named,
    reproduction,
    seconds,
    selections,
)
from steelscan.evaluation.metrics import Difference
from steelscan.evaluation.statistics import Estimate
from steelscan.pages import bar, render_page, widest
from steelscan.strip.files import write_text


def write_ensemble_page(path: Path, comparison: EnsembleComparison) -> None:
    """Write the comparison as one HTML file, completely or not at all. Raises OutputError."""
    room = "steelscan.analysis.ensemble"
    write_text(path, render_page(room, "ensemble.html.jinja", _content(comparison)))


def _content(comparison: EnsembleComparison) -> dict[str, Any]:
    return {
        "title": f"The ensemble of {comparison.recipe}",
        "comparison": comparison,
        "conclusion": conclusion(comparison),
        "reproduction": reproduction(comparison),
        "tables": [_table(comparison, setting) for setting in SETTINGS],
        "meanings": [(rule.name, rule.meaning) for rule in comparison.rules],
        "sets": [_sets(comparison, setting) for setting in SETTINGS],
        "members": [(each, seconds(each)) for each in comparison.members],
        "slowest": max((each.seconds for each in comparison.members), default=0.0),
    }


def _table(comparison: EnsembleComparison, setting: str) -> dict[str, Any] | None:
    """Return the rules for one setting of thresholds; None if that was not evaluated."""
    scores = [getattr(rule, setting) for rule in comparison.rules]
    if any(each is None for each in scores):
        return None
    numbers: list[Difference] = [each.mean_dice for each in scores]
    reach = widest(numbers[1:])
    rows = [
        {
            "name": rule.name,
            "scores": each,
            "number": each.mean_dice,
            "gain": each.mean_dice.estimate.text(sign=True) if at else None,
            "bar": bar(each.mean_dice, reach) if at else None,
        }
        for at, (rule, each) in enumerate(zip(comparison.rules, scores, strict=True))
    ]
    return {"title": SETTINGS[setting].capitalize(), "rows": rows, "reach": reach}


def _sets(comparison: EnsembleComparison, setting: str) -> dict[str, Any] | None:
    """Return sets of members for one setting of thresholds; None if that was not evaluated."""
    sets: Sets | None = getattr(comparison, setting)
    if sets is None:
        return None
    chosen = selections(sets)
    scores = [score for each in chosen.values() for score in _scores(each).values()]
    reach = widest(scores)
    rows = [
        {
            "title": title,
            "selection": each,
            "members": named(each),
            "gains": [
                {"title": kind, "text": gain_text(score), "bar": bar(score, reach)}
                for kind, score in _scores(each).items()
            ],
        }
        for title, each in chosen.items()
    ]
    adds = [each.adds.mean_dice for each in sets.left_out if each.adds is not None]
    reach_added = widest(adds)
    return {
        "title": SETTINGS[setting].capitalize(),
        "sets": sets.exhaustive.sets,
        "rows": rows,
        "reach": reach,
        "left_out": [_left_out_row(each, reach_added) for each in sets.left_out],
        "reach_added": reach_added,
    }


def _scores(selection: Selection) -> dict[str, Estimate]:
    return {
        "where chosen": selection.chosen.apparent,
        "on other groups": selection.chosen.honest,
        "optimism": selection.chosen.optimism,
    }


def _left_out_row(each: LeftOut, reach: float) -> dict[str, Any]:
    number = None if each.adds is None else each.adds.mean_dice
    return {
        "member": each.member,
        "verdict": each.verdict,
        "idle": is_idle(each),
        "gain": None if number is None else number.estimate.text(sign=True),
        "bar": None if number is None else bar(number, reach),
    }
