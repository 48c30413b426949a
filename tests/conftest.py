"""What all tests share: real data if present, small data sets and runs, shape-only networks."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from steelscan.pipeline import Outcome
    from steelscan.recipes import Recipe
import csv
import io
import shutil
import zipfile
from importlib import import_module

import numpy as np
from PIL import Image

from steelscan.pipeline import Outcome
from steelscan.prediction import Ensemble
from steelscan.recipes import ConfidentStrips, PseudoLabels, Recipe
from steelscan.strip import encode
from steelscan.training import SuspectStrips

# The time of an example depends on the load of the machine, so there is no deadline.
settings.register_profile("steelscan", deadline=None)
settings.load_profile("steelscan")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the cache of the tests apart from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("STEELSCAN_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real strips: $STEELSCAN_DATA, or shared/data next to the project."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STEELSCAN_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real strips here: {folder} (name their folder in STEELSCAN_DATA)")
    return folder


@pytest.fixture(scope="session")
def only_shapes() -> Callable[[], AbstractContextManager[None]]:
    """Return a context in which torch computes shapes but no numbers, on its meta device.

    Random weights are not drawn, and a batch norm only compares its channels: on that device torch
    does both in Python, which would take most of the time of a deep network.
    """
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    draws = {
        nn.init.normal_,
        nn.init.trunc_normal_,
        nn.init.uniform_,
        nn.init.kaiming_normal_,
        nn.init.kaiming_uniform_,
        nn.init.xavier_uniform_,
        Tensor.normal_,
        Tensor.uniform_,
    }

    class ShapesOnly(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, _: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            named = named or {}
            if function in draws:
                return arguments[0] if arguments else named["tensor"]
            if function is functional.batch_norm:
                planes, mean = arguments[:2]
                assert planes.shape[1] == len(mean)
                return planes
            return function(*arguments, **named)

    @contextmanager
    def shapes() -> Iterator[None]:
        with torch.device("meta"), ShapesOnly():
            yield

    return shapes


@pytest.fixture(scope="session")
def of_shapes(only_shapes: Callable[[], AbstractContextManager[None]]) -> Callable[[Any], Any]:
    """Return a function that builds shape-only networks for four classes, each once."""
    from steelscan.models import build_network, without_weights

    @cache
    def build(spec: Any) -> Any:
        with only_shapes():
            return build_network(without_weights(spec), 4)[0].eval()

    return lambda spec: deepcopy(build(spec))


@pytest.fixture(scope="session")
def strips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small data set of synthetic strips."""
    from steelscan.mill import Mill, write_mill

    folder = tmp_path_factory.mktemp("mill") / "strips"
    mill = Mill(strips=28, seed=3, height=64, width=160, roll=(1, 3), faint_share=0.0)
    write_mill(mill, folder, test_strips=3)
    return folder


@pytest.fixture(scope="session")
def tiny() -> "Recipe":
    """Return a recipe that trains on the small data set in seconds."""
    from steelscan.augment import HFlip
    from steelscan.data import Folds, RandomCrop, Shrink, WholeStrip
    from steelscan.evaluation.tuning import Tune
    from steelscan.losses import BCE, Dice, Mix
    from steelscan.models import FPN, Classifier
    from steelscan.postprocess import MinArea, Threshold
    from steelscan.prediction import Ensemble, Member
    from steelscan.recipes import Classify, Recipe, Segment
    from steelscan.training import AdamW, BalancedSampler, Cosine, Last, Training

    classify = Training(
        crop=WholeStrip(),
        sampler=BalancedSampler(samples=12),
        loss=BCE(),
        optimizer=AdamW(lr=1e-3),
        batch=4,
        epochs=2,
    )
    segment = Training(
        crop=RandomCrop(height=64, width=64, defect=0.8),
        augment=(HFlip(),),
        sampler=BalancedSampler(samples=12, clean=0.2),
        loss=Mix(parts=((1.0, BCE()), (1.0, Dice()))),
        optimizer=AdamW(lr=1e-3),
        schedule=Cosine(warmup=0.1),
        batch=4,
        epochs=2,
        keep=Last(),
    )
    classifier = Classifier(encoder="test_resnet", weights="random", dropout=0.1)
    segmenter = FPN(
        encoder="test_resnet",
        weights="random",
        pyramid_channels=32,
        segmentation_channels=32,
    )
    return Recipe(
        name="tiny",
        folds=Folds(count=4, validation=(0, 1), holdout=(3,)),
        steps=(
            Classify(
                ensemble=Ensemble(
                    members=(
                        Member(
                            network=classifier, stages=(classify,), resize=Shrink(pixels=64 * 80)
                        ),
                    )
                ),
                threshold=0.2,
            ),
            Segment(
                ensemble=Ensemble(
                    members=(Member(network=segmenter, stages=(segment,)),),
                    views=("identity", "hflip"),
                )
            ),
            Threshold(),
            MinArea(pixels=4),
        ),
        tune=Tune(positives=3),
    )


