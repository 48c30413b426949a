"""The mean of an ensemble's outputs for one strip, at the size of the strip. No torch here."""

from collections.abc import Sequence, Set

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.prediction.averages import Floats, inverse, mean_of, transform
from steelscan.prediction.model import Head, Model, kind_for
from steelscan.prediction.predict import predict_views
from steelscan.prediction.specs import Average, Mean, PowerMean, View
from steelscan.prediction.sums import ClassSums, Remaining, for_all_classes
from steelscan.strip import Frame, Picture
from steelscan.strip.errors import RunError

_MEAN = Mean()
_MASKS: Set[Head] = frozenset({"masks"})


class EnsembleMean:
    """The running mean of an ensemble for one strip: models are added one by one.

    Each class is averaged over the views and over the models that predict it. The maps of a model
    that sees the strip smaller are enlarged before they are averaged.
    """

    def __init__(
        self,
        views: Sequence[View],
        picture: Picture,
        average: Average = _MEAN,
        heads: Set[Head] = _MASKS,
        models: Sequence[Model] = (),
    ) -> None:
        """Begin with the mean of some models; ``heads`` are the outputs that are wanted."""
        self._views, self._picture, self._average, self._heads = views, picture, average, heads
        self._softmax = False
        self._masks, self._classes = ClassSums(), ClassSums()
        for model in models:
            self.add(model)

    def add(self, model: Model) -> None:
        """Let a model predict the strip, and add its outputs."""
        outputs = predict_views(model, self._views, self._picture, kind_for(self._average))
        if "masks" in self._heads:
            assert outputs.masks is not None
            self._softmax = model.softmax
            frame = Frame(*self._picture.shape)
            maps = map_terms(self._average, outputs.masks, self._views, frame, self._softmax)
            self._masks.add(maps, model.classes)
        if "classes" in self._heads:
            assert outputs.classes is not None
            terms = class_terms(self._average, outputs.classes, self._views)
            self._classes.add(terms, model.classes)

    def masks(
        self, classes: int | None = None, remaining: Remaining | None = None
    ) -> NDArray[np.float32]:
        """Return the probability of each class and pixel, float32 ``(classes, height, width)``.

        It is 0 for a class that no model predicts. ``classes`` is their number; None: as many as
        the models predict. With ``remaining`` models: what it becomes if these give all pixels
        that probability. That is a bound unless logits are averaged, which have none.
        """
        ids, means = self._masks.means(remaining)
        return for_all_classes(ids, inverse(self._average, means, self._softmax), classes, 0.0)

    def masks_uint8(self, classes: int) -> NDArray[np.uint8]:
        """Return `to_uint8` of the probabilities of pixels, ``(classes, height, width)``."""
        if self._softmax:  # the inverse of softmax logits needs all planes at once
            return to_uint8(self.masks(classes))
        whole = np.zeros((classes, *self._picture.shape), np.uint8)
        for class_id, mean in self._masks.each_mean():
            _write_uint8(whole[class_id - 1], inverse(self._average, mean))
        return whole

    def classes(
        self, classes: int | None = None, remaining: Remaining | None = None
    ) -> NDArray[np.float32]:
        """Return the probability of each class on the whole strip, float32 ``(classes,)``.

        It is NaN for a class that no model predicts; the arguments are those of `masks`.
        """
        ids, means = self._classes.means(remaining)
        return for_all_classes(ids, inverse(self._average, means), classes, np.nan)


def map_terms(
    average: Average, planes: Floats, views: Sequence[View], frame: Frame, softmax: bool
) -> Floats:
    """Return what a model's maps add to an average, float ``(classes, height, width)``.

    ``planes`` are its outputs ``(rows, planes, ...)`` at the size at which it sees the strip.
    """
    if isinstance(average, PowerMean):  # enlarge probabilities, not their powers
        planes = np.stack([_enlarged(each, frame) for each in planes])
    return _enlarged(mean_of(transform(average, planes, _mirrored(views), softmax=softmax)), frame)


def class_terms(average: Average, outputs: Floats, views: Sequence[View]) -> Floats:
    """Return what a model's class outputs ``(rows, classes)`` add to an average, ``(classes,)``."""
    return mean_of(transform(average, outputs, _mirrored(views)))


def to_uint8(probabilities: Floats) -> NDArray[np.uint8]:
    """Return probabilities as whole 255ths, rounded to the nearest, as they are stored.

    Raises RunError for NaN: it would become 0, a clean pixel.
    """
    whole = np.empty(probabilities.shape, np.uint8)
    _write_uint8(whole, probabilities)
    return whole


def _write_uint8(into: NDArray[np.uint8], probabilities: Floats) -> None:
    """Write `to_uint8` into an array; halves are rounded to even."""
    if probabilities.size and np.isnan(probabilities.min()):
        remedy = "Train again with a lower learning rate"
        raise RunError("a probability", "is not a number", remedy)
    whole = probabilities.size and probabilities.flags.c_contiguous
    if whole and probabilities.dtype == np.float32:
        rows = probabilities.reshape(-1, probabilities.shape[-1])
        cv2.convertScaleAbs(rows, dst=into.reshape(rows.shape), alpha=255.0)
    else:
        into[...] = np.rint(probabilities * 255)


def _mirrored(views: Sequence[View]) -> list[bool]:
    return [view != "identity" for view in views]


def _enlarged(planes: Floats, frame: Frame) -> Floats:
    """Scale ``(classes, height, width)`` to a frame, bilinearly."""
    if planes.shape[1:] == tuple(frame):
        return planes
    enlarged = np.empty((len(planes), *frame), planes.dtype)
    for plane, into in zip(planes, enlarged, strict=True):
        cv2.resize(plane, frame[::-1], dst=into, interpolation=cv2.INTER_LINEAR)
    return enlarged
