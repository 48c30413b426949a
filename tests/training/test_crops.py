"""The crops of an epoch: a function of seed, epoch and position; pictures and masks fit."""

import multiprocessing
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from steelscan.augment import BrightnessContrast, HFlip, VFlip
from steelscan.data import (
    RandomCrop,
    Shrink,
    WholeStrip,
    open_dataset,
    resize_masks,
    resize_picture,
)
from steelscan.losses import BCE
from steelscan.strip import Frame
from steelscan.training import (
    AdamW,
    BalancedSampler,
    CropPass,
    CycledSampler,
    DefectiveStrips,
    EveryStrip,
    SuspectStrips,
    Training,
    TrainingData,
)
from steelscan.training.crops import EpochCrops, draw_epoch, similar_frames, split
from steelscan.training.loading import CropLoader, StageCrops
from steelscan.training.resized import ResizedStrips

TRAINING = Training(
    crop=RandomCrop(height=32, width=32, defect=0.5),
    augment=(HFlip(), VFlip(), BrightnessContrast()),
    sampler=BalancedSampler(samples=10),
    loss=BCE(),
    optimizer=AdamW(lr=1e-3),
    batch=3,
    epochs=1,
)
SHAPES = [(40, 90), (33, 64), (20, 100), (64, 64), (1, 7), (50, 50), (40, 90)]


