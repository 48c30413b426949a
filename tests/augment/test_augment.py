"""Every augmentation: its effect on picture and masks depends only on the generator."""

import pickle
from collections import Counter
from itertools import combinations, product
from typing import get_args

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from steelscan.augment import (
    Augment,
    Augmenter,
    Blur,
    BrightnessContrast,
    Clahe,
    Cutout,
    DefectBlackout,
    Elastic,
    Gamma,
    GaussNoise,
    GridDistortion,
    HFlip,
    IsoNoise,
    Jpeg,
    MotionBlur,
    OneOf,
    OpticalDistortion,
    Rotate180,
    SaltPepper,
    Sharpen,
    ShiftScaleRotate,
    SteelShift,
    UpTo,
    VFlip,
)
from steelscan.augment.functional import distort_like_lens

KINDS = get_args(get_args(Augment)[0])
every_kind = pytest.mark.parametrize("kind", KINDS)
MIRRORS = {HFlip: np.fliplr, VFlip: np.flipud, Rotate180: lambda plane: np.rot90(plane, 2)}
GREYS = (BrightnessContrast, Gamma, Clahe, Sharpen, Blur, MotionBlur, GaussNoise, IsoNoise)
PICTURE_ONLY = (*GREYS, SaltPepper, Jpeg, Cutout)
MOVES = (
    *(kind() for kind in MIRRORS),
    ShiftScaleRotate(degrees=12.0),
    Elastic(),
    GridDistortion(),
    OpticalDistortion(),
    SteelShift(),
)
PLAIN_FLIPS = (HFlip(p=1.0), VFlip(p=1.0))


def make(kind, p=1.0):
    """A spec of a kind with probability ``p`` and a visible effect."""
    if kind is OneOf:
        return OneOf(of=PLAIN_FLIPS, p=p)
    if kind is UpTo:
        return UpTo(count=2, of=(HFlip(p=p), VFlip(p=p), Rotate180(p=p)))
    return SaltPepper(amount=0.5, p=p) if kind is SaltPepper else kind(p=p)


def sample(classes=3, height=10, width=14, seed=0):
    """A picture with many greys, and masks of every seventh grey."""
    picture = np.random.default_rng(seed).permutation(height * width).reshape(height, width)
    picture = picture.astype(np.uint8)
    return picture, np.stack([picture % 7 == at for at in range(classes)])


def apply(augments, picture, masks, seed=0):
    return Augmenter(augments)(picture, masks, np.random.default_rng(seed))


def on_flat(spec, value=128, shape=(64, 96), seed=0):
    """Apply a spec to a picture of one grey without defects."""
    return apply((spec,), np.full(shape, value, np.uint8), np.zeros((1, *shape), bool), seed)[0]


def test_every_kind_of_augmentation_is_tested():
    assert len(KINDS) == 22
    moves = {type(spec) for spec in MOVES}
    assert {*PICTURE_ONLY, *moves, DefectBlackout, OneOf, UpTo} == set(KINDS)


@every_kind
@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 6, 9])
def test_shapes_and_types_stay_for_any_number_of_classes(kind, classes):
    picture, masks = sample(classes, 24, 37)
    before = picture.copy(), masks.copy()
    results = set()
    for seed in range(4):
        changed, planes = apply((make(kind),), picture, masks, seed)
        assert (changed.dtype, changed.shape) == (np.uint8, picture.shape)
        assert (planes.dtype, planes.shape) == (np.bool_, masks.shape)
        results.add(changed.tobytes())
        assert np.array_equal(picture, before[0])  # the inputs are not changed
        assert np.array_equal(masks, before[1])
    assert results != {picture.tobytes()}


@every_kind
@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (9, 1), (2, 3), (7, 5), (19, 33), (40, 21)])
def test_any_size_is_accepted(kind, shape):
    for classes in (1, 5):
        picture, masks = sample(classes, *shape)
        changed, planes = apply((make(kind),), picture, masks)
        assert (changed.dtype, changed.shape) == (np.uint8, shape)
        assert (planes.dtype, planes.shape) == (np.bool_, (classes, *shape))


@every_kind
def test_with_probability_zero_nothing_changes(kind):
    picture, masks = sample(height=24)
    nothing = OneOf(of=PLAIN_FLIPS, p=0.0) if kind is OneOf else make(kind, 0.0)
    for seed in range(20):
        changed, planes = apply((nothing,), picture, masks, seed)
        assert np.array_equal(changed, picture)
        assert np.array_equal(planes, masks)


