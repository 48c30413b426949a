"""The model card: what a bundle is, as a page that people read. No torch here."""

import json
from collections.abc import Iterator
from pathlib import Path

from steelscan.bundle.parity import Parity
from steelscan.bundle.specs import Manifest
from steelscan.pipeline import RunFolder

_NUMBERS = {
    "mean_dice": "mean Dice",
    "defect_dice": "Dice where there is a defect",
    "clean_kept": "clean pairs kept clean",
    "escapes": "escapes (defective strips passed)",
    "overkill": "overkill (clean strips stopped)",
}


def card_of(run: RunFolder, manifest: Manifest, parity: Parity, thresholds: Path | None) -> str:
    """The card of a run's bundle, as Markdown."""
    return "\n".join(_lines(run, manifest, parity, thresholds)) + "\n"


def _lines(
    run: RunFolder, manifest: Manifest, parity: Parity, thresholds: Path | None
) -> Iterator[str]:
    recipe, record = run.load_recipe(), run.load_record()
    yield f"# {manifest.recipe}, budget {recipe.budget}"
    yield ""
    height, width = manifest.frame
    yield f"Outlines {', '.join(manifest.classes.names)} on strips of {height}x{width} pixels."
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
    scores = json.loads(run.scores.read_text())
    for part, numbers in scores.items():
        if part.endswith("all empty"):
            continue
        yield f"**{part}**, {numbers['strips']} strips"
        yield ""
        for name, label in _NUMBERS.items():
            found = numbers[name]
            if found["value"] is None:  # of strips that are all clean, or all defective
                yield f"- {label}: cannot be said of these strips"
                continue
            yield f"- {label}: {found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"
        yield ""
    yield from _luck(thresholds)
    yield "## Networks"
    yield ""
    for step in manifest.steps:
        views = ", ".join(step.views)
        yield f"- {step.name}: {len(step.graphs)} networks, views {views}, {step.average.kind}"
    yield ""
    yield "## Changes"
    yield ""
    yield from (f"- {change}" for change in recipe.changes or ("none: the recipe as published",))
    yield ""
    yield "## Weights"
    yield ""
    yield (
        "Fitted in this run. First weights, where they were not random, are those of timm under "
        "its licence (Apache-2.0), trained on ImageNet, whose pictures may have terms of their own."
    )
    yield ""
    yield "## Proof"
    yield ""
    yield f"{parity.text()}."


def _luck(thresholds: Path | None) -> Iterator[str]:
    """How much of a tuned score may be luck."""
    if thresholds is None:
        yield "Thresholds are those of the run; what their search adds is told by `steelscan tune`."
        yield ""
        return
    tuned = json.loads(thresholds.read_text())
    searched, unsearched = tuned["searched"]["value"], tuned["unsearched"]["value"]
    yield f"Thresholds were tuned: {searched:.4f} where searched, {unsearched:.4f} where not, "
    yield f"an optimism of {searched - unsearched:.4f}."
    yield ""
