"""What every format refuses to read or to write."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelscan.formats import FORMATS, AnnotatedPicture, Format
from steelscan.strip.errors import DatasetError, InputError, MaskError, OutputError, SteelscanError

ALL = pytest.mark.parametrize("each", FORMATS.values(), ids=lambda each: each.name)


SAMPLES = {  # the path that is read and the file that is damaged
    "coco": ("a.json", "a.json"),
    "cvat": ("a.xml", "a.xml"),
    "label_studio": ("a.json", "a.json"),
    "labelme": ("", "a.json"),
}


@pytest.mark.parametrize("name", SAMPLES)
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_damage_is_reported(name: str, data: st.DataObject) -> None:
    """A sample with a part of it replaced is read, or refused in one line."""
    place, file = SAMPLES[name]
    sample = (Path(__file__).parent / "samples" / name).with_suffix(Path(file).suffix)
    text = sample.read_text(encoding="utf-8")
    start = data.draw(st.integers(0, len(text)))
    new = data.draw(
        st.sampled_from(["", "-", "9", "9" * 12, "null", "{}", '"', "\ud800", "é", "1e400"])
    )
    damaged = text[:start] + new + text[start + data.draw(st.integers(0, 8)) :]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / file).write_bytes(damaged.encode(errors="surrogatepass"))
        try:
            pictures = list(FORMATS[name].read(Path(folder) / place))
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert all(one.masks.shape == (len(one.classes), *one.frame) for one in pictures)


@ALL
def test_missing_data_sets_are_refused(
    each: Format, tmp_path: Path, refused: Callable[..., None]
) -> None:
    refused(lambda: list(each.read(tmp_path / "nothing")), DatasetError, "nothing: ")


@ALL
def test_refused_writes(
    each: Format,
    tmp_path: Path,
    annotated: Callable[..., AnnotatedPicture],
    refused: Callable[..., None],
) -> None:
    clean = np.zeros((3, 4, 5), np.bool_)
    path = tmp_path / each.file

    def written(*pictures: AnnotatedPicture) -> Callable[[], object]:
        return lambda: each.write(path, pictures)

    refused(written(), DatasetError, "is given no picture")
    refused(written(annotated("../a.jpg", clean)), DatasetError, "outside the data set")
    refused(
        written(annotated("a.jpg", clean), annotated("a.jpg", clean)),
        DatasetError,
        "another picture",
    )
    other = annotated("b.jpg", clean, ("x", "y", "z"))
    refused(written(annotated("a.jpg", clean), other), DatasetError, "other classes")
    refused(written(annotated("a.jpg", clean.astype(np.uint8))), MaskError, "masks are uint8")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    refused(
        lambda: each.write(tmp_path / "file" / "x", [annotated("a.jpg", clean)]),
        OutputError,
        "file",
    )


@pytest.mark.parametrize(
    ("name", "class_name"),
    [
        ("class_pngs", "../a"),
        ("voc", "a:b"),
        ("labelme", " a"),
        ("cvat", "a\0"),
        ("label_studio", "a\n"),
    ],
)
def test_class_names_that_a_format_cannot_hold(
    name: str,
    class_name: str,
    tmp_path: Path,
    annotated: Callable[..., AnnotatedPicture],
    refused: Callable[..., None],
) -> None:
    masks = np.zeros((1, 4, 5), np.bool_)
    pictures = [annotated("a.jpg", masks, (class_name,))]
    refused(
        lambda: FORMATS[name].write(tmp_path / "x", pictures), SteelscanError, "Rename the class"
    )


def test_too_many_classes_for_an_index(
    tmp_path: Path, annotated: Callable[..., AnnotatedPicture], refused: Callable[..., None]
) -> None:
    names = tuple(f"c{at}" for at in range(255))
    pictures = [annotated("a.jpg", np.zeros((255, 2, 2), np.bool_), names)]
    for name in ("voc", "index_pngs"):
        refused(
            lambda name=name: FORMATS[name].write(tmp_path, pictures),
            DatasetError,
            "has 255 classes",
        )  # type: ignore[misc]