@pytest.mark.parametrize("kind", MIRRORS)
@pytest.mark.parametrize("classes", [1, 4, 6])
def test_a_mirror_is_a_mirror_of_picture_and_every_mask(kind, classes):
    picture, masks = sample(classes)
    changed, planes = apply((kind(p=1.0),), picture, masks)
    assert np.array_equal(changed, MIRRORS[kind](picture))
    assert np.array_equal(planes, [MIRRORS[kind](mask) for mask in masks])


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_mirrors_are_as_frequent_as_set_and_independent(p):
    picture, masks = sample(1)
    augmenter, rng = Augmenter((HFlip(p=p), VFlip(p=p))), np.random.default_rng(0)
    ways = {
        picture.tobytes(): "as it was",
        np.fliplr(picture).tobytes(): "left and right",
        np.flipud(picture).tobytes(): "top and bottom",
        np.flipud(np.fliplr(picture)).tobytes(): "both",
    }
    counts = Counter(ways[augmenter(picture, masks, rng)[0].tobytes()] for _ in range(1000))
    assert counts["left and right"] / 1000 == pytest.approx(p * (1 - p), abs=0.06)
    assert counts["top and bottom"] / 1000 == pytest.approx(p * (1 - p), abs=0.06)
    assert counts["both"] / 1000 == pytest.approx(p * p, abs=0.06)


@every_kind
def test_a_probability_of_a_half_applies_half_of_the_time(kind):
    picture, masks = sample(2, 24, 37)
    spec = SteelShift(dark=0) if kind is SteelShift else make(kind, 0.5)
    if kind is UpTo:
        spec = UpTo(count=1, of=(HFlip(p=1.0),))
    if kind is DefectBlackout:
        spec = DefectBlackout(component=1.0)
    augmenter, rng = Augmenter((spec,)), np.random.default_rng(0)
    same = [np.array_equal(augmenter(picture, masks, rng)[0], picture) for _ in range(300)]
    assert np.mean(same) == pytest.approx(0.5, abs=0.12)


# pictures alone


@pytest.mark.parametrize("kind", PICTURE_ONLY)
def test_photometric_augmentations_keep_masks(kind):
    picture, masks = sample(3, 24, 37)
    for seed in range(10):
        assert np.array_equal(apply((make(kind),), picture, masks, seed)[1], masks)


@pytest.mark.parametrize("kind", [*GREYS, Jpeg])
def test_photometric_augmentations_move_nothing(kind):
    """Motion blur with a shifted kernel would."""
    picture, square = marked()
    for seed in range(20):
        changed, _ = apply((make(kind),), picture, square[None], seed)
        assert np.hypot(*(centre(changed > 130) - centre(square))) < 0.5


def test_brightness_changes_whether_mirrored_or_not():
    picture, masks = sample(1)
    augmenter = Augmenter((HFlip(), BrightnessContrast()))
    rng = np.random.default_rng(0)
    counts = Counter()
    for _ in range(1000):
        changed, planes = augmenter(picture, masks, rng)
        mirrored = not np.array_equal(planes, masks)
        greys = picture[:, ::-1] if mirrored else picture
        counts[mirrored, not np.array_equal(changed, greys)] += 1
    assert len(counts) == 4
    assert all(count == pytest.approx(250, abs=60) for count in counts.values())


