"""The model card: what a bundle is, as a page that people read. No torch here."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from steelscan.bundle import EarlyExit, Manifest
from steelscan.bundle.proof import Parity
from steelscan.pipeline import RunFolder

_NUMBERS = {
    "mean_dice": "mean Dice",
    "defect_dice": "Dice where there is a defect",
    "clean_kept": "clean pairs kept clean",
    "escapes": "escapes (defective strips passed)",
    "overkill": "overkill (clean strips stopped)",
}


def card_of(
    run: RunFolder,
    manifest: Manifest,
    parity: Parity,
    thresholds: Path | None,
    early: EarlyExit | None,
) -> str:
    """The card of a run's bundle, as Markdown."""
    return "\n".join(_lines(run, manifest, parity, thresholds, early)) + "\n"


def _lines(
    run: RunFolder,
    manifest: Manifest,
    parity: Parity,
    thresholds: Path | None,
    early: EarlyExit | None,
) -> Iterator[str]:
    recipe, record = run.load_recipe(), run.load_record()
    yield f"# {manifest.recipe}, budget {recipe.budget}"
    yield ""
    height, width = manifest.frame
    yield f"Outlines {', '.join(manifest.classes.names)} on strips of {height}x{width} pixels."
    for note in manifest.notes:
        yield f"{note[0].upper()}{note[1:]}."
    if manifest.mm_per_pixel:
        yield f"A pixel is {manifest.mm_per_pixel} mm."
    yield ""
    yield "## Data"
    yield ""
    yield f"Fingerprint {record.fingerprint}, seed {record.seed}, folds {recipe.folds.count}, "
    yield f"validated by {', '.join(map(str, recipe.folds.validation))}."
    yield ""
    yield "## Scores"
    yield ""
    scores = run.load_json(run.scores)
    for part, numbers in scores.items():
        if part.endswith("all empty"):
            continue
        yield f"**{part}**, {numbers['strips']} strips"
        yield ""
        for name, label in _NUMBERS.items():
            yield f"- {label}: {_number(numbers[name])}"
        yield ""
    yield from _luck(run, thresholds, "held out" in scores)
    yield ""
    yield "## Networks"
    yield ""
    for step in manifest.steps:
        views = ", ".join(step.views)
        yield f"- {step.name}: {len(step.graphs)}, views {views}, {step.average.kind}"
    yield ""
    yield "## Changes"
    yield ""
    yield from (f"- {change}" for change in recipe.changes or ("none: the recipe as published",))
    yield ""
    yield "## Weights"
    yield ""
    yield "All were fitted in this run. It noted where they began, under which licence, and more:"
    yield ""
    yield from (f"- {note}" for note in _notes(run))
    yield ""
    yield "## Proof"
    yield ""
    yield f"{parity.text()}."
    if early is not None:
        yield ""
        yield f"{early.text()}."


def _number(found: Mapping[str, float | None]) -> str:
    """A number with its interval; of some strips there is none, of few no interval."""
    if found["value"] is None:
        return "there are no such strips"
    if found["low"] is None or found["high"] is None:
        return f"{found['value']:.4f} (too few strips for an interval)"
    return f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


def _luck(run: RunFolder, thresholds: Path | None, held_out: bool) -> Iterator[str]:
    """How much of a score may be luck in the search for thresholds."""
    if thresholds is not None:
        found = json.loads(thresholds.read_text(encoding="utf-8"))
        searched, unsearched = found["in_sample"]["value"], found["out_of_sample"]["value"]
        if searched is None or unsearched is None:
            yield "Thresholds were tuned; by how much that flatters cannot be told."
            return
        yield f"Thresholds were tuned: {searched:.4f} where searched, {unsearched:.4f} where not, "
        yield f"an optimism of {searched - unsearched:.4f}."
        return
    search, names = run.load_tuned().search, run.load_record().classes.names
    if search is None or not any(search.tuned):
        yield "Thresholds are those of the recipe: no search flatters these scores."
        return
    tuned = (name for name, changed in zip(names, search.tuned, strict=True) if changed)
    yield f"Thresholds of {', '.join(tuned)} were searched on the strips out of fold, and flatter"
    yield "their scores; " + (
        "those held out took no part in it." if held_out else "`steelscan tune` tells by how much."
    )


def _notes(run: RunFolder) -> list[str]:
    """What a run noted; runs of older programs have not written that down."""
    if not run.notes.exists():
        return ["it noted nothing: it was trained by an older program"]
    notes: list[str] = run.load_json(run.notes)
    return notes
