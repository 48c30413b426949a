"""Strips whose labels are worth a second look, the most suspicious first."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, InstanceOf

from steelscan.analysis.audit.contradiction import Contradiction, contradictions, regions_of
from steelscan.data import Dataset
from steelscan.explore import Suspect, explored_dataset, find_suspects, measure
from steelscan.strip import track

if TYPE_CHECKING:
    from steelscan.pipeline import StoredOutputs


@dataclass(frozen=True)
class AuditedStrip:
    """A suspicious strip; its score is that of its first reason, the highest.

    Rows of the data set are meant by ``row``, and by the indices of strips in the reasons.
    """

    row: int
    name: str
    score: float
    reasons: tuple[Suspect, ...]


class Audit(BaseModel):
    """The suspicious strips of a data set, and how many strips were checked how."""

    model_config = ConfigDict(frozen=True)

    dataset: InstanceOf[Dataset] = Field(exclude=True, repr=False)
    suspects: tuple[AuditedStrip, ...] = Field(exclude=True, repr=False)

    strips: int
    suspected: int
    evaluated: int | None
    """Strips with out-of-fold predictions; None without a run."""

    counts: dict[str, int]
    """Suspected strips per kind of reason."""

    notes: tuple[str, ...]


def audit_labels(dataset: Dataset, outputs: "StoredOutputs | None" = None) -> Audit:
    """Search a data set for wrong labels.

    The rules of `find_suspects` need only the labels. With the ``outputs`` of a finished run,
    labels are also compared with its out-of-fold predictions; strips that all its networks were
    trained on have none. Raises PictureError.
    """
    reasons: defaultdict[int, list[Suspect]] = defaultdict(list)
    data = explored_dataset(dataset)
    from_labels = find_suspects(data, measure(data))
    for each in (*from_labels, *(_from_predictions(dataset, outputs) if outputs else ())):
        reasons[each.strip].append(each)
    suspects = _ranked(dataset, reasons)
    evaluated = None if outputs is None else len(outputs.rows)
    kinds = Counter(
        kind for strip in suspects for kind in {reason.kind for reason in strip.reasons}
    )
    return Audit(
        dataset=dataset,
        suspects=suspects,
        strips=len(dataset),
        suspected=len(suspects),
        evaluated=evaluated,
        counts=dict(sorted(kinds.items())),
        notes=tuple(_notes(dataset, evaluated)),
    )


def _from_predictions(dataset: Dataset, outputs: "StoredOutputs") -> Iterator[Suspect]:
    rows = outputs.rows.tolist()
    regions = [
        regions_of(outputs.pixel_probabilities(row), outputs.masks(row), dataset.masks(row))
        for row in track(rows, "Comparing labels with predictions", len(rows))
    ]
    for row, of_strip in zip(rows, contradictions(regions), strict=True):
        for each in of_strip:
            yield _suspect(each, dataset, row)


def _suspect(each: Contradiction, dataset: Dataset, row: int) -> Suspect:
    names = dataset.classes.names
    name = names[each.class_index]
    top, left, height, width = each.box
    place = f"{height}x{width} pixels at row {top}, column {left}"
    p = f"p = {each.probability:.2f}"
    match each.kind:
        case "missed":
            text = f"class {name} is predicted with {p} but not labelled: {place}"
        case "denied":
            text = f"class {name} is labelled but predicted with at most {p}: {place}"
        case "other class":
            rival = names[each.rival] if each.rival is not None else ""
            text = f"class {name} is labelled, class {rival} is predicted with {p}: {place}"
        case "out of place":
            text = (
                f"class {name} is labelled and predicted, but at different places "
                f"(Dice {each.probability:.2f})"
            )
    image = dataset.names[row]
    return Suspect(each.kind, image, row, each.class_index, name, each.score, text, each.box)


def _ranked(dataset: Dataset, reasons: Mapping[int, Sequence[Suspect]]) -> tuple[AuditedStrip, ...]:
    strips = []
    for row, unsorted in reasons.items():
        ranked = tuple(sorted(unsorted, key=lambda reason: -reason.score))
        strips.append(AuditedStrip(row, dataset.names[row], ranked[0].score, ranked))
    # Two near-duplicates that differ have equal first scores: the next reasons decide.
    strips.sort(key=lambda strip: ([-reason.score for reason in strip.reasons], strip.name))
    return tuple(strips)


def _notes(dataset: Dataset, evaluated: int | None) -> Iterator[str]:
    for name, reason in dataset.skipped:
        yield f"left out {name}: {reason}"
    if evaluated is None:
        yield "Without a run, the labels are not compared with predictions."
    elif evaluated < len(dataset):
        yield (
            f"The run has out-of-fold predictions for {evaluated} of {len(dataset)} strips; its "
            "networks were trained on the others. A recipe whose folds are all validation folds "
            "has predictions for every strip."
        )