@pytest.mark.parametrize(("of", "tenth"), [("mean", 9.475), ("white", 25.5)])
def test_brightness_and_contrast_are_one_straight_line_within_their_limits(of, tenth):
    greys, masks = sample(2)
    greys = (greys.astype(int) // 2 + 60).astype(np.uint8)  # far from black and white
    lines = []
    for seed in range(150):
        spec = BrightnessContrast(brightness=0.1, contrast=0.2, brightness_of=of, p=1.0)
        changed, planes = apply((spec,), greys, masks, seed)
        assert np.array_equal(planes, masks)
        slope, offset = np.polyfit(greys.ravel(), changed.ravel(), 1)
        assert np.abs(changed - (slope * greys + offset)).max() <= 1.01
        lines.append((slope, offset))
    slopes, offsets = np.transpose(lines)
    assert 0.79 < slopes.min() < 0.83
    assert 1.17 < slopes.max() < 1.21
    assert -tenth - 1.5 < offsets.min() < -0.75 * tenth
    assert 0.75 * tenth < offsets.max() < tenth + 1.5
    assert abs(slopes.mean() - 1) < 0.04
    assert abs(offsets.mean()) < 4
    assert abs(np.corrcoef(slopes, offsets)[0, 1]) < 4 / np.sqrt(150)  # drawn apart


@pytest.mark.parametrize(
    ("of", "greys", "darkest", "brightest"),
    [
        ("mean", (40, 40), (32, 32), (48, 48)),  # a fifth of 40 is 8
        ("mean", (200, 200), (160, 160), (240, 240)),
        ("mean", (0, 100), (0, 90), (10, 110)),  # a fifth of the mean, 50, is 10
        ("white", (40, 40), (0, 0), (91, 91)),  # a fifth of 255 is 51
        ("white", (100, 140), (49, 89), (151, 191)),
    ],
)
def test_brightness_adds_up_to_a_share_of_the_mean_or_of_white(of, greys, darkest, brightest):
    """The mean: albumentations 0.3.3 of September 2019. White: since 0.4."""
    picture = np.repeat(np.array(greys, np.uint8), 50)[None].repeat(10, 0)
    spec = BrightnessContrast(brightness=0.2, contrast=0.0, brightness_of=of, p=1.0)
    ends = []
    for seed in range(200):
        changed, _ = apply((spec,), picture, picture[None] > 300, seed)
        assert len(np.unique(changed[:, :50])) == len(np.unique(changed[:, 50:])) == 1
        ends.append(changed[0, [0, -1]].astype(int))
    assert np.min(ends, 0) == pytest.approx(darkest, abs=1.5)  # and fractions are cut off
    assert np.max(ends, 0) == pytest.approx(brightest, abs=1.5)


def test_contrast_multiplies_and_is_not_centred_on_the_mean():
    spec = BrightnessContrast(brightness=0.0, contrast=0.2, p=1.0)
    flat = [on_flat(spec, 100, seed=seed)[0, 0] for seed in range(200)]
    assert (min(flat), max(flat)) == pytest.approx((80, 120), abs=1.5)


def test_brightness_stops_at_black_and_white():
    for value, of in product((255, 0), ("mean", "white")):
        spec = BrightnessContrast(brightness_of=of, p=1.0)
        flat = np.full((4, 4), value, np.uint8)
        for seed in range(20):
            changed, _ = apply((spec,), flat, flat[None] > 0, seed)
            assert len(np.unique(changed)) == 1
            assert abs(int(changed[0, 0]) - value) <= 0.4 * 255 + 1  # and never wraps around


@pytest.mark.parametrize("limit", [0.2, 0.6])
def test_gamma_is_the_inverse_of_one_power_within_its_limits(limit):
    """RandomGamma of albumentations 0.3.3 (September 2019)."""
    greys = np.arange(256, dtype=np.uint8).reshape(16, 16)
    gammas = []
    for seed in range(100):
        changed, _ = apply((Gamma(limit=limit, p=1.0),), greys, greys[None] > 300, seed)
        power = np.log((changed[8, 0] + 0.5) / 255) / np.log(128 / 255)
        assert np.abs(changed - 255 * (greys / 255) ** power).max() < 3
        gammas.append(1 / power)
    assert 1 - limit == pytest.approx(min(gammas), abs=0.03)
    assert 1 + limit == pytest.approx(max(gammas), abs=0.03)
    assert np.mean(gammas) == pytest.approx(1, abs=4 * 2 * limit / np.sqrt(12 * 100))


def test_even_tiles_raise_a_low_contrast():
    picture = (sample(1, 64, 64)[0] // 16 + 100).astype(np.uint8)
    for clip in (1.0, 4.0):
        changed, _ = apply((Clahe(clip=clip, p=1.0),), picture, picture[None] > 300)
        assert changed.std() > 1.2 * picture.std()


def test_a_sharp_edge_gets_sharper_and_flat_steel_stays_flat():
    edge = np.repeat([[80, 100, 120, 140]], 4, 0).repeat(4, 1).astype(np.uint8)
    for seed in range(20):
        changed, _ = apply((Sharpen(p=1.0),), edge, edge[None] > 300, seed)
        assert int(changed[1, 8]) - int(changed[1, 7]) > 20
        flat = np.unique(on_flat(Sharpen(p=1.0), seed=seed))
        assert flat.size == 1
        assert 0.74 * 128 < flat[0] <= 128


@pytest.mark.parametrize(("side", "sides"), [(3, {3}), (4, {3}), (7, {3, 5, 7}), (8, {3, 5, 7})])
def test_blur_is_the_mean_of_an_odd_square(side, sides):
    picture, masks = sample(1, 20, 23)
    counts = Counter()
    for seed in range(40):
        changed, _ = apply((Blur(side=side, p=1.0),), picture, masks, seed)
        for odd in (3, 5, 7, 9):
            far = odd // 2
            square = picture[10 - far : 11 + far, 10 - far : 11 + far]
            counts[odd] += abs(square.mean() - changed[10, 10]) <= 0.51
    assert {odd for odd, count in counts.items() if count > 3} == sides
    assert sum(counts.values()) >= 40


@pytest.mark.parametrize(("length", "longest"), [(3, 3), (8, 7), (15, 15)])
def test_motion_blur_spreads_a_point_along_a_line(length, longest):
    point = np.zeros((41, 41), np.uint8)
    point[20, 20] = 255
    reach = 0
    for seed in range(60):
        changed, _ = apply((MotionBlur(length=length, p=1.0),), point, point[None] > 0, seed)
        rows, columns = np.nonzero(changed)
        assert int(changed.sum()) == pytest.approx(255, abs=longest)
        across = np.linalg.svd(np.stack([rows - 20.0, columns - 20.0]), compute_uv=False)[1]
        assert across / np.sqrt(rows.size) < 0.5  # as thin as a line of pixels can be
        reach = max(reach, np.ptp(rows) + 1, np.ptp(columns) + 1)
    assert reach == longest
    assert set(np.unique(on_flat(MotionBlur(p=1.0)))) == {128}


@pytest.mark.parametrize(
    ("spec", "variances"),
    [
        (GaussNoise(p=1.0), (10.0, 50.0)),  # the default of 2019
        (GaussNoise(low=2.55, high=12.75, drawn="deviation", p=1.0), (2.55**2, 12.75**2)),
    ],
)
def test_normal_noise_has_mean_0_and_a_variance_in_its_range(spec, variances):
    low, high = variances
    shape = (256, 256)
    exact = 4 * np.sqrt(2 / (256 * 256))  # four standard errors of a variance, as a share of it
    drawn = []
    for seed in range(60):
        noise = on_flat(spec, shape=shape, seed=seed) - 128.0
        variance = noise.var() - 1 / 12  # rounding to whole greys adds a twelfth
        assert low * (1 - exact) < variance < high * (1 + exact)
        assert abs(noise.mean()) < 4 * np.sqrt(high / noise.size)
        assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02
        drawn.append(variance if spec.drawn == "variance" else np.sqrt(variance))
    share = (np.array(drawn) - spec.low) / (spec.high - spec.low)
    assert share.min() < 0.1
    assert share.max() > 0.9
    assert share.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * 60))  # uniform


