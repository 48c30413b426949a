"""Strips whose labels are worth a second look, the most suspicious first."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from steelscan.data import Dataset, check_apart, folders_read, open_dataset
from steelscan.evaluation.metrics import Contradiction, contradictions, regions_of
from steelscan.explore import ODD, SPECK, holes, label_differences, odd_sizes, slivers, specks
from steelscan.explore.near_pairs import near_pairs
from steelscan.formats import format_named
from steelscan.formats.convert import convert
from steelscan.pipeline import RunFolder
from steelscan.strip import OutputError, output_folder, track, write_json, write_rows

if TYPE_CHECKING:
    from steelscan.pipeline import StoredOutputs

_OF_COPIES = 0.9
"""Estimate of a class that one of two near-duplicates has and the other has not."""

_FORMS = {"speck": 0.2, "sliver": 0.15, "pinhole": 0.1}
"""Scores of what is seldom more than a slip of the hand: they come last."""


class Reason(NamedTuple):
    """One thing that speaks against a label; ``score``, 0 to 1, ranks and is no probability."""

    kind: str
    class_name: str
    score: float
    words: str
    box: tuple[int, int, int, int] | None = None
    """Top, left, height and width of the place in question."""
    twin: int | None = None
    """The near-duplicate that is labelled otherwise."""


class AuditedStrip(NamedTuple):
    """A suspicious strip, with its reasons, the worst first; its score is that of the worst."""

    row: int
    name: str
    score: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found: the suspicious strips in order, and how many were looked at how."""

    dataset: Dataset
    strips: tuple[AuditedStrip, ...]
    judged: int | None
    """Strips of which the run had an opinion; None without a run."""
    notes: tuple[str, ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many strips are suspected for each kind of reason."""
        return Counter(kind for strip in self.strips for kind in {r.kind for r in strip.reasons})

    def text(self) -> str:
        """What was found, in a few lines."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.counts.items()))
        lines = [
            f"{len(self.strips)} of {len(self.dataset)} strips are worth a look"
            + (f": {kinds}" if kinds else "")
        ]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])


def audit(
    data: Path,
    out: Path,
    *,
    run: Path | None = None,
    most: int = 100,
    to: str | None = None,
    on_error: Literal["stop", "skip"] = "stop",
) -> Audit:
    """Look for wrong labels in a data set; write ``audit.html``, ``suspects.csv``, ``audit.json``.

    Near-duplicates that are labelled otherwise, masks of odd size, specks, slivers and pinholes
    are found in the labels alone. With a finished ``run`` of this data set, labels are laid beside
    what its networks said out of fold; strips that taught all of them are not judged. The page
    shows the first ``most`` strips. With ``to`` those are also written as a data set in that
    format of annotations, into ``relabel_FORMAT`` of the folder, to be opened in its program.

    Raises what `open_dataset`, `StoredOutputs` and `steelscan.formats.convert` raise.
    """
    from steelscan.analysis.audit.page import write_page

    wanted = None if to is None else format_named("--to", to)
    check_apart(out, folders_read(data))
    dataset = open_dataset(data, on_error)
    relabel = output_folder(out) / f"relabel_{to}"
    if wanted is not None and relabel.exists():
        raise OutputError(relabel, "is here already", "Remove it, or name another --out")
    answers = None if run is None else _stored(run, dataset)
    reasons: defaultdict[int, list[Reason]] = defaultdict(list)
    found = [_of_forms(dataset), _of_copies(dataset)]
    if answers is not None:
        found.append(_of_answers(dataset, answers))
    for each in found:
        for row, reason in each:
            reasons[row].append(reason)
    strips = tuple(_ranked(dataset, reasons))
    judged = None if answers is None else len(answers.rows)
    audited = Audit(dataset, strips, judged, tuple(_notes(dataset, judged)))
    columns = ("rank", "image", "class", "kind", "score", "reason")
    write_rows(out / "suspects.csv", columns, _rows(strips))
    write_json(out / "audit.json", _as_json(audited))
    write_page(out / "audit.html", audited, answers, most)
    if to is not None and strips:
        names = {strip.name for strip in strips[:most]}
        convert(data, relabel, to, on_error=on_error, only=names)
    return audited


def _stored(run: Path, dataset: Dataset) -> "StoredOutputs":
    from steelscan.pipeline import StoredOutputs

    return StoredOutputs(RunFolder(run), dataset)


def _ranked(dataset: Dataset, reasons: Mapping[int, Sequence[Reason]]) -> list[AuditedStrip]:
    strips = []
    for row, each in reasons.items():
        worst = tuple(sorted(each, key=lambda reason: -reason.score))
        strips.append(AuditedStrip(row, dataset.names[row], worst[0].score, worst))

    def place(strip: AuditedStrip) -> tuple[list[float], str]:
        # Of copies that differ both are suspected alike: what the networks say then decides.
        return [-each.score for each in strip.reasons], strip.name

    return sorted(strips, key=place)


