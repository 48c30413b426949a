"""What all tests share: where real data lies, when it is there, and networks of shapes alone."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from steelscan.pipeline import Outcome, Recipe

# How long an example takes depends on what else the machine does; it proves nothing here.
settings.register_profile("steelscan", deadline=None)
settings.load_profile("steelscan")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered between processes is remembered away from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real strips: $STEELSCAN_DATA, or shared/data beside the project."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STEELSCAN_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real strips here: {folder} (name their folder in STEELSCAN_DATA)")
    return folder


@pytest.fixture(scope="session")
def only_shapes() -> Callable[[], AbstractContextManager[None]]:
    """Gives a context in which torch computes shapes and no numbers, on its meta device.

    Random weights are not drawn there, and a batch norm compares its channels alone: torch does
    both in Python on that device, and they would be most of the time of a deep network.
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

    class ShapesAlone(TorchFunctionMode):
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
        with torch.device("meta"), ShapesAlone():
            yield

    return shapes


@pytest.fixture(scope="session")
def of_shapes(only_shapes: Callable[[], AbstractContextManager[None]]) -> Callable[[Any], Any]:
    """Gives a network of its own without numbers, for four classes; each is built once."""
    from steelscan.models import build_network, without_weights

    @cache
    def build(spec: Any) -> Any:
        with only_shapes():
            return build_network(without_weights(spec), 4)[0].eval()

    return lambda spec: deepcopy(build(spec))


@pytest.fixture(scope="session")
def strips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small mill of strips."""
    from steelscan.data import Mill, write_mill

    folder = tmp_path_factory.mktemp("mill") / "strips"
    mill = Mill(strips=28, seed=3, height=64, width=160, roll=(1, 3), faint_share=0.0)
    write_mill(mill, folder, test_strips=3)
    return folder


@pytest.fixture(scope="session")
def tiny() -> "Recipe":
    """A recipe that fits the small mill in seconds."""
    from steelscan.data import BalancedDraws, Folds, HFlip, RandomCrop, Shrink, WholeStrip
    from steelscan.evaluation import Tune
    from steelscan.losses import BCE, Dice, Mix
    from steelscan.models import Classifier, Fpn
    from steelscan.pipeline import Classify, Recipe, Segment
    from steelscan.postprocess import MinArea, Threshold
    from steelscan.prediction import Ensemble, Member
    from steelscan.training import AdamW, Cosine, Last, Training

    clear = Training(
        crop=WholeStrip(),
        draws=BalancedDraws(draws=12),
        loss=BCE(),
        optimizer=AdamW(lr=1e-3),
        batch=4,
        epochs=2,
    )
    outline = Training(
        crop=RandomCrop(height=64, width=64, defect=0.8),
        augment=(HFlip(),),
        draws=BalancedDraws(draws=12, clean=0.2),
        loss=Mix(parts=((1.0, BCE()), (1.0, Dice()))),
        optimizer=AdamW(lr=1e-3),
        schedule=Cosine(warmup=0.1),
        batch=4,
        epochs=2,
        keep=Last(),
    )
    classifier = Classifier(encoder="test_resnet", weights="random", dropout=0.1)
    segmenter = Fpn(
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
                        Member(network=classifier, stages=(clear,), resize=Shrink(pixels=64 * 80)),
                    )
                ),
                threshold=0.2,
            ),
            Segment(
                ensemble=Ensemble(
                    members=(Member(network=segmenter, stages=(outline,)),),
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
    """A finished run of both, and what it came to."""
    from steelscan.pipeline import Options, train

    run = tmp_path_factory.mktemp("finished") / "run"
    return run, train(tiny, strips, run, Options(device="cpu"))
