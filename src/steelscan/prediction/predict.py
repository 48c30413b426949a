"""From a strip to the probabilities of an ensemble, at the strip's own size. No torch here.

What trains and what is deployed both go this way; they differ in who answers: a network of torch
(`Voter`), or a graph of a bundle.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.data import Shrink, pad, padded_frame, resize_picture
from steelscan.prediction.averages import Floats, lifted, lowered, mean_of
from steelscan.prediction.heads import Heads, Sort
from steelscan.prediction.specs import Average, LogitMean, Mean, PowerMean, Tiles, View
from steelscan.prediction.sums import MapSum, WordList, placed
from steelscan.prediction.tiles import in_tiles
from steelscan.strip import Frame, Picture

_MEAN = Mean()


class Answerer(Protocol):
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

    def answer(self, strip: Picture, views: Sequence[View], sort: Sort) -> Heads:
        """What it says of a strip, uint8 ``(height, width)``, of a size that its stride divides.

        "shares" are probabilities, a plane a class; "logits" have one more where they are for
        softmax; "both" are probabilities, then logits, of the same answer. A mean alone may be
        given where the average is linear in these.
        """
        ...


def predict_classes(
    voters: Sequence[Answerer],
    views: Sequence[View],
    picture: Picture,
    average: Average = _MEAN,
    classes: int | None = None,
) -> NDArray[np.float32]:
    """The probability of each class for a whole strip, float32 ``(classes,)``.

    Each class is averaged over the voters that know it and the views; one that no voter knows is
    not a number. ``classes`` is how many there are; None: as many as the voters know.
    """
    _, said = _predict(voters, views, picture, average, classes, {"classes"})
    assert said is not None
    return said


def predict_masks(
    voters: Sequence[Answerer],
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
    masks, _ = _predict(voters, views, picture, average, classes, {"masks"})
    assert masks is not None
    return masks


def predict_both(
    voters: Sequence[Answerer],
    views: Sequence[View],
    picture: Picture,
    average: Average = _MEAN,
    classes: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What `predict_masks` and `predict_classes` say, of networks with two heads, asked once."""
    masks, said = _predict(voters, views, picture, average, classes, {"masks", "classes"})
    assert masks is not None
    assert said is not None
    return masks, said


def to_levels(probabilities: Floats) -> NDArray[np.uint8]:
    """Probabilities as whole 255ths, as they are stored and cleaned; rounded to the nearest."""
    return np.rint(probabilities * 255).astype(np.uint8)


def _predict(
    voters: Sequence[Answerer],
    views: Sequence[View],
    picture: Picture,
    average: Average,
    classes: int | None,
    heads: set[Literal["masks", "classes"]],
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """Ask each voter once, for the heads that are wanted."""
    frame = Frame(*picture.shape)
    outlined, judged, softmax = MapSum(), WordList(), False
    for voter in voters:
        asked = said_by(voter, views, picture, sort_for(average))
        if "masks" in heads:
            assert asked.masks is not None
            softmax = voter.softmax
            outlined.add(lifted_maps(average, asked.masks, views, frame, softmax), voter.classes)
        if "classes" in heads:
            assert asked.classes is not None
            judged.add(lifted_words(average, asked.classes, views), voter.classes)
    masks = said = None
    if "masks" in heads:
        ids, means = outlined.means()
        masks = placed(ids, lowered(average, means, softmax), classes, 0.0)
    if "classes" in heads:
        ids, means = judged.means()
        said = placed(ids, lowered(average, means), classes, np.nan)
    return masks, said


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


def sort_for(average: Average) -> Sort:
    """What an average is made of."""
    return "logits" if isinstance(average, LogitMean) else "shares"


def _mirrored(views: Sequence[View]) -> list[bool]:
    return [view != "identity" for view in views]


def said_by(voter: Answerer, views: Sequence[View], picture: Picture, sort: Sort) -> Heads:
    """What a voter says of a strip, ``(answers, planes, ...)`` as it sees it, not padded."""
    frame = Frame(*picture.shape)
    seen = voter.resize.frame(frame) if voter.resize else frame
    strip = pad(resize_picture(picture, seen), _room(seen))

    def ask(part: Picture) -> Heads:
        return voter.answer(part, views, sort)

    masks, classes = in_tiles(ask, strip, voter.tiles) if voter.tiles else ask(strip)
    return Heads(None if masks is None else masks[..., : seen.height, : seen.width], classes)


def _room(seen: Frame) -> Frame:
    """The padded size of a strip; of one deepest cell, which group norms refuse, it makes two."""
    room = padded_frame(seen)
    one_cell = padded_frame(Frame(1, 1))
    return Frame(room.height, 2 * room.width) if room == one_cell else room


def _enlarged(planes: Floats, frame: Frame) -> Floats:
    """Scale ``(classes, height, width)`` to a frame, bilinearly."""
    if planes.shape[1:] == tuple(frame):
        return planes
    return np.stack(
        [cv2.resize(plane, frame[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes]
    )
