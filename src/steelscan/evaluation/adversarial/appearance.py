"""How strips were photographed, in fifteen features, and in which of them test strips differ."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics import LEVEL, Estimate, auc_interval
from steelscan.strip import Picture

_DARK = 15
"""A column whose mean grey level is below this shows no steel."""


class Feature(NamedTuple):
    """A feature's name, and phrases for strips with a higher or a lower value of it."""

    name: str
    higher: str
    lower: str


FEATURES: tuple[Feature, ...] = (
    Feature("black area", "have more black area", "have less black area"),
    Feature("black area, left half", "are blacker on the left", "are less black on the left"),
    Feature("black area, right half", "are blacker on the right", "are less black on the right"),
    Feature("brightness", "are brighter", "are darker"),
    Feature(
        "change of light along the strip",
        "change more in brightness from left to right",
        "change less in brightness from left to right",
    ),
    Feature(
        "change of light across the strip",
        "change more in brightness from top to bottom",
        "change less in brightness from top to bottom",
    ),
    Feature("darkest steel", "have brighter dark spots", "have darker dark spots"),
    Feature("dark quarter", "are brighter where dark", "are darker where dark"),
    Feature("median grey", "are brighter in the middle tones", "are darker in the middle tones"),
    Feature("bright quarter", "are brighter where bright", "are darker where bright"),
    Feature("brightest steel", "have brighter bright spots", "have darker bright spots"),
    Feature("contrast", "have more contrast", "have less contrast"),
    Feature("grain down the columns", "are grainier", "are less grainy"),
    Feature("streaks", "have more streaks along columns", "have fewer streaks along columns"),
    Feature("sharpness", "are sharper or noisier", "are less sharp, or have less noise"),
)
"""The features, in order. Grey levels are those of the columns that show steel."""


def features_of(picture: Picture) -> NDArray[np.float64]:
    """Return the features of one picture, float64 ``(15,)``: how it was taken, not its content.

    Share of black columns, also of each half; mean and deviation of the columns' means; five
    quantiles of the steel's grey levels; deviation along rows and columns; sharpness.
    """
    columns = picture.mean(axis=0)
    black = columns < _DARK
    half = len(columns) // 2
    steel = picture[:, ~black] if not black.all() else picture
    means = steel.mean(axis=0)
    edges = cv2.Laplacian(steel.astype(np.float32), cv2.CV_32F)
    features = [
        black.mean(),
        black[:half].mean() if half else 0.0,
        black[half:].mean(),
        means.mean(),
        means.std(),
        steel.mean(axis=1).std(),
        *np.quantile(steel, (0.01, 0.25, 0.5, 0.75, 0.99)),
        steel.std(),
        np.abs(np.diff(steel.astype(np.float32), axis=0)).mean() if len(steel) > 1 else 0.0,
        np.abs(np.diff(means)).mean() if len(means) > 1 else 0.0,
        float(np.abs(np.asarray(edges)).mean()),
    ]
    return np.array(features, np.float64)


def appearance_features(pictures: Iterable[Picture]) -> NDArray[np.float64]:
    """Return the features of each picture, float64 ``(pictures, 15)``."""
    return np.stack([features_of(picture) for picture in pictures])


@dataclass(frozen=True)
class AppearanceDifference:
    """The difference between test and training strips in one feature.

    Attributes:
        name: of the feature, as in `FEATURES`.
        phrase: the difference in words, as "have more black area".
        auc: how well the feature alone separates them, mirrored to be at least 0.5.
        train: its median over the training strips.
        test: its median over the test strips.
        certain: whether the interval of the AUC is above 0.5.
    """

    name: str
    phrase: str
    auc: Estimate
    train: float
    test: float
    certain: bool


def appearance_differences(
    train: NDArray[np.float64], test: NDArray[np.float64], groups: NDArray[np.int64]
) -> tuple[AppearanceDifference, ...]:
    """Return in which features test strips differ, the most certain differences first.

    ``train`` and ``test`` are float64 ``(strips, 15)``, ``groups`` is int64 for all of them,
    training strips first. Each feature is tested twice: whether it is higher or lower on test
    strips, and whether it is farther from the median; the better separation is returned. All
    intervals hold together with a confidence of 95 % (Bonferroni). Raises InputError if training
    or test strips have fewer than two groups.
    """
    values = np.concatenate([train, test])
    is_test = np.arange(len(values)) >= len(train)
    level = 1 - (1 - LEVEL) / (2 * values.shape[1])
    differences = []
    for feature, column in zip(FEATURES, values.T, strict=True):
        deviation = np.abs(column - np.median(column))
        varied = f"vary more in {feature.name}", f"vary less in {feature.name}"
        tests = []
        for scores, phrases in ((column, (feature.higher, feature.lower)), (deviation, varied)):
            auc = auc_interval(scores, is_test, groups, level=level)
            higher = auc.value >= 0.5
            medians = float(np.median(scores[~is_test])), float(np.median(scores[is_test]))
            mirrored = auc if higher else Estimate(1 - auc.value, 1 - auc.high, 1 - auc.low)
            phrase = phrases[0] if higher else phrases[1]
            certain = mirrored.low > 0.5
            tests.append(AppearanceDifference(feature.name, phrase, mirrored, *medians, certain))
        differences.append(min(tests, key=_rank))
    return tuple(sorted(differences, key=_rank))


def _rank(each: AppearanceDifference) -> tuple[bool, float]:
    """Return the sort key that puts certain and large differences first."""
    return not each.certain, -each.auc.value
