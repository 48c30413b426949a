"""A finished run as one bundle, proven against the networks of the run."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

import steelscan
from steelscan.bundle.card import card_of
from steelscan.bundle.early import EarlyExit, find_early
from steelscan.bundle.graphs import exportable, to_onnx, to_openvino, to_torchscript
from steelscan.bundle.package import Package, write_package
from steelscan.bundle.parity import LIMITS, Expected, Margins, Parity, lines, record
from steelscan.bundle.runtime import Bundle
from steelscan.bundle.specs import Deployed, Format, Graph, Judge, Manifest, Outline, Precision
from steelscan.bundle.verify import prove, runtime_versions
from steelscan.data import Dataset, open_dataset
from steelscan.pipeline import (
    Classify,
    Predictor,
    RunFolder,
    Segment,
    StoredAnswers,
    consult,
    decide,
    mark,
)
from steelscan.prediction import LogitMean, Mean, Voter, sort_for
from steelscan.strip import BundleError, Frame, Picture, RunError, track

_WRITTEN: Mapping[Format, Callable[[nn.Module], bytes]] = {
    "onnx": to_onnx,
    "openvino": lambda module: to_openvino(to_onnx(module)),
    "torchscript": to_torchscript,
}

_REFERENCES = 4
"""Strips that a bundle brings along."""


@dataclass(frozen=True)
class Exported:
    """What was written, and what its proof found."""

    path: Path
    package: Package
    parity: Parity
    bytes: int
    early: EarlyExit | None


def export(
    run: Path,
    out: Path,
    *,
    data: Path | None = None,
    strips: int = 100,
    written_for: Format = "onnx",
    thresholds: Path | None = None,
    mm_per_pixel: float | None = None,
    escape_budget: float | None = None,
) -> Exported:
    """Write a run as a bundle, after a proof that it decides as the run's networks do.

    The proof is made on strips that judged the run (``data``: where they lie; None: where they lay
    when it was trained): half of them those nearest to a threshold, half drawn from the others.
    ``thresholds`` is a file that `steelscan.pipeline.tune_run` wrote for this run. With an
    ``escape_budget``, a share of the defective strips, those strips leave early of which the first
    segmenter finds next to nothing, as far as no more escape by it.

    Raises BundleError where the bundle decides otherwise (nothing is written then), RunError for a
    run that is not finished, DatasetError where its strips are not to be found, OutputError.
    """
    folder = RunFolder(run)
    predictor = Predictor.load(folder, torch.device("cpu"), thresholds)
    dataset = _dataset(folder, data)
    rows = _chosen(folder, dataset, strips)
    expected = [
        _expected(predictor, dataset, row) for row in track(rows, "Asking the run", len(rows))
    ]
    manifest, graphs = _networks(predictor, dataset, written_for, mm_per_pixel)
    early = None
    if escape_budget is not None:
        early = find_early(folder, predictor, dataset, escape_budget)
        manifest = _leaving_early(manifest, early)
    pictures = {dataset.names[row]: dataset.picture(row) for row in rows}
    package = Package(manifest, graphs)
    parity = prove(Bundle(package, 1, "cpu"), [(each, pictures[each.name]) for each in expected])
    failures = parity.failures(LIMITS[manifest.precision])
    if failures:
        raise BundleError(run, f"was not packaged: {'; '.join(failures)}", "Report this")
    contents = {
        **graphs,
        **_references(expected, pictures),
        "expected.jsonl": lines(expected),
        "certificate.json": _json(_certificate(folder, dataset, parity, manifest.precision, early)),
        "card.md": card_of(folder, manifest, parity, thresholds, early).encode(),
    }
    package = write_package(out, manifest, contents)
    return Exported(out, package, parity, out.stat().st_size, early)


def _dataset(run: RunFolder, data: Path | None) -> Dataset:
    """The run's data set. Raises DatasetError, RunError where it is another."""
    dataset = open_dataset(
        Path(run.data.read_text(encoding="utf-8").strip()) if data is None else data
    )
    if dataset.fingerprint != run.load_record().fingerprint:
        found = "was made from other data, or from these with other labels"
        raise RunError(run.path, found, "Give --data: the data set that it was trained on")
    return dataset


