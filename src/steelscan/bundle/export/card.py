"""The model card of a bundle: a page for people, in Markdown."""

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
    """Return the card of a run's bundle."""
    sections = {
        "Data": _data(run),
        "Scores": _scores(run, thresholds),
        "Networks": _networks(manifest),
        "Changes": _list(run.load_recipe().changes or ("none: the recipe as published",)),
        "Weights": _weights(run),
        "Proof": _proof(parity, early),
    }
    lines = [*_head(run, manifest)]
    for title, section in sections.items():
        lines += ["", f"## {title}", "", *section]
    return "\n".join(lines) + "\n"


def _head(run: RunFolder, manifest: Manifest) -> Iterator[str]:
    yield f"# {manifest.recipe}, budget {run.load_recipe().budget}"
    yield ""
    height, width = manifest.frame
    yield f"Segments {', '.join(manifest.classes.names)} on strips of {height}x{width} pixels."
    for note in manifest.notes:
        yield f"{note[0].upper()}{note[1:]}."
    if manifest.mm_per_pixel:
        yield f"A pixel is {manifest.mm_per_pixel} mm wide."


def _list(items: tuple[str, ...] | list[str]) -> Iterator[str]:
    return (f"- {item}" for item in items)


def _data(run: RunFolder) -> Iterator[str]:
    recipe, record = run.load_recipe(), run.load_record()
    yield f"Fingerprint {record.fingerprint}, seed {record.seed}, {recipe.folds.count} folds,"
    yield f"validation on {', '.join(map(str, recipe.folds.validation))}."


def _scores(run: RunFolder, thresholds: Path | None) -> Iterator[str]:
    scores = run.load_json(run.scores)
    for part, numbers in scores.items():
        if part.endswith("all empty"):
            continue
        yield f"**{part}**, {numbers['strips']} strips"
        yield ""
        yield from (f"- {label}: {_number(numbers[name])}" for name, label in _NUMBERS.items())
        yield ""
    yield from _optimism(run, thresholds, "held out" in scores)


def _number(estimate: Mapping[str, float | None]) -> str:
    """Return a number with its interval, as far as both are defined."""
    if estimate["value"] is None:
        return "there are no such strips"
    if estimate["low"] is None or estimate["high"] is None:
        return f"{estimate['value']:.4f} (too few strips for an interval)"
    return f"{estimate['value']:.4f} [{estimate['low']:.4f}, {estimate['high']:.4f}]"


def _optimism(run: RunFolder, thresholds: Path | None, held_out: bool) -> Iterator[str]:
    """Describe how much the search for thresholds improves the scores by luck."""
    if thresholds is not None:
        tuned = json.loads(thresholds.read_text(encoding="utf-8"))
        searched, unsearched = tuned["in_sample"]["value"], tuned["out_of_sample"]["value"]
        if searched is None or unsearched is None:
            yield "Thresholds were tuned; the optimism of that is unknown."
            return
        yield f"Thresholds were tuned: {searched:.4f} on the strips searched, {unsearched:.4f} on"
        yield f"others, an optimism of {searched - unsearched:.4f}."
        return
    own, names = run.load_tuned(), run.load_record().classes.names
    search = own.search
    if own.gates:
        yield f"Gates of {', '.join(gate.step for gate in own.gates)} were chosen by F1 on the"
        yield "out-of-fold strips, so their scores are a little optimistic."
    if search is None or not any(search.tuned):
        gained = "" if own.gates else ": the scores have no optimism from a search"
        yield f"Thresholds{' of masks' if own.gates else ''} are those of the recipe{gained}."
        return
    changed = (name for name, tuned in zip(names, search.tuned, strict=True) if tuned)
    yield f"Thresholds of {', '.join(changed)} were searched on the out-of-fold strips, so their"
    yield "scores are optimistic; " + (
        "the held-out strips were not used." if held_out else "`steelscan tune` estimates how much."
    )


def _networks(manifest: Manifest) -> Iterator[str]:
    for name, step in manifest.decision.steps.items():
        views = ", ".join(step.views)
        yield f"- {name}: {len(manifest.networks[name])}, views {views}, {step.average.kind}"


def _weights(run: RunFolder) -> Iterator[str]:
    start = run.load_record().start_from
    if start is None:
        yield "All networks were trained in this run."
    else:
        yield "All networks were fine-tuned in this run. They started with weights of"
        yield f"{start.origin} ({start.digest[:8]})."
    yield "The notes of the run, on first weights, licences and more:"
    yield ""
    if run.notes.exists():
        yield from _list(run.load_json(run.notes))
    else:
        yield "- none: the run was trained with an older version"


def _proof(parity: Parity, early: EarlyExit | None) -> Iterator[str]:
    yield f"{parity.text()}."
    if early is not None:
        yield ""
        yield f"{early.text()}."