def test_normal_noise_stops_at_black_and_white():
    for value in (0, 255):
        noisy = on_flat(GaussNoise(low=900, high=900, p=1.0), value)
        assert abs(noisy.astype(int) - value).max() > 60
        assert (noisy == value).mean() == pytest.approx(0.5, abs=0.05)  # the half that is cut


def test_camera_noise_only_brightens_dark_pixels_more_and_by_its_intensity():
    picture = np.tile(np.array([0, 50, 100, 150, 200, 255], np.uint8), (400, 20))
    shares = []
    for seed in range(20):
        changed, _ = apply((IsoNoise(intensity=0.5, p=1.0),), picture, picture[None] > 300, seed)
        assert (changed >= picture).all()
        added = [changed[picture == grey].mean() - grey for grey in np.unique(picture)]
        assert sorted(added, reverse=True) == added
        assert added[-1] == 0
        share = added[0] / picture.std()
        assert added[3] == pytest.approx(added[0] * 105 / 255, rel=0.05)
        shares.append(share)
    assert 0.09 < min(shares) < 0.2
    assert 0.4 < max(shares) < 0.51
    assert set(np.unique(on_flat(IsoNoise(p=1.0)))) == {128}  # no variety, no noise


def test_salt_and_pepper_are_black_and_white_up_to_the_amount():
    counts = Counter()
    for seed in range(60):
        changed = on_flat(SaltPepper(amount=0.1, p=1.0), seed=seed)
        assert set(np.unique(changed)) <= {0, 128, 255}
        assert (changed != 128).mean() <= 0.1
        counts.update(changed.ravel().tolist())
    assert (counts[0] + counts[255]) / sum(counts.values()) == pytest.approx(0.05, abs=0.012)
    assert counts[0] / (counts[0] + counts[255]) == pytest.approx(0.5, abs=0.12)


def test_jpeg_has_a_quality_from_the_least_to_100():
    picture, masks = sample(1, 32, 32)
    ways = {}
    for quality in range(1, 101):
        _, stored = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
        ways[cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE).tobytes()] = quality
    qualities = {
        ways[apply((Jpeg(min_quality=90, p=1.0),), picture, masks, seed)[0].tobytes()]
        for seed in range(100)
    }
    assert min(qualities) == 90
    assert max(qualities) == 100
    assert Jpeg().min_quality == 99  # JpegCompression of albumentations 0.3.3


@pytest.mark.parametrize(("holes", "side"), [(1, 5), (3, 8), (8, 1)])
def test_holes_are_black_squares(holes, side):
    for seed in range(20):
        black = on_flat(Cutout(holes=holes, side=side, p=1.0), seed=seed) == 0
        assert side**2 <= black.sum() <= holes * side**2
        whole = np.zeros_like(black)
        for top, left in product(range(64 - side + 1), range(96 - side + 1)):
            window = np.s_[top : top + side, left : left + side]
            whole[window] |= black[window].all()
        assert np.array_equal(whole, black)  # every black pixel stands in a whole square
    assert not on_flat(Cutout(side=200, p=1.0)).any()


# moves


def marked(height=64, width=96, top=22, left=40, side=18):
    """Dark steel with a bright square, and the mask of the square."""
    square = np.zeros((height, width), bool)
    square[top : top + side, left : left + side] = True
    return np.where(square, 200, 60).astype(np.uint8), square


def centre(mask):
    return np.argwhere(mask).mean(0)


