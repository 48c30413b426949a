"""From a strip to the probabilities of an ensemble, at the strip's own size. No torch here.

What trains and what is deployed both go this way; they differ in who answers: a network of torch
(`TorchModel`), or a graph of a bundle.
"""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.data import Shrink, pad, padded_frame, resize_picture
from steelscan.prediction.averages import Floats, lifted, lowered, mean_of
from steelscan.prediction.outputs import ModelOutputs, OutputKind
from steelscan.prediction.specs import Average, LogitMean, Mean, PowerMean, Tiles, View
from steelscan.prediction.sums import ClassMeans, Left, MapSum, placed
from steelscan.prediction.tiles import in_tiles
from steelscan.strip import Frame, Picture, RunError

_MEAN = Mean()

Head: TypeAlias = Literal["masks", "classes"]


class Model(Protocol):
    """What has a say in an ensemble.

    It sees a strip as ``resize`` says (None: at its size), whole or in ``tiles``. Of ``classes``,
    ids from 1, it knows only those (None: all). Logits of its masks are for ``softmax`` or not.
    """

    @property
    def resize(self) -> Shrink | None: ...  # noqa: D102
    @property
    def classes(self) -> tuple[int, ...] | None: ...  # noqa: D102
    @property
    def tiles(self) -> Tiles | None: ...  # noqa: D102
    @property
    def softmax(self) -> bool: ...  # noqa: D102

    def answer(self, strip: Picture, views: Sequence[View], sort: OutputKind) -> ModelOutputs:
        """What it says of a strip, uint8 ``(height, width)``, of a size that its stride divides.

        "shares" are probabilities, a plane a class; "logits" have one more where they are for
        softmax; "both" are probabilities, then logits, of the same answer. A mean alone may be
        given where the average is linear in these.
        """
        ...


def predict_classes(
    models: Sequence[Model],
    views: Sequence[View],
    picture: Picture,
    average: Average = _MEAN,
    classes: int | None = None,
) -> NDArray[np.float32]:
    """The probability of each class for a whole strip, float32 ``(classes,)``.

    Each class is averaged over the voters that know it and the views; one that no voter knows is
    not a number. ``classes`` is how many there are; None: as many as the voters know.
    """
    _, said = _predict(models, views, picture, average, classes, {"classes"})
    assert said is not None
    return said


def predict_masks(
    models: Sequence[Model],
    views: Sequence[View],
    picture: Picture,
    average: Average = _MEAN,
    classes: int | None = None,
) -> NDArray[np.float32]:
    """The probability of each class and pixel, float32 ``(classes, height, width)``.

    Each class is averaged over the voters that know it and the views; one that no voter knows has
    probability 0. ``classes`` is how many there are; None: as many as the voters know.
    Where a network sees the strip smaller, what it says is enlarged before it is averaged.
    """
    masks, _ = _predict(models, views, picture, average, classes, {"masks"})
    assert masks is not None
    return masks


