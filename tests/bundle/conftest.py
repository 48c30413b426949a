"""A finished run whose networks find planted patches, its strips, and its bundle.

Each class is a pattern on grey steel. Nothing is trained: the networks are random, and the last
layer of each is solved for by least squares, so that it predicts the patterns. What is found, and
by what margin, is known before a test runs, on any processor.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from steelscan.pipeline import Outcome

if TYPE_CHECKING:
    from steelscan.recipes import Recipe
    from steelscan.strip import Masks, Picture

FRAME = (64, 160)
PATCH = (24, 32)
PATTERNS = (
    np.full(PATCH, 255),
    np.zeros(PATCH),
    np.tile(np.repeat([0, 255], 4), (PATCH[0], PATCH[1] // 8)),
)
"""White, black, and stripes; the fourth class is on no strip."""


def planted_strip(number: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A strip ``(height, width)`` and its masks: a patch of class k where bit k - 1 is set."""
    noise = np.random.default_rng(number).normal(0, 2, FRAME)
    picture, masks = np.rint(128 + noise).astype(np.uint8), np.zeros((4, *FRAME), np.bool_)
    top = 8 + 8 * (number % 3)
    for at, pattern in enumerate(PATTERNS):
        if number >> at & 1:
            left = 12 + 48 * at
            place = slice(top, top + PATCH[0]), slice(left, left + PATCH[1])
            picture[place] = pattern
            masks[at][place] = True
    return picture, masks


@pytest.fixture(scope="session")
def strips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of planted strips, four of them clean."""
    from steelscan.strip import encode

    folder = tmp_path_factory.mktemp("planted") / "strips"
    rows, groups = ["ImageId,ClassId,EncodedPixels"], ["image,group"]
    for part, numbers in (("train", range(28)), ("test", range(28, 31))):
        (folder / f"{part}_images").mkdir(parents=True)
        for number in numbers:
            picture, masks = planted_strip(number)
            cv2.imwrite(str(folder / f"{part}_images" / f"{number:03}.png"), picture)
            if part == "train":
                groups.append(f"{number:03}.png,{number}")
                each = enumerate(masks, start=1)
                rows += [f"{number:03}.png,{k},{encode(m)}" for k, m in each if m.any()]
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    (folder / "groups.csv").write_text("\n".join(groups) + "\n")
    (folder / "classes.csv").write_text("value,name\n1,1\n2,2\n3,3\n4,4\n")
    return folder


@pytest.fixture(scope="session")
def plant_networks(strips: Path) -> "Callable[[Recipe, Path], None]":
    """Begins a run on the strips and writes its networks, as if they had been fitted there."""
    import torch

    from steelscan.models import build_network
    from steelscan.pipeline import Options, RunFolder, tasks
    from steelscan.pipeline.train import begin_run
    from steelscan.training.checkpoint import save_network

    def plant(recipe: "Recipe", run: Path) -> None:
        begin_run(RunFolder(run), recipe, strips, Options(device="cpu"))
        for seed, task in enumerate(tasks(recipe, recipe.folds.validation)):
            torch.manual_seed(seed)
            network, _ = build_network(task.member.network, 4)
            _solve_last_layer(network.eval(), task.member.resize)
            folder = RunFolder(run).network(task)
            folder.mkdir(parents=True)
            save_network(folder / "checkpoint.safetensors", network)
            (folder / "metrics.csv").write_text("stage,epoch,loss,score\n0,0,0.5,0.5\n")

    return plant


def _solve_last_layer(network: Any, resize: Any) -> None:
    """Make a network predict the patterns.

    Logits of masks are -32 and 32: steep edges, so that pixels near a threshold are few. Those of
    classes are -3 and 3: clear of the gate, and with room for a fault to show.
    """
    import torch

    from steelscan.data import pad, padded_frame, resize_picture
    from steelscan.strip import Frame

    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    last = [module for module in network.modules() if isinstance(module, kinds)][-1]
    given: list[torch.Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0][0].double()))
    features, wanted = [], []
    for number in range(24):
        picture, masks = planted_strip(number)
        frame = resize.frame(Frame(*FRAME)) if resize else Frame(*FRAME)
        seen = pad(resize_picture(picture, frame), padded_frame(frame))
        with torch.no_grad():
            network(torch.from_numpy(seen.copy())[None, None])
        maps = given.pop().numpy()
        features.append(maps.reshape(len(maps), -1).T)
        if maps.ndim == 1:
            wanted.append(masks.any((1, 2))[None].astype(float))
            logit = 3.0
        else:
            size = maps.shape[2], maps.shape[1]
            shares = [
                cv2.resize(m.astype(float), size, interpolation=cv2.INTER_AREA) for m in masks
            ]
            wanted.append(np.stack(shares).reshape(4, -1).T)
            logit = 32.0
    hook.remove()
    weights, biases = zip(
        *(_line(np.concatenate(features), shares, logit) for shares in np.concatenate(wanted).T),
        strict=True,
    )
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(np.stack(weights)).reshape(last.weight.shape))
        last.bias.copy_(torch.tensor(biases))


def _line(
    features: NDArray[np.float64], shares: NDArray[np.float64], logit: float
) -> tuple[NDArray[np.float64], float]:
    """Weights and bias that tell places with a pattern, of share 1, from those without."""
    inside, outside = shares == 1, shares == 0
    if not inside.any():
        return np.zeros(features.shape[1]), -logit
    weighed = inside / inside.sum() + outside / outside.sum()
    weighed /= weighed.sum()
    target = logit * (2 * shares - 1)
    middle, mean = weighed @ features, weighed @ target
    centred = features - middle
    square = (centred * weighed[:, None]).T @ centred
    square += np.eye(len(square)) * 1e-4 * np.trace(square) / len(square)
    weights = np.linalg.solve(square, (centred * weighed[:, None]).T @ (target - mean))
    return weights, float(mean - middle @ weights)


@pytest.fixture(scope="session")
def finished(
    strips: Path,
    tiny: "Recipe",
    plant_networks: "Callable[[Recipe, Path], None]",
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Outcome]:
    """A finished run of planted networks, and its outcome."""
    from steelscan.pipeline import Options
    from steelscan.pipeline.train import train

    run = tmp_path_factory.mktemp("finished") / "run"
    assert tiny.classify is not None
    by_class = tiny.classify.but(gate="class")
    recipe = tiny.but(steps=(by_class, *tiny.steps[1:]))
    plant_networks(recipe, run)
    return run, train(recipe, strips, run, Options(device="cpu"))


@pytest.fixture(scope="session")
def exported(finished: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the finished run."""
    from steelscan.bundle.export.export import export

    path = tmp_path_factory.mktemp("bundle") / "tiny.steelscan"
    export(finished[0], path)
    return path


