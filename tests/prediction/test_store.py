"""The store of probabilities: what was put in comes out, and it never claims more than it has."""

import tracemalloc

import numpy as np
import pytest

from steelscan.prediction import ProbabilityStore
from steelscan.strip import Frame
from steelscan.strip.errors import OutputError, RunError

FRAMES = [Frame(8, 20), Frame(5, 33), Frame(8, 33), Frame(1, 1)]


def masks_store(folder, frames=FRAMES, classes=3):
    return ProbabilityStore(folder, len(frames), classes, frames)


def levels(strip, frames=FRAMES, classes=3, seed=0):
    random = np.random.default_rng((seed, strip))
    return random.integers(0, 256, (classes, *frames[strip])).astype(np.uint8)


def held(store, strips=4):
    return [strip for strip in range(strips) if strip in store]


def test_answers_come_back_in_any_order_at_each_frame(tmp_path):
    store = masks_store(tmp_path)
    for strip in (2, 0, 3, 1):
        store[strip] = levels(strip)
        assert np.array_equal(store[strip], levels(strip))
    for seen in (store, masks_store(tmp_path)):
        assert held(seen) == [0, 1, 2, 3]
        for strip, frame in enumerate(FRAMES):
            assert seen[strip].dtype == np.uint8
            assert seen[strip].shape == (3, *frame)
            assert np.array_equal(seen[strip], levels(strip))


def test_answers_for_classes_are_kept_exactly(tmp_path):
    store = ProbabilityStore(tmp_path, 3, 4, ())
    answer = np.random.default_rng(0).random(4, dtype=np.float32)
    store[1] = answer
    for seen in (store, ProbabilityStore(tmp_path, 3, 4, ())):
        assert held(seen, 3) == [1]
        assert seen[1].dtype == np.float32
        assert np.array_equal(seen[1], answer)


def test_a_reopened_store_knows_what_it_holds_and_takes_more(tmp_path):
    assert held(masks_store(tmp_path)) == []
    masks_store(tmp_path)[2] = levels(2)
    store = masks_store(tmp_path)
    assert held(store) == [2]
    store[0] = levels(0)
    assert held(masks_store(tmp_path)) == [0, 2]
    assert np.array_equal(store[2], levels(2))


def test_an_empty_answer_is_an_answer(tmp_path):
    masks_store(tmp_path)[1] = np.zeros((3, *FRAMES[1]), np.uint8)
    store = masks_store(tmp_path)
    assert held(store) == [1]
    assert not store[1].any()


def test_a_later_answer_replaces_an_earlier_one(tmp_path):
    store = masks_store(tmp_path)
    store[0] = levels(0)
    store[0] = levels(0, seed=1)
    assert np.array_equal(masks_store(tmp_path)[0], levels(0, seed=1))


@pytest.mark.parametrize("torn", ["\n1", "\n12", "1"])
def test_a_line_that_a_crash_cut_short_never_counts(tmp_path, torn):
    frames = [Frame(4, 4)] * 130
    store = masks_store(tmp_path, frames)
    store[3] = levels(3, frames)
    with (tmp_path / "strips.txt").open("a") as log:
        log.write(torn)  # of 1, 12 or 123: nobody can know
    again = masks_store(tmp_path, frames)
    assert held(again, 130) == [3]
    again[7] = levels(7, frames)
    assert held(again, 130) == [3, 7]
    assert held(masks_store(tmp_path, frames), 130) == [3, 7]  # nor once another line follows


def test_each_strip_is_one_chunk_on_disk(tmp_path):
    store = masks_store(tmp_path)
    chunks = tmp_path / "probabilities.zarr" / "c"
    for count, strip in enumerate((3, 1, 0), start=1):
        store[strip] = levels(strip) if strip else np.zeros((3, *FRAMES[0]), np.uint8)
        files = [path for path in chunks.rglob("*") if path.is_file()]
        assert len(files) == count


def test_memory_does_not_grow_with_the_number_of_strips(tmp_path):
    frames = [Frame(128, 512)] * 50
    answer = levels(0, frames, 4)
    store = masks_store(tmp_path, frames, 4)
    store[0] = answer  # what is made once, is made
    tracemalloc.start()
    for strip in range(50):
        store[strip] = answer
        store[strip]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * answer.nbytes  # what zarr holds at a time, not the 50 strips


def test_a_chunk_that_cannot_be_written_is_told_and_not_held(tmp_path):
    store = masks_store(tmp_path)
    chunks = tmp_path / "probabilities.zarr" / "c"
    chunks.write_text("a file where the chunks' folder should be")
    with pytest.raises(OutputError, match="cannot be written"):
        store[1] = levels(1)
    assert held(store) == held(masks_store(tmp_path)) == []
    chunks.unlink()
    store[1] = levels(1)
    assert held(store) == held(masks_store(tmp_path)) == [1]