def _chosen(run: RunFolder, dataset: Dataset, count: int) -> list[int]:
    """Strips that judged a run: half those whose probabilities come nearest to one half."""
    stored = StoredAnswers(run, dataset)
    rows = stored.rows
    if len(rows) <= count:
        return [int(row) for row in rows]
    highest = np.array([int(stored.levels(row).max()) for row in rows.tolist()])
    order = rows[np.argsort(np.abs(highest - 127.5), kind="stable")]
    near, others = order[: count // 2], order[count // 2 :]
    drawn = np.random.default_rng(0).choice(others, count - len(near), replace=False)
    return [int(row) for row in (*near, *sorted(drawn))]


def _expected(predictor: Predictor, dataset: Dataset, row: int) -> Expected:
    picture, classes = dataset.picture(row), len(dataset.classes)
    ask, every = predictor.ask(picture), np.ones(classes, np.bool_)
    said = {name: ask(name, every) for name in predictor.recipe.named}
    margins = Margins(predictor.recipe, lambda name, _: said[name], classes)
    opened = consult(predictor.recipe, margins, classes, Frame(*picture.shape))
    masks = decide(opened, predictor.rules)
    return record(dataset.names[row], picture, masks, said, margins.margin)


def _networks(
    predictor: Predictor,
    dataset: Dataset,
    written_for: Format,
    mm_per_pixel: float | None,
) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest of a run, and its networks as files."""
    recipe = predictor.recipe
    names = [
        (step, f"{number + 1}")
        for step, voters in predictor.voters.items()
        for number in range(len(voters))
    ]
    contents: dict[str, bytes] = {}
    graphs: dict[str, list[Graph]] = {name: [] for name in recipe.named}
    for step, number in track(names, "Writing networks", len(names)):
        ensemble = recipe.named[step].ensemble
        voter = predictor.voters[step][int(number) - 1]
        linear = isinstance(ensemble.average, Mean | LogitMean) and voter.tiles is None
        module = exportable(voter, ensemble.views, sort_for(ensemble.average), averaged=linear)
        file = f"networks/{step}-{number}.{written_for}"
        contents[file] = _WRITTEN[written_for](module)
        graphs[step].append(_graph(file, voter))
    (height, width), _ = Counter(dataset.frames).most_common(1)[0]
    manifest = Manifest(
        made_with=steelscan.__version__,
        recipe=recipe.name,
        classes=predictor.record.classes,
        layout=predictor.record.layout,
        frame=(height, width),
        mm_per_pixel=mm_per_pixel,
        written_for=written_for,
        deployed=_deployed(predictor, graphs),
    )
    return manifest, contents


def _leaving_early(manifest: Manifest, early: EarlyExit | None) -> Manifest:
    """The manifest whose last segmenters may be left out. Raises RunError where that saves none."""
    if early is None:
        found = "finds no level: it has one segmenter, or too many would escape, or none leave"
        raise RunError("--escape-budget", found, "Leave it out, or give more")
    *others, last = manifest.deployed
    outline = last.outline.but(early=early.level)
    return manifest.but(deployed=(*others, last.but(outline=outline)))


def _graph(file: str, voter: Voter) -> Graph:
    head = voter.network.head
    return Graph(
        file=file,
        heads=("masks", "classes") if head == "both" else (head,),
        resize=voter.resize,
        classes=voter.classes,
        tiles=voter.tiles,
        softmax=voter.softmax,
        stride=voter.network.stride,
    )


def _deployed(predictor: Predictor, graphs: Mapping[str, Sequence[Graph]]) -> tuple[Deployed, ...]:
    """The rounds of a recipe as they are deployed, with the rules of the run behind the last."""
    rounds = predictor.recipe.rounds
    deployed = []
    for at, each in enumerate(rounds, start=1):
        judges = tuple(
            Judge(**_asked(name, step, graphs), threshold=step.threshold, gate=step.gate)
            for name, step in each.classifies
        )
        name, segment = each.segment
        outline = Outline(**_asked(name, segment, graphs), gate=segment.gate)
        rules = tuple(predictor.rules) if at == len(rounds) else each.rules
        deployed.append(Deployed(judges=judges, outline=outline, rules=rules))
    return tuple(deployed)


def _asked(
    name: str, step: Classify | Segment, graphs: Mapping[str, Sequence[Graph]]
) -> dict[str, Any]:
    ensemble = step.ensemble
    return {
        "name": name,
        "graphs": tuple(graphs[name]),
        "views": ensemble.views,
        "average": ensemble.average,
    }


def _references(expected: Sequence[Expected], pictures: Mapping[str, Picture]) -> dict[str, bytes]:
    """A few strips as PNG: defective ones first, so that there is something to see."""
    ordered = sorted(expected, key=lambda each: not any(each.masks))[:_REFERENCES]
    return {
        f"strips/{number}.png": bytes(cv2.imencode(".png", pictures[each.name])[1])
        for number, each in enumerate(ordered, start=1)
    }


def _certificate(
    run: RunFolder,
    dataset: Dataset,
    parity: Parity,
    precision: Precision,
    early: EarlyExit | None,
) -> dict[str, Any]:
    """What was held against what, by which code, on which data, and what came of it."""
    predicted = sorted(run.path.glob("networks/**/checkpoint.safetensors"))
    return {
        "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "steelscan": steelscan.__version__,
        "code": code_sha256(),
        "run": mark(run),
        "data": dataset.fingerprint,
        "weights": {
            path.parent.relative_to(run.path).as_posix(): _sha256(path.read_bytes())
            for path in predicted
        },
        "runtime": runtime_versions(),
        "precision": precision,
        "limits": LIMITS[precision].model_dump(),
        "parity": parity.model_dump(),
        "early": None if early is None else early.model_dump(),
    }


def code_sha256() -> str:
    """The hash of the source code of this package."""
    root = Path(steelscan.__file__).parent
    sources = sorted(root.rglob("*.py"))
    return _sha256(
        b"".join(path.relative_to(root).as_posix().encode() + path.read_bytes() for path in sources)
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()