@pytest.fixture(scope="module")
def strips(tmp_path_factory):
    """Seven strips of many sizes; defects of a class have a grey value of their own."""
    root = tmp_path_factory.mktemp("strips")
    (root / "images").mkdir()
    (root / "masks").mkdir()
    for number, shape in enumerate(SHAPES):
        random = np.random.default_rng(number)
        mask = np.zeros(shape, np.uint8)
        if number % 3:
            mask[shape[0] // 2 :, shape[1] // 3 : shape[1] // 3 * 2] = number % 3
        picture = np.choose(mask, [random.integers(0, 60, shape), 150, 250]).astype(np.uint8)
        Image.fromarray(picture).save(root / "images" / f"s{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"s{number}.png")
    (root / "classes.csv").write_text("value,name\n1,scratch\n2,hole\n")
    return open_dataset(root)


def crops_of(strips, training=TRAINING, resize=None, seed=(7, 0, 0), rows=None):
    rows = np.arange(len(strips)) if rows is None else np.array(rows)
    return EpochCrops(ResizedStrips(strips, resize), rows, training, seed)


def loader_of(strips, training=TRAINING, workers=0, **shared):
    """Return the loader of the first stage of a fit with the seed 7."""
    resized = ResizedStrips(strips, None)
    data = TrainingData(strips, np.arange(len(strips)), None, 7)
    return CropLoader(StageCrops(resized, data, training, 0), workers, **shared)


def loaded(strips, training=TRAINING, workers=0):
    """Return the batches of the first epoch."""
    return list(loader_of(strips, training, workers).batches(0, 0))


@pytest.mark.parametrize(("pseudo", "others"), [("all", 2), (0.0, 0), (0.5, 5), (0.75, 15)])
def test_pseudo_labelled_strips_are_added_or_are_a_share_of_an_epoch(strips, pseudo, others):
    """Five strips have masks, two are pseudo-labelled; the pictures identify them."""
    training = TRAINING.but(sampler=EveryStrip(), pseudo=pseudo, augment=(), crop=WholeStrip())
    resized = ResizedStrips(strips, None)
    rows, pseudo_rows = np.arange(5), np.array([5, 6])
    crops = EpochCrops(resized, rows, training, (7, 0, 0), pseudo_rows)
    assert len(crops) == 5 + others
    pictures = {resized.picture(row).tobytes(): row for row in range(7)}
    frames = [resized.frames[row] for row in range(7)]
    drawn = []
    for at in range(len(crops)):
        picture, _ = crops[at]
        (row,) = (
            row
            for content, row in pictures.items()
            if np.array_equal(
                picture[0, : frames[row].height, : frames[row].width].numpy(),
                np.frombuffer(content, np.uint8).reshape(frames[row]),
            )
        )
        drawn.append(row)
    assert sorted(row for row in drawn if row < 5) == list(range(5))
    assert sum(row >= 5 for row in drawn) == others


@pytest.mark.parametrize("most", [1, 4, 10, 11])
def test_an_epoch_draws_at_most_max_samples(strips, most):
    """Its crops are the first ones of the longer epoch; pseudo-labels are a share of them."""
    whole, ended = (crops_of(strips, TRAINING.but(max_samples=each)) for each in (None, most))
    assert len(ended) == min(most, len(whole))
    assert [as_bytes(ended[at]) for at in range(len(ended))] == [
        as_bytes(whole[at]) for at in range(len(ended))
    ]
    half = TRAINING.but(max_samples=most, pseudo=0.5)
    joined = EpochCrops(strips, np.arange(3), half, (7, 0, 0), np.array([3]))
    assert len(joined) == 2 * min(most, len(whole))


@pytest.mark.parametrize("sampler", [EveryStrip(), BalancedSampler(samples=4), CycledSampler()])
@pytest.mark.parametrize("least", [1, 7, 25])
def test_an_epoch_draws_at_least_min_samples(strips, sampler, least):
    """It draws all strips again, in another order, before any is drawn a third time."""
    training = TRAINING.but(sampler=sampler)
    once = crops_of(strips, training)
    more = crops_of(strips, training.but(min_samples=least))
    assert len(more) == max(least, len(once))
    exactly = crops_of(strips, training.but(min_samples=least, max_samples=least))
    assert len(exactly) == least
    with pytest.raises(ValueError, match="min_samples is above max_samples, 6"):
        TRAINING.but(min_samples=7, max_samples=6)


def test_strips_that_are_drawn_again_are_drawn_equally_often(strips):
    often = TRAINING.but(sampler=EveryStrip(), min_samples=18)
    rows = draw_epoch(often, strips.present[:5], np.random.default_rng(3), 0)
    assert sorted(np.bincount(rows).tolist()) == [3, 3, 4, 4, 4]
    assert [sorted(rows[at : at + 5]) for at in (0, 5, 10)] == [list(range(5))] * 3
    assert rows[:5].tolist() != rows[5:10].tolist()


def test_a_stage_has_only_the_strips_that_it_selects(strips):
    data = TrainingData(strips, np.arange(5), None, 0, (2,), np.array([5, 6]))
    assert data.for_stage(TRAINING).rows.tolist() == list(range(5))
    held = strips.present[:, 1]
    defective = data.for_stage(TRAINING.but(strips=DefectiveStrips()))
    assert defective.rows.tolist() == [row for row in range(5) if held[row]]
    assert defective.pseudo.tolist() == [row for row in (5, 6) if held[row]]
    found = np.zeros((7, 2), np.float32)
    found[3, 1] = found[6, 1] = 0.5
    found[4, 0] = 0.9  # of a class that the network does not have
    suspect = replace(data, class_probabilities=found)
    suspect = suspect.for_stage(TRAINING.but(strips=SuspectStrips()))
    assert suspect.rows.tolist() == [row for row in range(5) if held[row] or row == 3]
    assert suspect.pseudo.tolist() == [row for row in (5, 6) if held[row] or row == 6]
    clean = replace(data, rows=np.array([0, 3]))
    assert clean.for_stage(TRAINING.but(strips=DefectiveStrips())) is clean


def as_bytes(crop):
    return tuple(tensor.numpy().tobytes() for tensor in crop)


@pytest.mark.parametrize("resize", [None, Shrink(pixels=1500)])
def test_a_crop_depends_on_seed_epoch_and_position_alone(strips, resize):
    crops = crops_of(strips, resize=resize)
    expected = [as_bytes(crop) for crop in (crops[at] for at in range(len(crops)))]
    assert len(set(expected)) == len(expected) == 10
    other = crops_of(strips, resize=resize)
    copy = pickle.loads(pickle.dumps(crops))
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    for position in np.random.default_rng(0).permutation(10).tolist():
        assert as_bytes(other[position]) == expected[position]
        assert as_bytes(copy[position]) == expected[position]
        assert as_bytes(crops[position]) == expected[position]


def test_another_seed_stage_or_epoch_gives_other_crops(strips):
    epochs = [
        tuple(as_bytes(crops[at]) for at in range(len(crops)))
        for seed in ((7, 0, 0), (7, 0, 1), (7, 1, 0), (8, 0, 0))
        for crops in [crops_of(strips, seed=seed)]
    ]
    assert len(set(epochs)) == 4


@pytest.mark.parametrize("other", [(8, 0, 0), (7, 1, 0), (7, 0, 1)])
def test_where_a_strip_is_cut_changes_too_and_not_only_which_strip_comes(strips, other):
    training = TRAINING.but(sampler=BalancedSampler(samples=10), augment=())
    same, changed = (
        [as_bytes(crops[at]) for at in range(10)]
        for seed in ((7, 0, 0), other)
        for crops in [crops_of(strips, training, seed=seed, rows=[0])]  # the only one to come
    )
    assert sum(a == b for a, b in zip(same, changed, strict=True)) < 3


def test_worker_processes_give_the_same_batches(strips):
    crops = crops_of(strips)
    alone, shared = (loaded(strips, workers=workers) for workers in (0, 2))
    assert len(alone) == len(shared) == 3  # the tenth crop is left out
    for [mine], [theirs] in zip(alone, shared, strict=True):
        assert as_bytes(mine[:2]) == as_bytes(theirs[:2])
    for number, [(pictures, masks, share)] in enumerate(alone):
        assert share == 1.0
        assert (pictures.dtype, masks.dtype) == (torch.uint8, torch.uint8)
        assert pictures.shape == (3, 1, 32, 32)
        assert masks.shape == (3, 2, 32, 32)
        assert as_bytes((pictures[1], masks[1])) == as_bytes(crops[number * 3 + 1])


@pytest.mark.parametrize(("count", "batch", "batches"), [(7, 7, 1), (7, 8, 1), (7, 3, 2)])
def test_a_smaller_batch_is_left_out_unless_it_is_the_only_one(strips, count, batch, batches):
    found = loaded(strips, TRAINING.but(sampler=EveryStrip(), batch=batch))
    assert len(found) == batches
    assert [len(part.pictures) for part in found[0]] == [min(count, batch)]


def test_workers_that_are_started_once_load_all_epochs_and_passes(strips):
    """Also after a pass that was not read to its end, and without a change of torch's own draws."""
    more = (CropPass(crop=WholeStrip(), batch=4),)
    training = TRAINING.but(extra_passes=more)
    passes = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]
    found = []
    for workers in (0, 2):
        loader = loader_of(strips, training, workers)
        next(loader.batches(2, 0))
        torch.manual_seed(0)
        batches = [list(loader.batches(*which)) for which in passes]
        found.append((batches, torch.rand(1)))
        processes = {process.pid for process in multiprocessing.active_children()}
        list(loader.batches(3, 0))
        assert {process.pid for process in multiprocessing.active_children()} == processes
    (alone, mine), (shared, theirs) = found
    assert torch.equal(mine, theirs)
    for (epoch, at), one, other in zip(passes, alone, shared, strict=True):
        assert len(one) == len(other) == loader.count(at)
        for batch, same in zip(one, other, strict=True):
            for part, copy in zip(batch, same, strict=True):
                assert as_bytes(part[:2]) == as_bytes(copy[:2])
        if at == 0:
            crops = crops_of(strips, training, seed=(7, 0, epoch))
            first = torch.stack([crops[position][0] for position in range(3)])
            assert torch.equal(one[0][0].pictures, first)
        else:
            assert sum(round(4 * part.share) for part in one[0]) == 4


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_each_batch_and_their_mean_is_that_of_the_batch(strips, processes):
    training = TRAINING.but(sampler=BalancedSampler(samples=10), batch=5)
    whole = list(loader_of(strips, training).batches(0, 0))
    shares = [
        list(loader_of(strips, training, rank=rank, processes=processes).batches(0, 0))
        for rank in range(processes)
    ]
    for number, [(pictures, masks, share)] in enumerate(whole):
        assert share == 1.0
        parts = [batches[number] for batches in shares]
        own = [part for [part] in parts]
        counts = {2: [2, 3], 3: [2, 2, 2]}  # of three processes one has a single crop, twice
        assert sorted(len(part.pictures) for part in own) == counts[processes]
        mean = sum(part.share * part.masks.float().mean() for part in own) / processes
        assert float(mean) == pytest.approx(float(masks.float().mean()))
        crops = {as_bytes(pair) for part in own for pair in zip(*part[:2], strict=True)}
        assert crops == {as_bytes(pair) for pair in zip(pictures, masks, strict=True)}


@pytest.mark.parametrize("crop", [WholeStrip(), RandomCrop(height=32, width=32, defect=1.0)])
@pytest.mark.parametrize("resize", [None, Shrink(pixels=1024)])
def test_masks_are_at_the_defects_of_the_picture(strips, crop, resize):
    training = TRAINING.but(
        crop=crop, augment=(HFlip(), VFlip()), sampler=BalancedSampler(samples=20)
    )
    crops = crops_of(strips, training, resize)
    for position in range(len(crops)):
        picture, (scratch, hole) = (tensor.numpy().astype(int) for tensor in crops[position])
        if resize is None:
            assert np.array_equal(scratch == 1, picture[0] == 150)
            assert np.array_equal(hole == 1, picture[0] == 250)
        else:  # pixels at a defect's edge are blends of it and of its darker surroundings
            defect = (scratch | hole).astype(bool)
            assert (picture[0][defect] > 70).all()
            assert (picture[0][~defect] < 160).all()


@pytest.mark.parametrize("resize", [None, Shrink(pixels=1024)])
def test_whole_strips_are_padded_to_their_own_size_rounded_up(strips, resize):
    training = TRAINING.but(crop=WholeStrip(), sampler=EveryStrip(), augment=())
    seen = [resize.frame(frame) if resize else frame for frame in strips.frames]
    crops = crops_of(strips, training, resize)
    found = sorted(tuple(crops[at][0].shape[1:]) for at in range(len(crops)))
    assert found == sorted(tuple(-(-side // 32) * 32 for side in frame) for frame in seen)
    assert crops.frame == tuple(max(side) for side in zip(*found, strict=True))
    assert crops.pixels == np.mean([height * width for height, width in found])
    few = crops_of(strips, training, resize, rows=[1, 5])  # the size is that of the strips given
    assert few.frame == ((64, 64) if resize is None else (32, 64))


@pytest.mark.parametrize("seed", range(5))
def test_parts_of_a_batch_hold_each_crop_once_and_little_padding(seed):
    random = np.random.default_rng(seed)
    sides = random.choice([32, 64, 96, 320, 1024], (12, 2)).tolist()
    frames = [Frame(*each) for each in sides]
    groups = similar_frames(frames)
    assert sorted(at for _, members in groups for at in members) == list(range(12))
    for frame, members in groups:
        assert members == sorted(members)
        assert frame == tuple(
            max(side) for side in zip(*(frames[at] for at in members), strict=True)
        )
        whole = sum(frames[at].height * frames[at].width for at in members)
        assert frame.height * frame.width * len(members) <= 1.5 * whole
    assert similar_frames([Frame(64, 32)] * 5) == [(Frame(64, 32), [0, 1, 2, 3, 4])]


def test_a_batch_of_different_shapes_is_split_into_parts_of_similar_ones():
    shapes = [(64, 192)] * 3 + [(64, 1024), (1024, 64)]
    random = np.random.default_rng(0)
    crops = [
        tuple(
            torch.from_numpy(random.integers(0, 2, (planes, *shape)).astype(np.uint8))
            for planes in (1, 3)
        )
        for shape in shapes
    ]
    parts = split(crops)
    assert [tuple(part.pictures.shape) for part in parts] == [
        (2, 1, 64, 1024),  # the only crop of a part is used twice
        (2, 1, 1024, 64),
        (3, 1, 64, 192),
    ]
    assert [part.share for part in parts] == pytest.approx([0.2, 0.2, 0.6])
    for at, part in zip((3, 4), parts[:2], strict=True):
        for picture, masks in zip(part.pictures, part.masks, strict=True):
            assert as_bytes((picture, masks)) == as_bytes(crops[at])
    assert as_bytes((parts[2].pictures[1], parts[2].masks[1])) == as_bytes(crops[1])


def test_in_a_part_smaller_crops_are_mirrored_to_its_frame():
    crops = [
        (torch.full((1, 64, side), side, dtype=torch.uint8), torch.ones((2, 64, side)).byte())
        for side in (96, 64)
    ]
    (part,) = split(crops)
    assert part.pictures.shape == (2, 1, 64, 96)
    assert (part.pictures[1] == 64).all()
    assert part.masks.all()


def test_strips_of_different_sizes_take_the_memory_of_their_own_pixels(strips):
    training = TRAINING.but(crop=WholeStrip(), sampler=EveryStrip(), augment=())
    crops = crops_of(strips, training)
    sizes = [part.pictures.numel() for batch in loaded(strips, training) for part in batch]
    assert crops.most_pixels(3) == max(sizes)
    equal = crops_of(strips, training, rows=[0, 6])  # of one frame
    assert equal.most_pixels(3) == 2 * 64 * 96


def test_only_the_given_strips_are_drawn(strips):
    training = TRAINING.but(crop=WholeStrip(), augment=(), sampler=EveryStrip())
    crops = crops_of(strips, training, rows=[0, 5, 4])
    drawn = [crops[at][0][0, 0, :7].tolist() for at in range(len(crops))]
    assert sorted(drawn) == sorted(strips.picture(row)[0, :7].tolist() for row in (0, 5, 4))


def test_crops_without_padding_or_augmentation_are_writable_tensors(strips):
    training = TRAINING.but(crop=WholeStrip(), augment=(), sampler=EveryStrip())
    crops = crops_of(strips, training, rows=[3])  # 64x64: nothing to pad, nothing to resize
    picture, masks = crops[0]
    assert np.array_equal(picture[0].numpy(), strips.picture(3))
    assert np.array_equal(masks.numpy().astype(bool), strips.masks(3))


@pytest.mark.parametrize("resize", [None, Shrink(pixels=1024)])
@pytest.mark.parametrize("cache_bytes", [0, 9000, 2**20])
def test_strips_are_the_same_from_disk_and_from_the_cache(strips, resize, cache_bytes):
    resized = ResizedStrips(strips, resize, cache_bytes)
    for _ in range(2):
        for row, frame in enumerate(resized.frames):
            assert frame == (resize.frame(strips.frames[row]) if resize else strips.frames[row])
            assert np.array_equal(resized.picture(row), resize_picture(strips.picture(row), frame))
            masks = resized.masks(row)
            assert masks.dtype == np.bool_
            assert np.array_equal(masks, resize_masks(strips.masks(row), frame))


@pytest.mark.parametrize("classes", [(1,), (2,), (1, 2)])
@pytest.mark.parametrize("resize", [None, Shrink(pixels=1024)])
def test_strips_of_some_classes_have_only_those_masks(strips, classes, resize):
    whole, some = ResizedStrips(strips, resize), ResizedStrips(strips, resize, classes=classes)
    chosen = [class_id - 1 for class_id in classes]
    assert np.array_equal(some.present, whole.present[:, chosen])
    for _ in range(2):
        for row in range(len(whole.frames)):
            assert np.array_equal(some.picture(row), whole.picture(row))
            assert np.array_equal(some.masks(row), whole.masks(row)[chosen])


class Counted:
    """A data set that counts its pictures read."""

    def __init__(self, strips):
        self.frames, self.present, self._strips = strips.frames, strips.present, strips
        self.reads = 0

    def picture(self, row):
        self.reads += 1
        return self._strips.picture(row)

    def masks(self, row):
        return self._strips.masks(row)


def test_cached_strips_are_read_once_and_others_each_time(strips):
    every = range(len(strips))
    for cache_bytes, reads in ((2**20, 7), (0, 14), (sum(40 * 90 for _ in range(2)), 12)):
        counted = Counted(strips)
        resized = ResizedStrips(counted, None, cache_bytes)
        for row in [*every, *every]:
            resized.picture(row)
        assert counted.reads == reads, cache_bytes


def test_a_copy_in_another_process_has_no_cache(strips):
    resized = ResizedStrips(strips, None)
    content = pickle.dumps(resized)
    picture = resized.picture(0)
    assert pickle.dumps(resized) == content
    counted = Counted(strips)
    copy = pickle.loads(pickle.dumps(ResizedStrips(counted, None)))
    for row in (0, 0, 1, 0):  # only the last one is not read again
        assert np.array_equal(copy.picture(row), resized.picture(row))
        assert np.array_equal(copy.masks(row), resized.masks(row))
    assert np.array_equal(copy.picture(0), picture)
    assert copy._strips.reads == 3