@pytest.mark.parametrize("spec", MOVES, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("classes", [1, 4, 6])
def test_picture_and_masks_move_together(spec, classes):
    places = [(4 + 7 * at, 10 + 12 * at) for at in range(classes)]
    squares = [marked(64, 96, *place, side=12) for place in places]
    masks = np.stack([square for _, square in squares])
    augmenter = Augmenter((spec.but(p=1.0),))
    for seed in range(8):
        for at, (picture, _) in enumerate(squares):
            changed, planes = augmenter(picture, masks, np.random.default_rng(seed))
            bright = changed > 130
            assert np.hypot(*(centre(bright) - centre(planes[at]))) < 1.5
            assert (bright & planes[at]).sum() / (bright | planes[at]).sum() > 0.8


@pytest.mark.parametrize("spec", MOVES, ids=lambda spec: spec.kind)
def test_no_black_appears_at_the_border(spec):
    for seed in range(20):
        assert set(np.unique(on_flat(spec.but(p=1.0), 77, seed=seed))) == {77}


def coordinates(spec, seed, height=80, width=120):
    """The source of each pixel: float ``(2, height, width)``, rows and columns."""
    planes = np.mgrid[:height, :width].astype(np.uint8)
    nothing = np.zeros((1, height, width), bool)
    return np.stack([apply((spec,), plane, nothing, seed)[0] for plane in planes]).astype(float)


def test_shift_scale_rotate_is_a_similarity_within_its_limits():
    shifts, scales, angles = [], [], []
    middle = np.s_[:, 25:55, 35:85]
    at = np.mgrid[:80, :120][middle].reshape(2, -1) - np.array([[39.5], [59.5]])
    design = np.vstack([at, np.ones(at.shape[1])]).T
    for seed in range(100):
        spec = ShiftScaleRotate(shift=0.1, scale=0.2, degrees=10.0, p=1.0)
        moved = coordinates(spec, seed)[middle].reshape(2, -1).T
        fitted, *_ = np.linalg.lstsq(design, moved, rcond=None)
        matrix = np.linalg.inv(fitted[:2].T)
        scale = np.sqrt(np.linalg.det(matrix))
        assert np.allclose(matrix @ matrix.T, scale**2 * np.eye(2), atol=0.03)  # both sides alike
        shifts.append((-matrix @ (fitted[2] - [39.5, 59.5])) / [80, 120])
        scales.append(scale)
        angles.append(np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0])))
    assert np.abs(shifts).max(0) == pytest.approx([0.1, 0.1], abs=0.015)
    assert min(scales) == pytest.approx(0.8, abs=0.03)
    assert max(scales) == pytest.approx(1.2, abs=0.03)
    assert min(angles) == pytest.approx(-10, abs=1)
    assert max(angles) == pytest.approx(10, abs=1)


def test_the_elastic_bend_of_the_14th_moves_pixels_by_about_three():
    inner = np.s_[:, 30:50, 30:90]
    moved = np.stack(
        [(coordinates(Elastic(p=1.0), seed) - np.mgrid[:80, :120])[inner] for seed in range(20)]
    )
    assert moved.std() == pytest.approx(3.2, abs=0.6)
    assert abs(moved.mean()) < 0.6


@pytest.mark.parametrize(("height", "width"), [(80, 120), (24, 127), (83, 29), (20, 20)])
def test_the_grid_keeps_the_order_of_rows_and_columns_and_its_ends(height, width):
    furthest = 0
    for seed in range(20):
        rows, columns = coordinates(GridDistortion(p=1.0), seed, height, width)
        for moved, axis, last in ((rows, 0, height - 1), (columns, 1, width - 1)):
            ordered = np.moveaxis(moved, axis, 0)
            assert (np.diff(ordered, axis=0) >= 0).all()
            assert ordered[0].max() <= 1
            assert ordered[-1].min() >= last - 2
        furthest = max(furthest, np.abs(columns - np.arange(width)).max() / width)
    assert 0.03 < furthest < 0.2


def test_a_picture_too_small_for_a_grid_is_not_changed():
    picture, masks = sample(2, 19, 64)
    for changed, before in zip(
        apply((GridDistortion(p=1.0),), picture, masks), (picture, masks), strict=True
    ):
        assert np.array_equal(changed, before)


def reflected(index, count):
    """The pixel that a reflecting border shows at an index."""
    index = np.mod(index, 2 * count)
    return np.where(index < count, index, 2 * count - 1 - index)