@pytest.fixture(scope="session")
def bounds(finished: tuple[Path, Outcome]) -> "Callable[[Picture], tuple[Masks, Masks]]":
    """Gives the least and the most masks of a strip that keep a bundle's promise.

    A bundle's masks are those of its run but at pixels whose probability lies within 1/255 of a
    threshold: the least are those where the run's probabilities are that much lower, the most
    where they are that much higher.
    """
    import torch

    from steelscan.decision import masks_of
    from steelscan.pipeline import RunFolder, open_run

    detector = open_run(RunFolder(finished[0]), torch.device("cpu"))
    rules = detector.decision.last.rules

    def bound(picture: "Picture") -> "tuple[Masks, Masks]":
        found = detector.rule_input(picture)
        lower, higher = np.maximum(found.pixels, 1) - 1, np.minimum(found.pixels, 254) + 1
        least, most = (masks_of(found._replace(pixels=each), rules) for each in (lower, higher))
        return least, most

    return bound


@pytest.fixture(scope="session")
def keeps_promise(
    bounds: "Callable[[Picture], tuple[Masks, Masks]]",
) -> "Callable[[Picture, Masks], bool]":
    """Says whether masks are those of the run, as far as a bundle promises it."""

    def keeps(picture: "Picture", masks: "Masks") -> bool:
        least, most = bounds(picture)
        same_verdict = least.any() == masks.any() == most.any()
        surely = _defects(least, least)
        same_defects = surely != _defects(most, least) or surely == _defects(masks, least)
        between = (least <= masks).all() and (masks <= most).all()
        return bool(same_verdict and same_defects and between)

    return keeps


def _defects(masks: "Masks", least: "Masks") -> list[int]:
    """How many defects of each class there are, but for those that might as well be none."""
    regions = [cv2.connectedComponents(mask.astype(np.uint8))[1] for mask in masks]
    return [len(set(region[sure].tolist())) for region, sure in zip(regions, least, strict=True)]
