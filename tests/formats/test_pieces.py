"""JSON read piece by piece: against the standard library's own reading, and by its memory."""

import io
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelscan.formats import FORMATS
from steelscan.formats import json_pieces as pieces
from steelscan.strip.errors import DatasetError, InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
TOPS = st.lists(VALUES, max_size=5) | st.dictionaries(st.text(min_size=1), VALUES, max_size=5)
SMALL_CHUNK = 7


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "memory" not in request.node.name:
        monkeypatch.setattr(pieces, "_CHUNK", SMALL_CHUNK)


def read(content: bytes) -> object:
    """The whole, put together from its pieces; each is parsed from its own bytes."""
    whole: dict[str, object] = {}
    for piece in pieces.pieces(io.BytesIO(content), "here"):
        assert content[piece.start :].startswith(piece.content) or piece.value == []
        value = json.loads(piece.content)
        if piece.at >= 0:
            listed = whole[piece.name]
            assert isinstance(listed, list)
            assert len(listed) == piece.at
            listed.append(value)
        else:
            whole[piece.name] = value
    return whole.get("", whole) if content.lstrip(b" \n\xef\xbb\xbf").startswith(b"[") else whole


@given(
    TOPS, st.sampled_from([None, 1]), st.booleans(), st.sampled_from([b"", b"\n ", b"\xef\xbb\xbf"])
)
@settings(max_examples=70, deadline=None)
def test_pieces_are_those_of_the_library(
    top: object, indent: int | None, escaped: bool, before: bytes
) -> None:
    text = json.dumps(top, indent=indent, ensure_ascii=escaped)
    content = before + text.encode(errors="replace")
    wanted = json.loads(content.lstrip(b"\xef\xbb\xbf"))
    if isinstance(wanted, dict):  # names are not decoded; their number and values are
        pieces_read = read(content)
        assert isinstance(pieces_read, dict)
        assert list(pieces_read.values()) == list(wanted.values())
    else:
        assert read(content) == wanted


@given(TOPS.filter(bool), st.data())
@settings(max_examples=50, deadline=None)
def test_files_that_end_too_early_are_refused(top: object, data: st.DataObject) -> None:
    content = json.dumps(top).encode()
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(DatasetError, match=r"here: is not valid JSON.*\(byte \d+\)"):
        list(pieces.pieces(io.BytesIO(cut), "here"))


@pytest.mark.parametrize(
    "text",
    [
        "[1 2]",
        "[1,]",
        '{"a" 1}',
        "{1: 2}",
        "[]]",
        "nothing",
        "[tru]",
        "[" * 99_999,
        "[" + "9" * 9999,
    ],
)
def test_broken_json_is_refused_with_its_position(text: str) -> None:
    with pytest.raises(DatasetError, match=r"\(byte \d+\)") as caught:
        list(pieces.pieces(io.BytesIO(text.encode()), "here"))
    assert "\n" not in str(caught.value)


def test_an_error_in_front_is_found_without_reading_on() -> None:
    class Counting(io.BytesIO):
        requested = 0

        def read(self, size: int | None = -1, /) -> bytes:
            Counting.requested += size or 0
            return super().read(size)

    with pytest.raises(DatasetError):
        list(pieces.pieces(Counting(b'{"a": [1 2' + b" " * 100_000), "here"))
    assert Counting.requested < 1000


@pytest.mark.parametrize("mebibytes", [12, pytest.param(150, marks=pytest.mark.slow)])
def test_memory_of_a_coco_file(mebibytes: int, tmp_path: Path) -> None:
    """Peak of what Python allocates: the same few mebibytes for any size of the file."""
    count = mebibytes * 64
    path = tmp_path / "coco.json"
    with path.open("w") as file:
        file.write('{"categories": [{"id": 1, "name": "hole"}], "annotations": [')
        for at in range(count):
            shape = json.dumps([[0, 0, 3, 0, 3, 3]])
            ids = f'"id": {at}, "image_id": {at % 8}, "category_id": 1, "segmentation": {shape}'
            file.write(("," if at else "") + f'{{"note": "{"x" * 16_300}", {ids}}}')
        images = [{"id": at, "file_name": f"{at}.jpg", "height": 4, "width": 4} for at in range(8)]
        file.write(f'], "images": {json.dumps(images)}}}')
    assert path.stat().st_size > mebibytes * 2**20 * 0.98
    tracemalloc.start()
    try:
        pictures = list(FORMATS["coco"].read(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [int(one.masks.sum()) for one in pictures] == [6] * 8
    assert peak < 6 * 2**20


def test_huge_ids_are_refused(tmp_path: Path) -> None:
    image = {"id": 2**70, "file_name": "a.jpg", "height": 4, "width": 4}
    content = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "hole"}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="less than"):
        list(FORMATS["coco"].read(tmp_path / "a.json"))