def test_a_chunk_that_cannot_be_noted_is_told_and_not_held(tmp_path):
    store = masks_store(tmp_path)
    store[0] = levels(0)
    (tmp_path / "strips.txt").rename(tmp_path / "aside.txt")
    (tmp_path / "strips.txt").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        store[1] = levels(1)
    assert held(store) == [0]
    (tmp_path / "strips.txt").rmdir()
    (tmp_path / "aside.txt").rename(tmp_path / "strips.txt")
    assert held(masks_store(tmp_path)) == [0]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        masks_store(tmp_path / "file" / "store")


def chunk_of(folder, strip):
    (chunk,) = (
        path
        for path in (folder / "probabilities.zarr" / "c" / str(strip)).rglob("*")
        if path.is_file()
    )
    return chunk


def exchange_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda chunk: chunk.unlink(),
        lambda chunk: chunk.write_bytes(b""),
        lambda chunk: chunk.write_bytes(chunk.read_bytes()[:-3]),
        lambda chunk: chunk.write_bytes(bytes(range(256)) * 9),
        lambda chunk: chunk.write_bytes(bytes(len(chunk.read_bytes()))),
        lambda chunk: (chunk.unlink(), chunk.mkdir()),
        exchange_a_bit,
    ],
)
@pytest.mark.parametrize("of_masks", [True, False])
def test_a_strip_whose_chunk_is_not_whole_is_told_and_never_read(tmp_path, damage, of_masks):
    frames = FRAMES if of_masks else ()
    store = ProbabilityStore(tmp_path, 4, 3, frames)
    for strip in (0, 1):
        store[strip] = levels(strip) if of_masks else np.full(3, 0.3 + strip, np.float32)
    chunk = chunk_of(tmp_path, 1)
    damage(chunk)
    told = f"{chunk}.*Remove {tmp_path} and give the same train"
    for opened in (
        lambda: ProbabilityStore(tmp_path, 4, 3, frames),
        lambda: to_read(tmp_path, frames),
    ):
        with pytest.raises(RunError, match=told):  # a missing one as soon as the store is opened
            opened()[1]
        if chunk.is_file():
            opened()[0]
    damage(chunk_of(tmp_path, 0))
    with pytest.raises(RunError, match=told.replace("c/1", "c/0")):
        store[0]


def to_read(folder, frames=FRAMES, strips=4, classes=3):
    return ProbabilityStore.to_read(folder, strips, classes, frames)


def test_a_whole_chunk_of_another_size_is_told(tmp_path):
    masks_store(tmp_path / "one")[1] = levels(1)
    larger = [*FRAMES[:3], Frame(40, 40)]
    masks_store(tmp_path / "other", larger)[1] = levels(1)
    chunk_of(tmp_path / "other", 1).replace(chunk_of(tmp_path / "one", 1))
    with pytest.raises(RunError, match="is damaged or cut off"):
        to_read(tmp_path / "one")[1]


@pytest.mark.parametrize("text", ["4", "-1", "1.0", "x", "9" * 5000, "\x00", "1 2", "³"])
def test_a_list_of_strips_that_cannot_be_meant_is_told(tmp_path, text):
    masks_store(tmp_path)[0] = levels(0)
    with (tmp_path / "strips.txt").open("a", encoding="utf-8") as log:
        log.write(f"\n{text}\n")
    for opened in (masks_store, to_read):
        with pytest.raises(RunError, match=r"strips\.txt: lists the strip"):
            opened(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda text: text[:-9],
        lambda _: "[]",
        lambda _: "1" * 5000,
        lambda _: "[" * 10**5,
        lambda _: "\x00\x01",
        lambda text: text.replace("uint8", "float64"),
        lambda text: text.replace("33", "330000000"),
        lambda text: text.replace("33", str(10**400)),
        lambda text: text.replace("zstd", "other"),
    ],
)
def test_a_damaged_description_of_a_store_is_told(tmp_path, damage):
    masks_store(tmp_path)[0] = levels(0)
    file = tmp_path / "probabilities.zarr" / "zarr.json"
    file.write_text(damage(file.read_text()))
    for opened in (masks_store, to_read):
        with pytest.raises(RunError, match=r"zarr\.json.*Remove"):
            opened(tmp_path)


def test_of_other_strips_or_classes_a_store_is_refused(tmp_path):
    masks_store(tmp_path)[0] = levels(0)
    for other in ((tmp_path, FRAMES, 5), (tmp_path, FRAMES, 4, 2), (tmp_path, ())):
        with pytest.raises(RunError, match="not what this run stores"):
            to_read(*other)


def test_what_a_kill_left_half_written_is_removed(tmp_path):
    masks_store(tmp_path)[0] = levels(0)
    left = chunk_of(tmp_path, 0).with_name("0.1f2e.partial")
    left.write_bytes(b"half")
    assert np.array_equal(to_read(tmp_path)[0], levels(0))
    masks_store(tmp_path)
    assert not left.exists()
    assert np.array_equal(to_read(tmp_path)[0], levels(0))


def test_who_only_reads_a_store_writes_nothing(tmp_path):
    masks_store(tmp_path)[0] = levels(0)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    to_read(tmp_path)[0]
    assert before == sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
