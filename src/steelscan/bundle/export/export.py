"""A finished run as one bundle, proven against the networks of the run."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pydantic import ValidationError

import steelscan
from steelscan.bundle import (
    Bundle,
    Certificate,
    Deployed,
    EarlyExit,
    Format,
    Graph,
    Judge,
    Manifest,
    Outline,
    Package,
    certified,
    private_key,
    write_package,
)
from steelscan.bundle.export.card import card_of
from steelscan.bundle.export.early_exit import find_early
from steelscan.bundle.export.graphs import exportable, to_onnx
from steelscan.bundle.proof import (
    ESCAPES,
    LIMITS,
    Expected,
    Margins,
    Parity,
    lines,
    prove,
    record,
    runtime_versions,
)
from steelscan.data import Dataset
from steelscan.decision import StepOutput, consult
from steelscan.decision.decide import decide
from steelscan.pipeline import Predictor, RunFolder, StoredOutputs
from steelscan.prediction import LogitMean, Mean, TorchModel, kind_for
from steelscan.recipes import Classify, Segment
from steelscan.strip import BundleError, Classes, Frame, InputError, Picture, RunError, track

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
    sign: Path | None = None,
) -> Exported:
    """Write a run as a bundle, after a proof that it decides as the run's networks do.

    The proof is made on strips that judged the run (``data``: where they lie; None: where they lay
    when it was trained): half of them those nearest to a threshold, half drawn from the others.
    ``thresholds`` is a file that `steelscan.analysis.tune.tune_run` wrote for this run. With an
    ``escape_budget``, a share of the defective strips, those strips leave early of which the first
    segmenter finds next to nothing, as far as no more escape by it. ``sign`` is a file with the
    private key that vouches for it all.

    Raises BundleError where the bundle decides otherwise (nothing is written then), RunError for a
    run that is not finished, DatasetError where its strips are not to be found, InputError for
    numbers out of reason and a key that is none, MissingPartError, OutputError.
    """
    _check_numbers(mm_per_pixel, escape_budget)
    key = None if sign is None else private_key(sign)
    folder = RunFolder(run)
    predictor = Predictor.load(folder, torch.device("cpu"), thresholds)
    dataset = folder.open_data(data)
    manifest, graphs = _networks(predictor, dataset, written_for, mm_per_pixel)
    rows = _chosen(folder, dataset, manifest, strips)
    expected = [
        _expected(predictor, dataset, manifest, row)
        for row in track(rows, "Asking the run", len(rows))
    ]
    early = None
    if escape_budget is not None:
        early = find_early(folder, predictor, dataset, escape_budget)
        manifest = _leaving_early(manifest, early)
    pictures = {dataset.names[row]: dataset.picture(row) for row in rows}
    package = Package(manifest, graphs)
    parity = prove(Bundle(package, 1, "cpu"), [(each, pictures[each.name]) for each in expected])
    failures = parity.failures(LIMITS[manifest.precision], escape_budget or ESCAPES)
    if failures:
        raise BundleError(run, f"was not packaged: {'; '.join(failures)}", "Report this")
    references = _references(expected, pictures)
    contents = {
        **graphs,
        **references,
        "expected.jsonl": lines(expected),
        "card.md": card_of(folder, manifest, parity, thresholds, early).encode(),
    }
    certificate = _certificate(folder, dataset, parity, manifest, len(references), early)
    package = write_package(out, manifest, certified(manifest, contents, certificate, key))
    return Exported(out, package, parity, out.stat().st_size, early)


def _check_numbers(mm_per_pixel: float | None, escape_budget: float | None) -> None:
    """Refuse numbers that no bundle has. Raises InputError."""
    if mm_per_pixel is not None and not 1e-6 <= mm_per_pixel <= 1e4:
        remedy = "Give the millimetres that a pixel shows, from 0.000001 to 10000"
        raise InputError("--mm-per-pixel", f"is {mm_per_pixel}", remedy)
    if escape_budget is not None and not 0 <= escape_budget < 1:
        raise InputError("--escape-budget", f"is {escape_budget}", "Give a share, as 0.005")


def _chosen(run: RunFolder, dataset: Dataset, manifest: Manifest, count: int) -> list[int]:
    """Strips that judged a run: half of them those that come nearest to a threshold."""
    stored = StoredOutputs(run, dataset)
    rows = stored.rows
    if len(rows) <= count:
        return [int(row) for row in rows]
    margins = [
        _margin(manifest, dataset, row, partial(stored.said, row))
        for row in track(rows.tolist(), "Looking for strips near a threshold", len(rows))
    ]
    order = rows[np.argsort(margins, kind="stable")]
    near, others = order[: count // 2], order[count // 2 :]
    drawn = np.random.default_rng(0).choice(others, count - len(near), replace=False)
    return [int(row) for row in (*near, *sorted(drawn))]


def _margin(
    manifest: Manifest, dataset: Dataset, row: int, said: Callable[[str], StepOutput]
) -> float:
    """How far a strip lies from the threshold that decides it, by what is said of it."""
    margins = Margins(manifest, lambda name, _: said(name))
    consult(manifest, margins, len(manifest.classes), dataset.frames[row])
    return margins.margin


def _expected(predictor: Predictor, dataset: Dataset, manifest: Manifest, row: int) -> Expected:
    picture, classes = dataset.picture(row), len(dataset.classes)
    ask, every = predictor.ask(picture), np.ones(classes, np.bool_)
    said = {name: ask(name, every) for name in predictor.recipe.named}
    frame = Frame(*picture.shape)
    opened = consult(predictor.recipe, lambda name, _: said[name], classes, frame)
    masks = decide(opened, predictor.rules)
    margin = _margin(manifest, dataset, row, said.__getitem__)
    return record(dataset.names[row], picture, masks, said, margin)


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
        for step, models in predictor.models.items()
        for number in range(len(models))
    ]
    contents: dict[str, bytes] = {}
    graphs: dict[str, list[Graph]] = {name: [] for name in recipe.named}
    for step, number in track(names, "Writing networks", len(names)):
        ensemble = recipe.named[step].ensemble
        voter = predictor.models[step][int(number) - 1]
        linear = isinstance(ensemble.average, Mean | LogitMean) and voter.tiles is None
        module = exportable(voter, ensemble.views, kind_for(ensemble.average), averaged=linear)
        file = f"networks/{step}-{number}.onnx"
        contents[file] = to_onnx(module)
        graphs[step].append(_graph(file, voter))
    (height, width), _ = Counter(dataset.frames).most_common(1)[0]
    deployed = _deployed(predictor, graphs)
    try:
        manifest = Manifest(
            made_with=steelscan.__version__,
            recipe=recipe.name,
            classes=predictor.record.classes,
            layout=predictor.record.layout,
            frame=(height, width),
            mm_per_pixel=mm_per_pixel,
            written_for=written_for,
            deployed=deployed,
            never_predicted=_never_predicted(predictor.record.classes, deployed),
        )
    except ValidationError as error:
        found = f"is nothing that can be deployed: {error.errors()[0]['msg']}"
        raise BundleError(recipe.name, found, "Train a recipe within these bounds") from None
    return manifest, contents


def _never_predicted(classes: Classes, deployed: Sequence[Deployed]) -> tuple[int, ...]:
    """The ids of classes that the networks of some segmentation step leave out."""
    every, never = set(classes.ids), set[int]()
    for each in deployed:
        known = chain.from_iterable(graph.classes or every for graph in each.outline.graphs)
        never |= every.difference(known)
    return tuple(sorted(never))


def _leaving_early(manifest: Manifest, early: EarlyExit | None) -> Manifest:
    """The manifest whose last segmenters may be left out. Raises RunError where that saves none."""
    if early is None:
        found = "finds no level: it has one segmenter, or too many would escape, or none leave"
        raise RunError("--escape-budget", found, "Leave it out, or give more")
    *others, last = manifest.deployed
    outline = last.outline.but(early=early.level)
    return manifest.but(deployed=(*others, last.but(outline=outline)))


def _graph(file: str, voter: TorchModel) -> Graph:
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
    manifest: Manifest,
    brought: int,
    early: EarlyExit | None,
) -> Certificate:
    """What was held against what, by which code, on which data, and what came of it."""
    predicted = sorted(run.path.glob("networks/**/checkpoint.safetensors"))
    return Certificate(
        made=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        steelscan=steelscan.__version__,
        code=code_sha256(),
        run=run.digest(),
        data=dataset.fingerprint,
        weights={
            path.parent.relative_to(run.path).as_posix(): _sha256(path.read_bytes())
            for path in predicted
        },
        runtime=runtime_versions(),
        precision=manifest.precision,
        limits=LIMITS[manifest.precision],
        parity=parity,
        brought=brought,
        early=early,
    )


def code_sha256() -> str:
    """The hash of the source code of this package."""
    root = Path(steelscan.__file__).parent
    sources = sorted(root.rglob("*.py"))
    return _sha256(
        b"".join(path.relative_to(root).as_posix().encode() + path.read_bytes() for path in sources)
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