def _of_forms(dataset: Dataset) -> Iterator[tuple[int, Reason]]:
    """What is odd in the masks by themselves."""
    names = dataset.classes.names
    areas = np.zeros(dataset.present.shape, np.int64)
    for row in track(range(len(dataset)), "Looking at masks", len(dataset)):
        if not dataset.present[row].any():
            continue
        for at, mask in enumerate(dataset.masks(row)):
            areas[row, at] = np.count_nonzero(mask)
            if not areas[row, at]:
                continue
            small = [hole for hole in holes(mask) if hole.pixels < SPECK]
            for kind, parts, words in (
                ("speck", specks(mask), f"of under {SPECK} pixels in its mask"),
                ("sliver", slivers(mask), "one pixel wide in its mask"),
                ("pinhole", small, f"of under {SPECK} pixels in its mask"),
            ):
                if parts:
                    plural = "" if len(parts) == 1 else "s"
                    told = f"class {names[at]} has {len(parts)} {kind}{plural} {words}"
                    yield row, Reason(kind, names[at], _FORMS[kind], told, parts[0][1:])
    scores = odd_sizes(areas)
    for row, at in np.argwhere(np.abs(scores) >= ODD).tolist():
        size, usual = int(areas[row, at]), int(np.median(areas[areas[:, at] > 0, at]))
        far = float(scores[row, at])
        more = "large" if far > 0 else "small"
        told = f"class {names[at]} is oddly {more}: {size} pixels, {usual} are usual"
        yield row, Reason("odd size", names[at], min(0.5, abs(far) / (4 * ODD)), told)


def _of_copies(dataset: Dataset) -> Iterator[tuple[int, Reason]]:
    """Near-duplicates that are labelled otherwise; both strips are suspected."""
    names = dataset.classes.names
    for each in label_differences(near_pairs(dataset), dataset.masks):
        name = names[each.class_index]
        rows, pixels = (each.one, each.other), each.pixels
        for row, twin, own, others in (
            (*rows, *pixels),
            (*reversed(rows), *reversed(pixels)),
        ):
            told = f"class {name} covers {own} pixels here, {others} of the same steel on "
            told += dataset.names[twin]
            if own and others:
                told += f", and elsewhere (Dice {each.dice:.2f})"
            score = _OF_COPIES * (1 - each.dice)
            yield row, Reason("copies differ", name, score, told, None, twin)


def _of_answers(dataset: Dataset, answers: "StoredOutputs") -> Iterator[tuple[int, Reason]]:
    """What the networks of a run contradict."""
    rows = answers.rows.tolist()
    regions = [
        regions_of(answers.pixel_probabilities(row), answers.masks(row), dataset.masks(row))
        for row in track(rows, "Laying labels beside predictions", len(rows))
    ]
    for row, told in zip(rows, contradictions(regions), strict=True):
        for each in told:
            yield row, _in_words(each, dataset.classes.names)


def _in_words(each: Contradiction, names: Sequence[str]) -> Reason:
    name = names[each.class_index]
    top, left, height, width = each.box
    place = f"{height}x{width} pixels at row {top}, column {left}"
    match each.kind:
        case "missed":
            words = f"class {name} is not labelled, and found with {each.probability:.2f}: {place}"
        case "denied":
            words = f"class {name} is labelled, and at most {each.probability:.2f} found: {place}"
        case "other class":
            found = names[each.rival] if each.rival is not None else ""
            words = f"labelled {name}, and found as {found} with {each.probability:.2f}: {place}"
        case "out of place":
            words = (
                f"class {name} is labelled and found, but elsewhere (Dice {each.probability:.2f})"
            )
    return Reason(each.kind, name, each.score, words, each.box)


def _notes(dataset: Dataset, judged: int | None) -> Iterator[str]:
    for name, reason in dataset.skipped:
        yield f"left out {name}: {reason}"
    if judged is None:
        yield "No run was given: only what the labels say of themselves was looked at."
    elif judged < len(dataset):
        yield (
            f"The run judged {judged} of {len(dataset)} strips; the others taught its networks. A "
            "recipe whose folds all validate judges every strip."
        )


def _rows(strips: Sequence[AuditedStrip]) -> Iterator[tuple[object, ...]]:
    for rank, strip in enumerate(strips, start=1):
        for each in strip.reasons:
            score = f"{each.score:.4f}"
            yield rank, strip.name, each.class_name, each.kind, score, each.words


def _as_json(found: Audit) -> dict[str, object]:
    return {
        "strips": len(found.dataset),
        "suspected": len(found.strips),
        "judged": found.judged,
        "counts": dict(sorted(found.counts.items())),
        "notes": list(found.notes),
    }
