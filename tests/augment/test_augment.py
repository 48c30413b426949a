"""All kinds of augmentation, and those that change the picture alone."""

from collections import Counter
from itertools import product

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from tests.augment.samples import (
    KINDS,
    MIRRORS,
    MOVES,
    PLAIN_FLIPS,
    apply,
    centre,
    every_kind,
    make,
    marked,
    on_flat,
    sample,
)

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
    SaltPepper,
    Sharpen,
    ShiftScaleRotate,
    SteelShift,
    UpTo,
    VFlip,
)

GREYS = (BrightnessContrast, Gamma, Clahe, Sharpen, Blur, MotionBlur, GaussNoise, IsoNoise)
PICTURE_ONLY = (*GREYS, SaltPepper, Jpeg, Cutout)


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


@every_kind
def test_settings_round_trip_through_json_and_shares_are_checked(kind):
    adapter = TypeAdapter(Augment)
    spec = make(kind, 0.25)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec
    with pytest.raises(ValidationError):
        make(kind, 1.5)


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
