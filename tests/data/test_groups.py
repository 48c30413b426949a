"""Near-duplicates: altered copies are found, and unrelated strips stay separate."""

import io
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from steelscan.data import open_dataset, read_picture
from steelscan.data.duplicates import (
    Fingerprint,
    find_groups,
    group_prints,
    group_strips,
    required_likeness,
)
from steelscan.data.duplicates.fingerprints import SAME, fingerprint, likeness, nearest
from steelscan.data.duplicates.groups import LARGEST, find_links
from steelscan.strip.errors import PictureError

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


def patched(picture: np.ndarray) -> np.ndarray:
    """The patch by which most of the competition's duplicates differ."""
    other = picture.copy()
    other[:16, 195:640] = np.random.default_rng(0).integers(40, 220, (16, 445))
    return other


ALTERATIONS: dict[str, Alter] = {
    "patched": lambda picture: recoded(patched(picture), 90),
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


def steel(seed: int, height: int = 64, width: int = 256) -> np.ndarray:
    """Return a texture without repetition."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 2)
    return np.clip(110 + 150 * grain, 0, 255).astype(np.uint8)


def chain(count: int, seed: int = 0) -> list[np.ndarray]:
    """Return pictures that each overlap the next by 94 %, so that the last shows other steel."""
    band = steel(seed, width=256 + 16 * count)
    return [band[:, 16 * at : 16 * at + 256] for at in range(count)]


def group_pictures(pictures: list[np.ndarray]) -> np.ndarray:
    return group_prints([fingerprint(picture) for picture in pictures]).numbers


def pairs(groups: np.ndarray) -> np.ndarray:
    return groups[:, None] == groups[None, :]


def test_unrelated_strips_stay_apart(strips: list[np.ndarray]) -> None:
    assert group_pictures(strips).tolist() == list(range(len(strips)))


@pytest.mark.parametrize("name", ALTERATIONS)
def test_altered_copies_are_found(strips: list[np.ndarray], name: str) -> None:
    copies = [ALTERATIONS[name](strip) for strip in strips]
    groups = group_pictures([*strips, *copies])
    together = groups[: len(strips)] == groups[len(strips) :]
    assert together.mean() >= 0.95  # the missed copies are nearly flat steel
    assert len(np.unique(groups)) == 2 * len(strips) - together.sum()  # and nothing else was joined


@pytest.mark.parametrize("kind", ["black", "grey", "noise", "lamp", "sensor", "border", "streaks"])
def test_flat_and_streaked_steel_does_not_chain(kind: str) -> None:
    """Common features of one camera do not prove that two strips are the same."""
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
    links = pairs(group_pictures(pictures))
    clock = np.array([int(re.findall(r"num_(\d+)", name)[0]) for name in dataset.names[:300]])
    apart = np.abs(clock[:, None] - clock[None, :])
    others = ~np.eye(300, dtype=bool)
    joined = links & others
    assert joined.sum() > 100
    assert (joined & (apart < 1000)).sum() / joined.sum() >= 0.95
    labels = np.array(dataset.group_labels)[:300]
    listed = pairs(labels) & others & (apart < 1000)
    assert (joined & listed).sum() / listed.sum() >= 0.95


def test_groups_csv_is_used(real_data: Path) -> None:
    dataset = open_dataset(real_data / "neu")
    assert dataset.group_labels is not None
    groups = group_strips(dataset)
    assert np.array_equal(pairs(groups), pairs(np.array(dataset.group_labels)))
    assert np.unique(groups).tolist() == list(range(711))


def test_without_groups_csv_groups_are_found_by_fingerprint(real_data: Path) -> None:
    dataset = open_dataset(real_data / "severstal")
    assert dataset.group_labels is None
    assert group_strips(dataset).tolist() == list(range(32))


def test_likeness_is_the_best_correlation_at_any_small_shift() -> None:
    """Compute the correlation at every shift with NumPy."""
    one, other = (
        Fingerprint(np.ones(1, np.float32), steel(seed, 40, 60), has_texture=True)
        for seed in (0, 1)
    )
    moved_ = one._replace(fine=np.roll(one.fine, (3, -5), (0, 1)))
    core = one.fine[4:36, 6:54]
    for shifted in (other, moved_):
        best = max(
            np.corrcoef(core.ravel(), shifted.fine[y : y + 32, x : x + 48].ravel())[0, 1]
            for y in range(9)
            for x in range(13)
        )
        assert likeness(one, shifted) == pytest.approx(best, abs=1e-4)
    assert likeness(one, moved_) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kept", [1, 7])
def test_nearest_are_those_of_a_full_sort(kept: int) -> None:
    rng = np.random.default_rng(0)
    spectra = rng.normal(size=(600, 20)).astype(np.float32)
    neighbours = nearest(spectra[:300], spectra, kept)
    closeness = spectra[:300] @ spectra.T
    assert neighbours.shape == (300, kept)
    for row, places in enumerate(neighbours):
        assert set(places) == set(np.argsort(-closeness[row])[:kept])


def test_the_spectrum_distinguishes_a_shifted_picture_from_all_others() -> None:
    bands = [steel(seed, 80, 320) for seed in range(40)]
    spectra = np.stack([fingerprint(band[:64, :256]).spectrum for band in bands])
    shifted = np.stack([fingerprint(band[6:70, 24:280]).spectrum for band in bands])
    assert nearest(shifted, spectra, 1)[:, 0].tolist() == list(range(40))
    assert np.allclose(np.linalg.norm(spectra, axis=1), 1, atol=1e-5)


def test_no_similar_pair_is_missed() -> None:
    """Compare all pairs, and the search that compares a few per strip."""
    rng = np.random.default_rng(3)
    bands = [steel(seed, 80, 300) for seed in range(45)]
    pictures = [band[:64, :256] for band in bands]
    for at, band in enumerate(bands):
        down, right = rng.integers(0, 6), rng.integers(0, 25)
        copy = band[down : down + 64, right : right + 256]
        pictures.append(recoded(lit(copy, rng.uniform(0.6, 1.3), 10), 50 + at))
    pictures += chain(20, seed=99)
    prints = [fingerprint(picture) for picture in pictures]
    all_ = {
        (one, other)
        for one in range(len(prints))
        for other in range(one + 1, len(prints))
        if likeness(prints[one], prints[other]) >= required_likeness(prints[one], prints[other])
    }
    links = {(one, other) for one, other, _ in find_links(prints)}
    assert len(all_) >= 45 + 19
    assert links == all_


def test_a_long_chain_is_split_and_reported() -> None:
    pictures = chain(70)
    prints = [fingerprint(picture) for picture in pictures]
    assert all(likeness(*two) >= SAME for two in pairwise(prints))
    assert likeness(prints[0], prints[-1]) < 0.3
    groups = group_prints(prints)
    sizes = np.bincount(groups.numbers)
    assert sizes.max() <= LARGEST
    assert len(sizes) <= 2 * 70 / LARGEST + 1  # and not into many small ones
    (split,) = groups.chains
    assert (split.strips, split.groups) == (tuple(range(70)), len(sizes))
    links = find_links(prints)
    assert split.separated == sum(
        groups.numbers[one] != groups.numbers[other] for one, other, _ in links
    )
    (note,) = groups.notes([f"{at}.png" for at in range(70)])
    assert note.startswith("Near-duplicates: 70 strips around 0.png form a chain; it was split")
    assert f"into {len(sizes)} groups, which separates {split.separated} similar pairs" in note


def test_many_copies_of_one_strip_stay_one_group_and_are_reported() -> None:
    rng = np.random.default_rng(0)
    copies = [recoded(lit(steel(0), gain), 80) for gain in rng.uniform(0.7, 1.2, 3 * LARGEST)]
    groups = group_prints([fingerprint(picture) for picture in [*copies, *copies[:20], steel(1)]])
    assert groups.numbers.tolist() == [0] * (3 * LARGEST + 20) + [1]
    assert groups.chains == ()
    assert groups.notes(["a"] * 81) == ["Near-duplicates: 80 strips form one group, that of a."]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_strips_makes_no_difference(seed: int) -> None:
    rng = np.random.default_rng(9)
    worn = [lit(link + rng.normal(0, 25, link.shape), 1) for link in chain(45)]
    pictures = [*worn, *(steel(at) for at in range(20)), *(steel(at) for at in range(9))]
    prints = [fingerprint(picture) for picture in pictures]
    order = np.random.default_rng(seed).permutation(len(prints))
    one, other = group_prints(prints), group_prints([prints[at] for at in order])
    assert np.array_equal(pairs(one.numbers)[np.ix_(order, order)], pairs(other.numbers))
    assert {frozenset(each.strips) for each in one.chains} == {
        frozenset(order[list(each.strips)].tolist()) for each in other.chains
    }


def test_strips_without_texture_are_counted() -> None:
    groups = group_prints([fingerprint(np.full((64, 256), 9, np.uint8)), fingerprint(steel(0))] * 2)
    assert groups.numbers.tolist() == [0, 1, 2, 1]
    (note,) = groups.notes(list("abcd"))
    assert note.startswith("Near-duplicates: 2 of 4 strips have too little texture")


def test_a_search_ignores_groups_csv(indexed: Callable[..., Path]) -> None:
    root = indexed()
    names = [f"s{at}" for at in range(8)]
    (root / "groups.csv").write_text("image,group\n" + "".join(f"{name},x\n" for name in names))
    (root / "images" / "s7.jpg").write_bytes((root / "images" / "s2.jpg").read_bytes())
    dataset = open_dataset(root)
    assert group_strips(dataset).tolist() == [0] * 8
    assert find_groups(dataset, search=True).numbers.tolist() == [0, 1, 2, 3, 4, 5, 6, 2]


def test_a_broken_picture_stops_the_search(indexed: Callable[..., Path]) -> None:
    root = indexed()
    whole = (root / "images" / "s3.jpg").read_bytes()
    (root / "images" / "s3.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(PictureError, match=r"s3\.jpg"):
        group_strips(open_dataset(root))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["neu", "tile"])
def test_no_pair_of_real_pictures_is_missed(real_data: Path, name: str) -> None:
    dataset = open_dataset(real_data / name)
    prints = [fingerprint(dataset.picture(at)) for at in range(0, len(dataset), 2)]
    count = len(prints)
    all_ = {
        (one, other)
        for one in range(count)
        for other in range(one + 1, count)
        if likeness(prints[one], prints[other]) >= required_likeness(prints[one], prints[other])
    }
    assert {(one, other) for one, other, _ in find_links(prints)} == all_


def checker_plate(seed: int, phase: int) -> np.ndarray:
    """A plate with a pattern that comes again every 16 rows and 32 columns, and its own grain."""
    rows, columns = np.mgrid[:128, phase : phase + 512]
    pattern = np.cos(rows * np.pi / 8) * np.cos(columns * np.pi / 16)
    grain = np.random.default_rng(seed).normal(0, 25, (128, 512))
    return np.clip(110 + 35 * pattern + cv2.GaussianBlur(grain, (0, 0), 2), 0, 255).astype(np.uint8)


def test_plates_of_one_pattern_are_not_one_plate_but_copies_of_one_are() -> None:
    plates = [checker_plate(seed, 3 * seed) for seed in range(15)]
    prints = [fingerprint(plate) for plate in plates]
    assert likeness(prints[0], prints[1]) > SAME
    assert all(each.required > 0.85 for each in prints)
    copies = [recoded(lit(plate, 0.9), 85) for plate in plates]
    groups = group_pictures([*plates, *copies])
    assert groups.tolist() == [*range(15)] * 2
    assert fingerprint(steel(0)).required == SAME