def predict_both(
    models: Sequence[Model],
    views: Sequence[View],
    picture: Picture,
    average: Average = _MEAN,
    classes: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What `predict_masks` and `predict_classes` say, of networks with two heads, asked once."""
    masks, said = _predict(models, views, picture, average, classes, {"masks", "classes"})
    assert masks is not None
    assert said is not None
    return masks, said


def to_uint8(probabilities: Floats) -> NDArray[np.uint8]:
    """Probabilities as whole 255ths, as they are stored and cleaned; rounded to the nearest.

    Raises RunError for what is not a number: it would be 0, sound steel.
    """
    levels = np.empty(probabilities.shape, np.uint8)
    _fill_levels(levels, probabilities)
    return levels


def _fill_levels(levels: NDArray[np.uint8], probabilities: Floats) -> None:
    """The same into what is there; halves go to even numbers."""
    if probabilities.size and np.isnan(probabilities.min()):
        remedy = "Train anew with a lower learning rate"
        raise RunError("a probability", "is not a number", remedy)
    whole = probabilities.size and probabilities.flags.c_contiguous
    if whole and probabilities.dtype == np.float32:
        rows = probabilities.reshape(-1, probabilities.shape[-1])
        cv2.convertScaleAbs(rows, dst=levels.reshape(rows.shape), alpha=255.0)
    else:
        levels[...] = np.rint(probabilities * 255)


def _predict(
    models: Sequence[Model],
    views: Sequence[View],
    picture: Picture,
    average: Average,
    classes: int | None,
    heads: set[Head],
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """Ask each voter once, for the heads that are wanted."""
    poll = EnsembleMean(views, picture, average, heads)
    for voter in models:
        poll.ask(voter)
    masks = poll.masks(classes) if "masks" in heads else None
    return masks, poll.classes(classes) if "classes" in heads else None


class EnsembleMean:
    """The voters of an ensemble asked about one strip, one by one, and what they come to."""

    def __init__(
        self, views: Sequence[View], picture: Picture, average: Average, heads: set[Head]
    ) -> None:
        self._views, self._picture, self._average, self._heads = views, picture, average, heads
        self._softmax = False
        self._outlined, self._judged = MapSum(), ClassMeans()

    def ask(self, voter: Model) -> None:
        """Ask one voter more, for the heads that are wanted."""
        said = predict_views(voter, self._views, self._picture, kind_for(self._average))
        if "masks" in self._heads:
            assert said.masks is not None
            self._softmax = voter.softmax
            frame = Frame(*self._picture.shape)
            maps = lifted_maps(self._average, said.masks, self._views, frame, self._softmax)
            self._outlined.add(maps, voter.classes)
        if "classes" in self._heads:
            assert said.classes is not None
            words = lifted_words(self._average, said.classes, self._views)
            self._judged.add(words, voter.classes)

    def masks(self, classes: int | None, left: Left | None = None) -> NDArray[np.float32]:
        """The probabilities of pixels, as `predict_masks` gives them.

        ``left`` says of voters not asked yet how many know each class, and which probability they
        give all pixels: with 1 the result is the most that the answer can become, with 0 the
        least; not so where logits are averaged, which know no end.
        """
        ids, means = self._outlined.means(left)
        return placed(ids, lowered(self._average, means, self._softmax), classes, 0.0)

    def levels(self, classes: int) -> NDArray[np.uint8]:
        """`to_uint8` of the probabilities of pixels, uint8 ``(classes, height, width)``."""
        if self._softmax:  # what lowers logits wants all planes at once
            return to_uint8(self.masks(classes))
        levels = np.zeros((classes, *self._picture.shape), np.uint8)
        for known, mean in self._outlined.each_mean():
            _fill_levels(levels[known - 1], lowered(self._average, mean))
        return levels

    def classes(self, classes: int | None, left: Left | None = None) -> NDArray[np.float32]:
        """The probabilities of classes, as `predict_classes` gives them; ``left`` as above."""
        ids, means = self._judged.means(left)
        return placed(ids, lowered(self._average, means), classes, np.nan)


def lifted_maps(
    average: Average, planes: Floats, views: Sequence[View], frame: Frame, softmax: bool
) -> Floats:
    """What a voter's maps add to an average, float ``(classes, height, width)`` of the strip.

    ``planes`` is what it says of each view, or on their mean, ``(answers, planes, ...)`` as it sees
    the strip: probabilities, for `LogitMean` logits, with one plane more where they are for
    ``softmax``.
    """
    if isinstance(average, PowerMean):  # a power of what is between, not between powers
        planes = np.stack([_enlarged(each, frame) for each in planes])
    return _enlarged(mean_of(lifted(average, planes, _mirrored(views), softmax=softmax)), frame)


def lifted_words(average: Average, said: Floats, views: Sequence[View]) -> Floats:
    """What a voter's judgement ``(answers, classes)`` adds to an average, float ``(classes,)``."""
    return mean_of(lifted(average, said, _mirrored(views)))


def kind_for(average: Average) -> OutputKind:
    """What an average is made of."""
    return "logits" if isinstance(average, LogitMean) else "shares"


def _mirrored(views: Sequence[View]) -> list[bool]:
    return [view != "identity" for view in views]


def predict_views(
    voter: Model, views: Sequence[View], picture: Picture, sort: OutputKind
) -> ModelOutputs:
    """What a voter says of a strip, ``(answers, planes, ...)`` as it sees it, not padded."""
    frame = Frame(*picture.shape)
    seen = voter.resize.frame(frame) if voter.resize else frame
    strip = pad(resize_picture(picture, seen), _room(seen))

    def ask(part: Picture) -> ModelOutputs:
        return voter.answer(part, views, sort)

    masks, classes = in_tiles(ask, strip, voter.tiles) if voter.tiles else ask(strip)
    return ModelOutputs(None if masks is None else masks[..., : seen.height, : seen.width], classes)


def _room(seen: Frame) -> Frame:
    """The padded size of a strip; of one deepest cell, which group norms refuse, it makes two."""
    room = padded_frame(seen)
    one_cell = padded_frame(Frame(1, 1))
    return Frame(room.height, 2 * room.width) if room == one_cell else room


def _enlarged(planes: Floats, frame: Frame) -> Floats:
    """Scale ``(classes, height, width)`` to a frame, bilinearly."""
    if planes.shape[1:] == tuple(frame):
        return planes
    enlarged = np.empty((len(planes), *frame), planes.dtype)
    for plane, into in zip(planes, enlarged, strict=True):
        cv2.resize(plane, frame[::-1], dst=into, interpolation=cv2.INTER_LINEAR)
    return enlarged