@pytest.mark.parametrize("shape", [(64, 128), (90, 60), (72, 72)])
@pytest.mark.parametrize("limit", [0.3, 2.0])
def test_the_lens_is_that_of_2019_in_picture_and_masks(shape, limit):
    """By numpy alone: r (1 + k r^2 + k r^4), r in widths of the picture in both directions."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    # linear sampling of a plane is exact, apart from rounding and OpenCV's 32nds of a pixel
    planes = (columns * 255 // (width - 1), rows * 255 // (height - 1))
    mask = (rows // 5 + columns // 7) % 2 == 0
    masks = np.stack([mask, np.zeros_like(mask), ~mask])
    signs = set()
    for seed in range(8):
        k = np.random.default_rng(seed).uniform(-limit, limit)
        x, y = (columns - (width - 1) / 2) / width, (rows - (height - 1) / 2) / width
        square = x**2 + y**2
        factor = 1 + k * square + k * square**2
        from_column = x * factor * width + (width - 1) / 2
        from_row = y * factor * width + (height - 1) / 2
        inside = (from_column >= 0) & (from_column <= width - 1)
        inside &= (from_row >= 0) & (from_row <= height - 1)
        for plane, source, last in zip(
            planes, (from_column, from_row), (width - 1, height - 1), strict=True
        ):
            changed, bent = distort_like_lens(
                plane.astype(np.uint8), masks, np.random.default_rng(seed), limit=limit
            )
            off = np.abs(changed - 255 * source / last)[inside]
            assert off.max() < 2 + 255 / last / 16
        near = np.zeros(shape, bool)
        for source in (from_column, from_row):
            near |= np.abs(source % 1 - 0.5) < 1 / 16
        nearest = (
            reflected(np.rint(from_row).astype(int), height),
            reflected(np.rint(from_column).astype(int), width),
        )
        assert near.mean() < 0.5
        assert np.array_equal(bent[0][~near], mask[nearest][~near])
        assert np.array_equal(bent[2][~near], ~mask[nearest][~near])
        assert not bent[1].any()
        signs.add(k > 0)
    assert signs == {True, False}


def test_a_lens_without_strength_changes_nothing_and_both_signs_are_drawn():
    picture, masks = sample(3, 24, 37)
    changed, planes = apply((OpticalDistortion(limit=1e-9, p=1.0),), picture, masks)
    assert np.array_equal(changed, picture)
    assert np.array_equal(planes, masks)
    moved = [coordinates(OpticalDistortion(p=1.0), seed)[1, 40, 100] for seed in range(30)]
    assert min(moved) < 98.5
    assert max(moved) > 101.5


# ours


def components(mask):
    """The 8-connected components of a mask as sets of pixels, by flooding."""
    left, components = set(map(tuple, np.argwhere(mask).tolist())), []
    while left:
        front, whole = [left.pop()], set()
        while front:
            row, column = front.pop()
            whole.add((row, column))
            for pixel in product((row - 1, row, row + 1), (column - 1, column, column + 1)):
                if pixel in left:
                    left.remove(pixel)
                    front.append(pixel)
        components.append(whole)
    return components


def spotted(seed, classes=3, height=30, width=40):
    """Grey steel without black, and classes of scattered spots that do not overlap."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.repeat(rng.integers(-9, classes, (10, 14)), 3, 0), 3, 1)[:height, :width]
    picture = rng.integers(1, 256, (height, width)).astype(np.uint8)
    return picture, np.stack([owner == at for at in range(classes)])


@pytest.mark.parametrize("margin", [0, 1, 4])
@pytest.mark.parametrize("seed", range(12))
def test_blackout_removes_whole_components_and_paints_them_and_their_rim(margin, seed):
    picture, masks = spotted(seed)
    spec = DefectBlackout(component=0.5, margin=margin, p=1.0)
    changed, planes = apply((spec,), picture, masks, seed)
    assert not (planes & ~masks).any()
    expected = picture.copy()
    for mask, plane in zip(masks, planes, strict=True):
        stayed = 0
        for whole in components(mask):
            values = {bool(plane[pixel]) for pixel in whole}
            assert len(values) == 1  # a component is removed as a whole or not at all
            if values == {True}:
                stayed += 1
                continue
            for row, column in whole:
                expected[
                    max(row - margin, 0) : row + margin + 1,
                    max(column - margin, 0) : column + margin + 1,
                ] = 0
        assert plane.any() == (stayed > 0)  # the label goes with the last component
    kept = planes.any(0)
    expected[kept] = picture[kept]
    assert np.array_equal(changed, expected)


def test_components_are_removed_independently_and_as_often_as_set():
    picture, masks = spotted(3)
    augmenter, rng = Augmenter((DefectBlackout(component=0.3, p=1.0),)), np.random.default_rng(0)
    firsts = [min(whole) for whole in components(masks[1])]
    gone = np.array(
        [
            [not augmented[1][pixel] for pixel in firsts]
            for augmented in (augmenter(picture, masks, rng)[1] for _ in range(400))
        ]
    )
    assert np.allclose(gone.mean(0), 0.3, atol=0.1)
    assert np.abs(np.corrcoef(gone.T) - np.eye(len(firsts))).max() < 0.25
    for share in (0.0, 1.0):
        changed, planes = apply((DefectBlackout(component=share, p=1.0),), picture, masks)
        assert np.array_equal(planes, masks & (share == 0))
        assert np.array_equal(changed, picture) == (share == 0)


def test_pixels_that_touch_at_a_corner_are_removed_together():
    masks = np.zeros((1, 9, 9), bool)
    masks[0, [3, 4, 5], [3, 4, 5]] = True
    sizes = {
        int(apply((DefectBlackout(p=1.0),), *spotted(0, 1, 9, 9)[:1], masks, seed)[1].sum())
        for seed in range(20)
    }
    assert sizes == {0, 3}


def test_a_clean_strip_is_not_blacked_out():
    picture, masks = sample(3)
    changed, planes = apply((DefectBlackout(p=1.0),), picture, np.zeros_like(masks))
    assert np.array_equal(changed, picture)
    assert not planes.any()


@pytest.mark.parametrize(("left", "right"), [(0, 0), (7, 0), (0, 5), (6, 4)])
def test_steel_is_rolled_and_black_ends_stay(left, right):
    picture, masks = sample(3, 12, 30)
    picture = picture // 2 + 60
    end = 30 - right
    picture[:, :left], picture[:, end:] = 3, 8
    masks[:, :, :left] = masks[:, :, end:] = False
    distances = set()
    for seed in range(300):
        changed, planes = apply((SteelShift(p=1.0),), picture, masks, seed)
        for black in (np.s_[:, :left], np.s_[:, end:]):
            assert np.array_equal(changed[black], picture[black])
        (distance,) = (
            step
            for step in range(end - left)
            if np.array_equal(changed[:, left:end], np.roll(picture[:, left:end], step, 1))
        )
        assert np.array_equal(planes[:, :, left:end], np.roll(masks[:, :, left:end], distance, 2))
        distances.add(distance)
    assert distances == set(range(1, end - left))


