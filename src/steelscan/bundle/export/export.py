"""Write a finished run as one bundle, proven against the networks of the run."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import torch
from pydantic import ValidationError

import steelscan
from steelscan.bundle import (
    Bundle,
    Certificate,
    EarlyExit,
    Format,
    Graph,
    Manifest,
    Package,
    certified,
    never_predicted,
    private_key,
    write_package,
)
from steelscan.bundle.export.card import card_of
from steelscan.bundle.export.early_exit import find_early_exit
from steelscan.bundle.export.graphs import exportable, to_onnx
from steelscan.bundle.proof import (
    ESCAPES,
    LIMITS,
    Expected,
    Parity,
    margin_of,
    prove,
    record,
    runtime_versions,
    to_json_lines,
)
from steelscan.data import Dataset
from steelscan.decision import (
    Detector,
    GivenOutputs,
    masks_of,
)
from steelscan.pipeline import RunFolder, StoredOutputs, check_independent, open_run
from steelscan.prediction import LogitMean, Mean, TorchModel, kind_for
from steelscan.strip import Picture, track
from steelscan.strip.errors import BundleError, InputError, RunError

_REFERENCES = 4
"""Strips that a bundle contains."""


@dataclass(frozen=True)
class Exported:
    """The written bundle, and the result of its proof."""

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

    The proof uses strips that evaluated the run (``data``: their data set; None: the one it was
    trained with): one half are those nearest to a threshold, the other half are drawn at random.
    ``thresholds`` is a file that `steelscan.analysis.tune.tune_run` wrote for this run. With an
    ``escape_budget``, a share of the defective strips, an early exit is set that adds no more
    escapes. ``sign`` is a file with a private key.

    Raises BundleError if the bundle decides otherwise (nothing is written then), RunError for a
    run that is not finished, or with an ``escape_budget`` if it has pseudo-labels from the networks
    of all folds, DatasetError if its strips are missing, InputError for impossible numbers and for
    a file without a key, MissingPartError, OutputError.
    """
    _check_numbers(mm_per_pixel, escape_budget)
    key = None if sign is None else private_key(sign)
    folder = RunFolder(run)
    if escape_budget is not None:
        check_independent(folder, "Leave out --escape-budget, or use")
    detector = open_run(folder, torch.device("cpu"), thresholds)
    dataset = folder.open_data(data)
    manifest, graphs = _networks(folder, detector, dataset, written_for, mm_per_pixel)
    rows = _chosen(folder, dataset, manifest, strips)
    expected = [
        _expected(detector, dataset, row)
        for row in track(rows, "Predicting with the run", len(rows))
    ]
    early = None
    if escape_budget is not None:
        early = find_early_exit(folder, detector.decision, dataset, escape_budget)
        manifest = _with_early_exit(manifest, early)
    pictures = {dataset.names[row]: dataset.picture(row) for row in rows}
    package = Package(manifest, graphs)
    parity = prove(Bundle(package), [(each, pictures[each.name]) for each in expected])
    failures = parity.failures(LIMITS[manifest.precision], escape_budget or ESCAPES)
    if failures:
        raise BundleError(run, f"was not packaged: {'; '.join(failures)}", "Report this")
    references = _references(expected, pictures)
    contents = {
        **graphs,
        **references,
        "expected.jsonl": to_json_lines(expected),
        "card.md": card_of(folder, manifest, parity, thresholds, early).encode(),
    }
    certificate = _certificate(folder, dataset, parity, manifest, len(references), early)
    package = write_package(out, manifest, certified(manifest, contents, certificate, key))
    return Exported(out, package, parity, out.stat().st_size, early)


def _check_numbers(mm_per_pixel: float | None, escape_budget: float | None) -> None:
    """Raise InputError for impossible numbers."""
    if mm_per_pixel is not None and not 1e-6 <= mm_per_pixel <= 1e4:
        remedy = "Give the size of a pixel in millimetres, from 0.000001 to 10000"
        raise InputError("--mm-per-pixel", f"is {mm_per_pixel}", remedy)
    if escape_budget is not None and not 0 <= escape_budget < 1:
        raise InputError("--escape-budget", f"is {escape_budget}", "Give a share such as 0.005")


