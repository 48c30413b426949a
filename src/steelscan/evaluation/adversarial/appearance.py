"""How strips were taken, in fifteen numbers, and by which of them two sides of strips differ."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics import Estimate, auc_interval
from steelscan.strip import Picture

_DARK = 15
"""Mean grey below which a column shows no steel."""


class LookName(NamedTuple):
    """What one number of a look says, and how strips with more or less of it are called."""

    name: str
    more: str
    less: str


LOOKS: tuple[LookName, ...] = (
    LookName("black area", "have more black area", "have less black area"),
    LookName("black area, left half", "are blacker on the left", "are less black on the left"),
    LookName("black area, right half", "are blacker on the right", "are less black on the right"),
    LookName("brightness", "are brighter", "are darker"),
    LookName(
        "change of light along the strip",
        "change more in brightness from left to right",
        "change less in brightness from left to right",
    ),
    LookName(
        "change of light across the strip",
        "change more in brightness from top to bottom",
        "change less in brightness from top to bottom",
    ),
    LookName("darkest steel", "have brighter dark spots", "have darker dark spots"),
    LookName("dark quarter", "are brighter where dark", "are darker where dark"),
    LookName("median grey", "are brighter in the middle tones", "are darker in the middle tones"),
    LookName("bright quarter", "are brighter where bright", "are darker where bright"),
    LookName("brightest steel", "have brighter bright spots", "have darker bright spots"),
    LookName("contrast", "have more contrast", "have less contrast"),
    LookName("grain down the columns", "are grainier", "are less grainy"),
    LookName("streaks", "have more streaks along columns", "have fewer streaks along columns"),
    LookName("sharpness", "are sharper or noisier", "are less sharp, or have less noise"),
)
"""The numbers of `look`, in order. Greys are those of the steel, black columns left out."""


def look(picture: Picture) -> NDArray[np.float64]:
    """How a strip was taken, not what is on it: float64 ``(15,)``.

    Share of black columns, on the left and on the right; mean and deviation of the columns' means;
    grey levels of the steel at five quantiles; deviation along rows and columns; sharpness.
    """
    columns = picture.mean(axis=0)
    black = columns < _DARK
    half = len(columns) // 2
    steel = picture[:, ~black] if not black.all() else picture
    means = steel.mean(axis=0)
    fine = cv2.Laplacian(steel.astype(np.float32), cv2.CV_32F)
    numbers = [
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
        float(np.abs(np.asarray(fine)).mean()),
    ]
    return np.array(numbers, np.float64)


def looks(pictures: Iterable[Picture]) -> NDArray[np.float64]:
    """`look` of each picture, float64 ``(pictures, 15)``."""
    return np.stack([look(picture) for picture in pictures])


@dataclass(frozen=True)
class LookDifference:
    """One number by which test strips differ from training strips, taken alone.

    Attributes:
        name: of the number, as in `LOOKS`.
        words: what test strips do, as "have more black area".
        auc: how well it tells them apart, turned so that it is over 0.5.
        train: its median over the training strips.
        test: its median over the test strips.
        certain: whether the interval of the AUC leaves out 0.5.
    """

    name: str
    words: str
    auc: Estimate
    train: float
    test: float
    certain: bool


def look_differences(
    train: NDArray[np.float64],
    test: NDArray[np.float64],
    groups: NDArray[np.int64],
    level: float = 0.95,
) -> tuple[LookDifference, ...]:
    """By which numbers of their looks test strips differ, the most telling first.

    ``train`` and ``test`` are float64 ``(strips, 15)``, ``groups`` int64 of all of them, training
    strips first. Each number is tried twice: whether it is higher or lower on test strips, and
    whether it lies farther from the median, on either side; the better way is told. All intervals
    together hold with ``level``, so that of many numbers none is named by luck (Bonferroni).
    Raises InputError when a side has fewer than two groups.
    """
    values = np.concatenate([train, test])
    is_test = np.arange(len(values)) >= len(train)
    each = 1 - (1 - level) / (2 * values.shape[1])
    found = []
    for number, column in zip(LOOKS, values.T, strict=True):
        apart = np.abs(column - np.median(column))
        varied = f"vary more in {number.name}", f"vary less in {number.name}"
        tried = []
        for scores, words in ((column, (number.more, number.less)), (apart, varied)):
            auc = auc_interval(scores, is_test, groups, level=each)
            more = auc.value >= 0.5
            medians = float(np.median(scores[~is_test])), float(np.median(scores[is_test]))
            turned = auc if more else Estimate(1 - auc.value, 1 - auc.high, 1 - auc.low)
            text = words[0] if more else words[1]
            tried.append(LookDifference(number.name, text, turned, *medians, turned.low > 0.5))
        found.append(min(tried, key=_telling))
    return tuple(sorted(found, key=_telling))


def _telling(each: LookDifference) -> tuple[bool, float]:
    """The key by which the most telling comes first; of equals the first."""
    return not each.certain, -each.auc.value