@pytest.mark.parametrize(
    "steel", [np.s_[:, :0], np.s_[:, 4:5], np.s_[:, ::2], np.s_[:, [1, 2, 8, 9]]]
)
def test_a_strip_without_contiguous_steel_is_not_changed(steel):
    picture, masks = sample(2, 12, 14)
    strip = np.zeros_like(picture)
    strip[steel] = picture[steel] // 2 + 60
    changed, planes = apply((SteelShift(p=1.0),), strip, masks)
    assert np.array_equal(changed, strip)
    assert np.array_equal(planes, masks)


def test_the_least_mean_of_a_column_of_steel_is_a_setting():
    strip = np.full((4, 10), 40, np.uint8)
    strip[:, 5:] = np.arange(100, 105)
    nothing = np.zeros((1, 4, 10), bool)
    changed, _ = apply((SteelShift(dark=41, p=1.0),), strip, nothing)
    assert np.array_equal(changed[:, :5], strip[:, :5])
    assert not np.array_equal(changed, strip)
    changed, _ = apply((SteelShift(dark=40, p=1.0),), strip, nothing)
    assert not np.array_equal(changed[:, :5], strip[:, :5])


# several


def test_one_of_several_is_drawn_by_the_ratios_of_their_probabilities():
    picture, masks = sample(1)
    spec = OneOf(of=(HFlip(p=0.3), VFlip(p=0.15), Rotate180(p=0.05), Gamma(p=0.0)), p=0.8)
    augmenter, rng = Augmenter((spec,)), np.random.default_rng(0)
    ways = {MIRRORS[kind](picture).tobytes(): kind for kind in MIRRORS}
    ways[picture.tobytes()] = None
    counts = Counter(ways[augmenter(picture, masks, rng)[0].tobytes()] for _ in range(2000))
    for kind, share in ((HFlip, 0.48), (VFlip, 0.24), (Rotate180, 0.08), (None, 0.2)):
        assert counts[kind] / 2000 == pytest.approx(share, abs=0.03)


def test_none_to_several_are_drawn_uniformly():
    picture, masks = sample(1, 9, 13)
    flips = (HFlip(p=1.0), VFlip(p=1.0), Gamma(limit=0.9, p=1.0))
    augmenter, rng = Augmenter((UpTo(count=2, of=flips),)), np.random.default_rng(0)
    ways = {
        masks.tobytes(): (),
        masks[:, :, ::-1].tobytes(): (0,),
        masks[:, ::-1].tobytes(): (1,),
        masks[:, ::-1, ::-1].tobytes(): (0, 1),
    }
    counts = Counter()
    for _ in range(1800):
        changed, planes = augmenter(picture, masks, rng)
        greys = not np.array_equal(np.sort(changed.ravel()), np.sort(picture.ravel()))
        counts[(*ways[planes.tobytes()], *((2,) if greys else ()))] += 1
    assert counts[()] / 1800 == pytest.approx(1 / 3, abs=0.04)
    for count in (1, 2):
        for drawn in combinations(range(3), count):
            assert counts[drawn] / 1800 == pytest.approx(1 / 9, abs=0.03)
    assert sum(counts.values()) == sum(counts[key] for key in counts if len(key) <= 2)


def test_what_is_drawn_is_applied_in_order_and_by_its_own_probability():
    picture, masks = sample(1)
    augmenter = Augmenter((UpTo(count=1, of=(HFlip(p=0.5),)),))
    rng = np.random.default_rng(0)
    same = [np.array_equal(augmenter(picture, masks, rng)[0], picture) for _ in range(600)]
    assert np.mean(same) == pytest.approx(0.75, abs=0.06)
    point = np.zeros((9, 9), np.uint8)
    point[4, 4] = 255
    blurred_last = UpTo(count=2, of=(SaltPepper(amount=0.0, p=1.0), Blur(side=3, p=1.0)))
    for seed in range(20):
        assert apply((blurred_last,), point, masks[:, :9, :9], seed)[0].max() in {255, 28}


NESTED = (
    OneOf(
        of=(
            UpTo(count=2, of=(HFlip(), OneOf(of=(Blur(p=0.3), Jpeg(p=0.0)), p=0.5), SteelShift())),
            DefectBlackout(p=0.2),
        ),
        p=0.9,
    ),
    UpTo(count=1, of=(OneOf(of=(Rotate180(),), p=1.0), UpTo(count=1, of=(VFlip(),)))),
)