@pytest.fixture(scope="session")
def finished(
    strips: Path, tiny: "Recipe", tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, "Outcome"]:
    """Train the tiny recipe on the strips; return the run and its outcome."""
    from steelscan.pipeline import Options
    from steelscan.pipeline.train import train

    run = tmp_path_factory.mktemp("finished") / "run"
    return run, train(tiny, strips, run, Options(device="cpu"))


Save = Callable[..., bytes]
BuildSet = Callable[..., Path]


@pytest.fixture(scope="session")
def save() -> Save:
    """Encode an array as a picture file."""

    def save(array: np.ndarray, form: str = "PNG", mode: str | None = None, **how: object) -> bytes:
        image = Image.fromarray(array)
        file = io.BytesIO()
        (image.convert(mode) if mode else image).save(file, form, **how)
        return file.getvalue()

    return save


@pytest.fixture(scope="session")
def strip_picture() -> Callable[[int], np.ndarray]:
    """Return a function that makes textured pictures, by default 24x40."""

    def strip_picture(seed: int, height: int = 24, width: int = 40) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.integers(40, 200, (height, width)).astype(np.uint8)

    return strip_picture


def index_mask(number: int) -> np.ndarray:
    """Return the index mask of a strip: clean if its number is a multiple of 3."""
    mask = np.zeros((24, 40), np.uint8)
    if number % 3:
        mask[2:6, 3 + number : 9 + number] = number % 3
    if number % 4 == 1:
        mask[0, 39] = 2
    return mask


@pytest.fixture
def competition(tmp_path: Path, save: Save, strip_picture: Callable[[int], np.ndarray]) -> BuildSet:
    """Build a competition folder of some strips with two classes."""

    def build(layout: str = "columns", strips: int = 8, tests: int = 2) -> Path:
        root = tmp_path / f"competition-{layout}"
        (root / "train_images").mkdir(parents=True)
        (root / "test_images").mkdir()
        rows = []
        for number in range(strips):
            name = f"s{number}.jpg"
            picture = save(strip_picture(number), "JPEG", "RGB", quality=95)
            (root / "train_images" / name).write_bytes(picture)
            texts = [encode(index_mask(number) == value) for value in (1, 2)]
            rows += [
                [f"{name}_{at}", text] if layout == "joined" else [name, at, text]
                for at, text in enumerate(texts, start=1)
                if text or layout == "joined"
            ]
        for number in range(tests):
            picture = save(strip_picture(100 + number), "JPEG")
            (root / "test_images" / f"t{number}.jpg").write_bytes(picture)
        head = ["ImageId_ClassId"] if layout == "joined" else ["ImageId", "ClassId"]
        with (root / "train.csv").open("w", newline="") as file:
            csv.writer(file).writerows([[*head, "EncodedPixels"], *rows])
        return root

    return build


@pytest.fixture
def indexed(tmp_path: Path, save: Save, strip_picture: Callable[[int], np.ndarray]) -> BuildSet:
    """Build a folder of pictures and index masks."""

    def build(strips: int = 8) -> Path:
        root = tmp_path / "indexed"
        (root / "images").mkdir(parents=True)
        (root / "masks").mkdir()
        for number in range(strips):
            (root / "images" / f"s{number}.jpg").write_bytes(save(strip_picture(number), "JPEG"))
            (root / "masks" / f"s{number}.png").write_bytes(save(index_mask(number)))
        (root / "classes.csv").write_text("value,name\n1,scratch\n2,hole\n")
        return root

    return build


