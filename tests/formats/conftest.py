"""What the tests of all formats share: masks to store, a round trip, and the form of an error."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelscan.formats import FORMATS, AnnotatedPicture, Format, Loss, convert
from steelscan.mill import Mill, make_strip, write_mill
from steelscan.strip import Classes, Frame
from steelscan.strip.errors import SteelscanError

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can import layouts.py

NAMES = ("scratch", "hole", "Riß 😀")
RoundTrip = Callable[
    [Path, Format, Sequence[AnnotatedPicture]],
    tuple[dict[str, AnnotatedPicture], tuple[Loss, ...]],
]


def _round_trip(
    root: Path, each: Format, pictures: Sequence[AnnotatedPicture]
) -> tuple[dict[str, AnnotatedPicture], tuple[Loss, ...]]:
    for one in pictures:  # without content, where the format expects names and sizes
        place = root / each.pictures / one.image
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (one.frame.width, one.frame.height)).save(place)
    losses = each.write(root / each.file, iter(pictures))
    return {one.image: one for one in each.read(root / each.file)}, losses


@pytest.fixture(scope="session")
def round_trip() -> RoundTrip:
    """Write pictures in a format and read them; the pictures by name, and what was lost."""
    return _round_trip


@pytest.fixture(scope="session")
def annotated() -> Callable[..., AnnotatedPicture]:
    """Make an annotated picture of masks, ``(classes, height, width)``."""

    def make(image: str, masks: np.ndarray, names: tuple[str, ...] = NAMES) -> AnnotatedPicture:
        return AnnotatedPicture(image, Frame(*masks.shape[1:]), masks, Classes(names=names))

    return make


@pytest.fixture(scope="session")
def mill_masks() -> Callable[[int, int, int], np.ndarray]:
    """Masks of a synthetic strip by its number, height and width."""

    def make(strip: int, height: int, width: int) -> np.ndarray:
        mill = Mill(strips=9, seed=3, height=height, width=width, clean_share=0.2)
        return make_strip(mill, strip).masks[[0, 2, 3]]

    return make


@pytest.fixture(scope="session")
def milled(
    annotated: Callable[..., AnnotatedPicture], mill_masks: Callable[..., np.ndarray]
) -> list[AnnotatedPicture]:
    """Six synthetic strips."""
    pictures = [annotated(f"s{at}.jpg", mill_masks(at, 96, 320)) for at in range(6)]
    assert sum(one.masks.any() for one in pictures) >= 3
    return pictures


@pytest.fixture(scope="session")
def refused() -> Callable[..., None]:
    """Assert that a call raises an error of a kind with a message, in one line."""

    def check(call: Callable[[], object], kind: type[SteelscanError], message: str) -> None:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)

    return check


@pytest.fixture
def refuse_damaged(
    tmp_path: Path, milled: list[AnnotatedPicture], refused: Callable[..., None]
) -> Callable[..., None]:
    """Assert that a format refuses a folder with another content of one file, None for none."""

    def check(
        name: str, place: str, content: str | bytes | None, kind: type[SteelscanError], message: str
    ) -> None:
        _round_trip(tmp_path, FORMATS[name], milled[:3])
        if content is None:
            (tmp_path / place).unlink()
        else:
            whole = content.encode() if isinstance(content, str) else content
            (tmp_path / place).write_bytes(whole)
        refused(lambda: list(FORMATS[name].read(tmp_path)), kind, message)

    return check


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("convert") / "mill"
    write_mill(Mill(strips=10, seed=3, height=64, width=128), root, test_strips=2)
    return root


@pytest.fixture(scope="module")
def converted(mill: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The mill's data set in each format."""
    root = tmp_path_factory.mktemp("formats")
    for each in FORMATS.values():
        convert(mill, root / each.name, each.name)
    return {each.name: root / each.name for each in FORMATS.values()}


@pytest.fixture
def knotty(tmp_path: Path) -> Path:
    """Index pictures cannot hold it: two overlapping masks, one of them with a hole."""
    from layouts import lay

    root = tmp_path / "knotty"
    masks = np.zeros((2, 12, 16), np.bool_)
    masks[0, 2:9, 2:9] = True
    masks[0, 4:6, 4:7] = False
    masks[1, 7:11, 7:11] = True
    clean = np.zeros_like(masks)
    lay(root, "coco", [("Blech ä 1.png", masks), ("z.png", clean)])
    return root