def _chosen(run: RunFolder, dataset: Dataset, manifest: Manifest, count: int) -> list[int]:
    """Return strips that evaluated a run: one half are those nearest to a threshold."""
    stored = StoredOutputs(run, dataset)
    rows = stored.rows
    if len(rows) <= count:
        return [int(row) for row in rows]
    classes = len(manifest.classes)
    margins = [
        margin_of(manifest.decision, stored.outputs(row), classes, dataset.frames[row])
        for row in track(rows.tolist(), "Looking for strips near a threshold", len(rows))
    ]
    order = rows[np.argsort(margins, kind="stable")]
    near, others = order[: count // 2], order[count // 2 :]
    drawn = np.random.default_rng(0).choice(others, count - len(near), replace=False)
    return [int(row) for row in (*near, *sorted(drawn))]


def _expected(detector: Detector, dataset: Dataset, row: int) -> Expected:
    """Return the record of the run's masks and outputs for a strip."""
    picture = dataset.picture(row)
    outputs = detector.predict_steps(picture)
    given = GivenOutputs(outputs)
    masks = masks_of(detector.rule_input(picture, given), detector.decision.last.rules)
    margin = margin_of(detector.decision, given, detector.classes, dataset.frames[row])
    return record(dataset.names[row], picture, masks, outputs, margin)


def _networks(
    run: RunFolder,
    detector: Detector,
    dataset: Dataset,
    written_for: Format,
    mm_per_pixel: float | None,
) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest of a run, and its networks as files."""
    recipe, record_of_run = run.load_recipe().name, run.load_record()
    places = [(step, at) for step, models in detector.models.items() for at in range(len(models))]
    contents: dict[str, bytes] = {}
    graphs: dict[str, tuple[Graph, ...]] = {}
    for name, at in track(places, "Writing networks", len(places)):
        step, model = detector.decision.steps[name], detector.models[name][at]
        assert isinstance(model, TorchModel)
        linear = isinstance(step.average, Mean | LogitMean) and model.tiles is None
        module = exportable(model, step.views, kind_for(step.average), averaged=linear)
        file = f"networks/{name}-{at + 1}.onnx"
        contents[file] = to_onnx(module)
        graphs[name] = (*graphs.get(name, ()), _graph(file, model))
    (height, width), _ = Counter(dataset.frames).most_common(1)[0]
    try:
        manifest = Manifest(
            made_with=steelscan.__version__,
            recipe=recipe,
            classes=record_of_run.classes,
            layout=record_of_run.layout,
            frame=(height, width),
            mm_per_pixel=mm_per_pixel,
            written_for=written_for,
            decision=detector.decision,
            networks=graphs,
            never_predicted=never_predicted(detector.decision, graphs, record_of_run.classes),
        )
    except ValidationError as error:
        problem = f"cannot be deployed: {error.errors()[0]['msg']}"
        raise BundleError(recipe, problem, "Train a recipe within these bounds") from None
    return manifest, contents


def _with_early_exit(manifest: Manifest, early: EarlyExit | None) -> Manifest:
    """Return the manifest with an early exit. Raises RunError if there is none."""
    if early is None:
        problem = "cannot be met: no early exit threshold stays within it and skips a network"
        raise RunError("--escape-budget", problem, "Leave it out, or give a larger one")
    return manifest.but(decision=manifest.decision.with_early_exit(early.value))


def _graph(file: str, model: TorchModel) -> Graph:
    head = model.network.head
    return Graph(
        file=file,
        heads=("masks", "classes") if head == "both" else (head,),
        resize=model.resize,
        classes=model.classes,
        tiles=model.tiles,
        softmax=model.softmax,
        stride=model.network.stride,
    )


def _references(expected: Sequence[Expected], pictures: Mapping[str, Picture]) -> dict[str, bytes]:
    """Return a few strips as PNG, defective ones first."""
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
    included: int,
    early: EarlyExit | None,
) -> Certificate:
    """Return the certificate of a proof: the code, the data, the networks and the result."""
    checkpoints = sorted(run.path.glob("networks/**/checkpoint.safetensors"))
    return Certificate(
        made=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        steelscan=steelscan.__version__,
        code=code_sha256(),
        run=run.digest(),
        data=dataset.fingerprint,
        weights={
            path.parent.relative_to(run.path).as_posix(): _sha256(path.read_bytes())
            for path in checkpoints
        },
        runtime=runtime_versions(),
        precision=manifest.precision,
        limits=LIMITS[manifest.precision],
        parity=parity,
        included_strips=included,
        early=early,
    )


def code_sha256() -> str:
    """Return the hash of the source code of this package."""
    root = Path(steelscan.__file__).parent
    sources = sorted(root.rglob("*.py"))
    return _sha256(
        b"".join(path.relative_to(root).as_posix().encode() + path.read_bytes() for path in sources)
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