@pytest.fixture(scope="session")
def zipped() -> Callable[..., Path]:
    """Pack a folder as a zip, optionally below a top folder, in any order."""

    def zipped(folder: Path, top: str = "", backwards: bool = False) -> Path:
        path = folder.with_name(f"{folder.name}-{top}{backwards}.zip")
        files = sorted((file for file in folder.rglob("*") if file.is_file()), reverse=backwards)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for file in files:
                name = file.relative_to(folder).as_posix()
                out.write(file, f"{top}/{name}" if top else name)
                if top:
                    out.writestr(f"__MACOSX/{top}/._{file.name}", b"Mac")
        return path

    return zipped


@pytest.fixture(scope="session")
def rounds(tiny: Recipe) -> Recipe:
    """Return a recipe with two pseudo-label rounds; it segments strips the classifier suspects."""
    assert tiny.classify is not None
    (classifier,), (segmenter,) = tiny.classify.ensemble.members, tiny.segment.ensemble.members
    classifier = classifier.but(stages=tuple(s.but(pseudo=0.0) for s in classifier.stages))
    strips = SuspectStrips(above=0.3)
    stages = (stage.but(pseudo=0.4, strips=strips) for stage in segmenter.stages)
    segmenter = segmenter.but(stages=tuple(stages))
    return tiny.but(
        name="rounds",
        steps=(
            tiny.classify.but(ensemble=Ensemble(members=(classifier,))),
            tiny.segment.but(ensemble=Ensemble(members=(segmenter,))),
            *tiny.rules,
        ),
        pseudo_labels=PseudoLabels(rounds=2, rule=ConfidentStrips(margin=0.0)),
    )


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the report page of a run: a quarter of the time of these small runs."""
    module = import_module("steelscan.pipeline.train")
    monkeypatch.setattr(module, "report_run", lambda *_: None)


@pytest.fixture(scope="module")
def ray_of_two() -> Iterator[None]:
    """A Ray of this machine with two cores, to which tests connect."""
    import ray

    from steelscan.strip.cluster import connect

    connect(None, 2)
    yield
    ray.shutdown()


@pytest.fixture
def fitted(finished: tuple[Path, Outcome], strips: Path) -> Callable[[Recipe, Path], None]:
    """Return a function that starts a run with the networks of the finished one."""
    from steelscan.pipeline import Options, RunFolder
    from steelscan.pipeline.train import begin_run

    def begin(recipe: Recipe, run: Path) -> None:
        begin_run(RunFolder(run), recipe, strips, Options(device="cpu"))
        shutil.copytree(finished[0] / "networks", run / "networks")

    return begin


@pytest.fixture(scope="session")
def write_bundle() -> Callable[..., Any]:
    """Writes a bundle with a certificate that fits it: what anyone can do who has no key.

    Called as `steelscan.bundle.package.write_package`; further fields are those of the certificate.
    """
    from steelscan.bundle import Certificate, certified, write_package
    from steelscan.bundle.package import CERTIFICATE
    from steelscan.bundle.proof import LIMITS, Parity
    from steelscan.bundle.proof.records import read_json_lines

    def records(contents: Mapping[str, bytes]) -> list[Any]:
        try:
            return read_json_lines(contents.get("expected.jsonl", b""))
        except ValueError:
            return []

    def write(path: Path, manifest: Any, contents: Mapping[str, bytes], **fields: Any) -> Any:
        every = records(contents)
        parity = Parity(
            strips=len(every),
            defective=sum(any(each.masks) for each in every),
            flipped=(),
            iou=1.0,
            class_ious=(),
            changed=(),
            difference=0.0,
            nearest=0.0,
        )
        if CERTIFICATE in contents:
            certificate = Certificate.model_validate_json(contents[CERTIFICATE])
        else:
            certificate = Certificate(
                made="now",
                steelscan="0",
                code="",
                run="",
                data="",
                weights={},
                runtime={},
                precision=manifest.precision,
                limits=LIMITS[manifest.precision],
                parity=parity,
                included_strips=sum(name.startswith("strips/") for name in contents),
            )
        certificate = certificate.but(**fields)
        return write_package(path, manifest, certified(manifest, contents, certificate))

    return write