@pytest.mark.parametrize(
    "augments",
    [(), tuple(make(kind, 0.5) for kind in KINDS), NESTED, (UpTo(count=9, of=MOVES[:9] + NESTED),)],
)
def test_only_the_generator_decides(augments):
    picture, masks = sample(3, 24, 37)
    augmenter = Augmenter(augments)
    fresh = [apply(augments, picture, masks, seed) for seed in range(12)]
    for seed in reversed(range(12)):  # in another order, with a used augmenter and with a copy
        copy = pickle.loads(pickle.dumps(augmenter))
        for other in (augmenter, copy):
            changed, planes = other(picture, masks, np.random.default_rng(seed))
            assert np.array_equal(changed, fresh[seed][0])
            assert np.array_equal(planes, fresh[seed][1])
    if augments:
        assert len({changed.tobytes() for changed, _ in fresh}) > 4


@every_kind
def test_the_effect_of_a_kind_depends_only_on_the_generator(kind):
    # strengths of Clahe differ visibly only in tiles of some hundred pixels
    picture, masks = sample(3, *((128, 256) if kind is Clahe else (24, 37)))
    augmenter = Augmenter((make(kind),))
    results = set()
    for seed in range(10):
        first = augmenter(picture, masks, np.random.default_rng(seed))
        again = apply((make(kind),), picture, masks, seed)
        assert np.array_equal(first[0], again[0])
        assert np.array_equal(first[1], again[1])
        results.add(first[0].tobytes())
    assert len(results) == 1 if kind in MIRRORS else len(results) > 1


@pytest.mark.parametrize("augments", [(HFlip(), BrightnessContrast()), NESTED, (make(IsoNoise),)])
def test_the_global_random_state_is_not_changed(augments):
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random(2).tolist()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    Augmenter(augments)(*sample(), np.random.default_rng(0))
    assert np.random.random(2).tolist() == expected  # noqa: NPY002


def test_views_of_larger_arrays_are_accepted():
    picture, masks = sample(2)
    window, planes = picture[2:8, 3:11], masks[:, 2:8, 3:11]
    changed, turned = apply((HFlip(p=1.0),), window[:, ::-1], planes[:, :, ::-1])
    assert np.array_equal(changed, window)
    assert np.array_equal(turned, planes)


@every_kind
def test_settings_round_trip_through_json_and_shares_are_checked(kind):
    adapter = TypeAdapter(Augment)
    spec = make(kind, 0.25)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec
    with pytest.raises(ValidationError):
        make(kind, 1.5)


def test_nested_settings_round_trip_through_json():
    adapter = TypeAdapter(tuple[Augment, ...])
    assert adapter.validate_json(adapter.dump_json(NESTED)) == NESTED


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (OneOf, {"of": ()}),
        (OneOf, {"of": (HFlip(p=0.0), VFlip(p=0.0))}),
        (UpTo, {"count": 3, "of": PLAIN_FLIPS}),
        (UpTo, {"count": 0, "of": PLAIN_FLIPS}),
        (Blur, {"side": 2}),
        (MotionBlur, {"length": 1}),
        (Clahe, {"clip": 0.5}),
        (Gamma, {"limit": 1.0}),
        (ShiftScaleRotate, {"scale": 1.0}),
        (Elastic, {"sigma": 0.5}),
        (Jpeg, {"min_quality": 0}),
        (GaussNoise, {"low": 5.0, "high": 4.0}),
        (GaussNoise, {"low": -1.0}),
        (Cutout, {"side": 0}),
        (DefectBlackout, {"margin": -1}),
    ],
)
def test_invalid_settings_are_refused(kind, settings):
    with pytest.raises(ValidationError):
        kind(**settings)


EDGES = (
    Gamma(limit=0.99, p=1.0),
    Gamma(limit=0.0, p=1.0),
    Clahe(clip=1.0, p=1.0),
    GaussNoise(low=255.0, high=255.0, drawn="deviation", p=1.0),
    GaussNoise(low=0.0, high=0.0, p=1.0),
    IsoNoise(intensity=0.0, p=1.0),
    SaltPepper(amount=1.0, p=1.0),
    Jpeg(min_quality=1, p=1.0),
    Jpeg(min_quality=100, p=1.0),
    ShiftScaleRotate(shift=1.0, scale=0.99, degrees=180.0, p=1.0),
    ShiftScaleRotate(shift=0.0, scale=0.0, p=1.0),
    Elastic(alpha=1000.0, sigma=1.0, p=1.0),
    GridDistortion(limit=1.0, p=1.0),
    OpticalDistortion(limit=10.0, p=1.0),
    Blur(side=99, p=1.0),
    MotionBlur(length=99, p=1.0),
    Cutout(holes=100, side=99, p=1.0),
    DefectBlackout(margin=99, p=1.0),
    SteelShift(dark=0, p=1.0),
    SteelShift(dark=255, p=1.0),
)


@pytest.mark.parametrize("spec", EDGES, ids=repr)
def test_extreme_settings_are_accepted(spec):
    for shape, seed in product(((1, 1), (24, 37)), range(5)):
        picture, masks = sample(3, *shape)
        changed, planes = apply((spec,), picture, masks, seed)
        assert (changed.dtype, changed.shape) == (np.uint8, shape)
        assert (planes.dtype, planes.shape) == (np.bool_, (3, *shape))
