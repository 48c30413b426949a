"""Near-duplicates: altered copies are found, and unrelated strips are left apart."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from steelscan.data import group_strips, open_dataset, read_picture
from steelscan.data.groups import fingerprint, group_pictures, likeness

Alter = Callable[[np.ndarray], np.ndarray]


def recoded(picture: np.ndarray, quality: int = 75) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def lit(picture: np.ndarray, gain: object, offset: float = 0) -> np.ndarray:
    return np.clip(picture * gain + offset, 0, 255).astype(np.uint8)


def moved(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return cv2.warpAffine(picture, matrix, picture.shape[::-1], borderMode=cv2.BORDER_REFLECT)


ALTERATIONS: dict[str, Alter] = {
    "recoded": lambda picture: recoded(picture, 30),
    "darker": lambda picture: recoded(lit(picture, 0.5)),
    "brighter": lambda picture: recoded(lit(picture, 1.4, 20)),
    "lit from one side": lambda picture: recoded(
        lit(picture, np.linspace(0.6, 1.3, picture.shape[1]))
    ),
    "moved": lambda picture: recoded(moved(picture, 4, 16)),
    "cut closer": lambda picture: recoded(picture[3:-4, 10:-20]),
}


@pytest.fixture(scope="module")
def strips(real_data: Path) -> list[np.ndarray]:
    folder = real_data / "severstal"
    paths = [*(folder / "train_images").iterdir(), *(folder / "unlabelled_images").iterdir()]
    return [read_picture(path) for path in sorted(paths)]


def pairs(groups: np.ndarray) -> np.ndarray:
    return groups[:, None] == groups[None, :]


def test_unrelated_strips_stay_apart(strips: list[np.ndarray]) -> None:
    assert group_pictures(strips).tolist() == list(range(len(strips)))


@pytest.mark.parametrize("name", ALTERATIONS)
def test_altered_copies_are_found(strips: list[np.ndarray], name: str) -> None:
    copies = [ALTERATIONS[name](strip) for strip in strips]
    groups = group_pictures([*strips, *copies])
    found = groups[: len(strips)] == groups[len(strips) :]
    assert found.mean() >= 0.95  # what escapes is nearly flat steel
    assert len(np.unique(groups)) == 2 * len(strips) - found.sum()  # and nothing else was joined


@pytest.mark.parametrize("kind", ["black", "grey", "noise", "lamp", "sensor", "border", "streaks"])
def test_flat_and_streaked_steel_does_not_chain(kind: str) -> None:
    """What strips of one camera have in common is no proof that they are one strip."""
    sensor = np.random.default_rng(99).normal(0, 2, (256, 1))

    def flat(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        picture = np.zeros((256, 1600)) + (0 if kind == "black" else 30)
        if kind not in {"black", "grey"}:
            picture += rng.normal(0, 1.5, picture.shape)
        if kind == "lamp":
            picture *= 1 - 0.4 * np.linspace(-1, 1, 1600) ** 2
        if kind == "sensor":
            picture += sensor
        if kind == "border":
            picture[:, : rng.integers(300, 320)] = 0
        if kind == "streaks":
            picture += 20 * np.sin(np.arange(256) / 5)[:, None]
        return recoded(np.clip(picture, 0, 255).astype(np.uint8), 85)

    assert group_pictures([flat(seed) for seed in range(12)]).tolist() == list(range(12))


def test_likeness_is_symmetric_enough_and_one_for_itself(strips: list[np.ndarray]) -> None:
    one, other = fingerprint(strips[0]), fingerprint(strips[1])
    assert likeness(one, one) == pytest.approx(1, abs=1e-3)
    assert abs(likeness(one, other)) < 0.3


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 4000), (4000, 2), (16, 16)])
def test_any_shape(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, shape).astype(np.uint8) for _ in range(3)]
    mixed = [*pictures, rng.integers(0, 256, (64, 64)).astype(np.uint8)]
    assert len(group_pictures(mixed)) == 4


def test_few_pictures() -> None:
    assert group_pictures([]).shape == (0,)
    assert group_pictures([np.zeros((8, 8), np.uint8)]).tolist() == [0]


def test_tiles_under_other_light_are_one_group(real_data: Path) -> None:
    """The number in a tile's name is a clock: shots within seconds show the same tile."""
    dataset = open_dataset(real_data / "tile")
    pictures = [dataset.picture(at) for at in range(300)]
    found = pairs(group_pictures(pictures))
    clock = np.array([int(re.findall(r"num_(\d+)", name)[0]) for name in dataset.names[:300]])
    apart = np.abs(clock[:, None] - clock[None, :])
    others = ~np.eye(300, dtype=bool)
    joined = found & others
    assert joined.sum() > 100
    assert (joined & (apart < 1000)).sum() / joined.sum() >= 0.95
    labels = np.array(dataset.group_labels)[:300]
    listed = pairs(labels) & others & (apart < 1000)
    assert (joined & listed).sum() / listed.sum() >= 0.95


def test_groups_csv_is_believed(real_data: Path) -> None:
    dataset = open_dataset(real_data / "neu")
    assert dataset.group_labels is not None
    groups = group_strips(dataset)
    assert np.array_equal(pairs(groups), pairs(np.array(dataset.group_labels)))
    assert np.unique(groups).tolist() == list(range(711))


def test_without_groups_csv_the_fingerprint_decides(real_data: Path) -> None:
    dataset = open_dataset(real_data / "severstal")
    assert dataset.group_labels is None
    assert group_strips(dataset).tolist() == list(range(32))
