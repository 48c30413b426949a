"""From a strip to the probabilities of an ensemble, at the strip's own size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from steelscan.data import Shrink, pad, padded_frame, resize_picture
from steelscan.models import Outputs, StripNetwork
from steelscan.prediction.averages import lifted, lowered
from steelscan.prediction.specs import Average, LogitMean, Mean, PowerMean, Tiles, View
from steelscan.prediction.sums import MapSum, WordList, placed
from steelscan.prediction.tiles import in_tiles
from steelscan.prediction.views import turn
from steelscan.strip import Frame, Picture

_MEAN = Mean()

Sort: TypeAlias = Literal["shares", "logits", "both"]
"""What a voter is asked for: probabilities, logits, or both of one answer."""


@dataclass(frozen=True)
class Voter:
    """A fitted network, in eval mode, the size at which it sees a strip, and what it knows.

    ``classes`` are the ids, from 1, of the classes that it answers for; None: all.
    """

    network: StripNetwork
    resize: Shrink | None
    classes: tuple[int, ...] | None = None
    tiles: Tiles | None = None


def predict_classes(
    voters: Sequence[Voter],
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
    voters: Sequence[Voter],
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
    voters: Sequence[Voter],
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


def to_levels(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities as whole 255ths, as they are stored and cleaned; rounded to the nearest."""
    return np.rint(probabilities * 255).astype(np.uint8)


def _predict(
    voters: Sequence[Voter],
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
            softmax = voter.network.output == "softmax"
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
    average: Average, planes: Tensor, views: Sequence[View], frame: Frame, softmax: bool
) -> Tensor:
    """What a voter's maps add to an average, float ``(classes, height, width)`` of the strip.

    ``planes`` is what it says of each view, ``(views, classes, ...)`` as it sees the strip:
    probabilities, for `LogitMean` logits, with one plane more where they are for ``softmax``.
    """
    turned = torch.stack([turn(each, view) for each, view in zip(planes, views, strict=True)])
    if isinstance(average, PowerMean):  # a power of what is between, not between powers
        turned = torch.stack([_enlarged(each, frame) for each in turned])
    return _enlarged(lifted(average, turned, _mirrored(views), softmax=softmax).mean(0), frame)


def lifted_words(average: Average, said: Tensor, views: Sequence[View]) -> Tensor:
    """What a voter's judgement ``(views, classes)`` adds to an average, float ``(classes,)``."""
    return lifted(average, said, _mirrored(views)).mean(0)


def sort_for(average: Average) -> Sort:
    """What an average is made of."""
    return "logits" if isinstance(average, LogitMean) else "shares"


def _mirrored(views: Sequence[View]) -> list[bool]:
    return [view != "identity" for view in views]


def said_by(voter: Voter, views: Sequence[View], picture: Picture, sort: Sort) -> Outputs:
    """What a voter says of each view of a strip, ``(views, planes, ...)``, not padded.

    "shares" are probabilities, a plane a class; "logits" have one more where they are for
    softmax; "both" are probabilities, then logits, of the same answer.
    """
    seen = _seen(voter, picture)
    resized = resize_picture(picture, seen).copy()  # torch wants it writable and unmirrored
    turned = [turn(torch.from_numpy(resized), view).numpy() for view in views]
    batch = np.stack([pad(strip, _room(seen)) for strip in turned])[:, None]
    device = next(voter.network.parameters()).device

    def ask(strips: Tensor) -> Outputs:
        with torch.inference_mode():
            outputs: Outputs = voter.network(strips.to(device))
            shares = outputs if sort == "logits" else voter.network.probabilities(outputs)
            said = _behind(shares, outputs) if sort == "both" else shares
        return Outputs(*(None if head is None else head.float().cpu() for head in said))

    # A CPU answers one view after another sooner, and with less memory, than all at once.
    parts = torch.split(torch.from_numpy(batch), 1 if device.type == "cpu" else len(batch))
    said = _joined(
        [in_tiles(ask, part, voter.tiles) if voter.tiles else ask(part) for part in parts]
    )
    inside = None if said.masks is None else said.masks[..., : seen.height, : seen.width]
    return Outputs(inside, said.classes)


def _behind(first: Outputs, second: Outputs) -> Outputs:
    """The planes of each head of two answers, those of the second behind those of the first."""
    heads = zip(first, second, strict=True)
    joined = (
        None if one is None or other is None else torch.cat([one, other], 1) for one, other in heads
    )
    return Outputs(*joined)


def _room(seen: Frame) -> Frame:
    """The padded size of a strip; of one deepest cell, which group norms refuse, it makes two."""
    room = padded_frame(seen)
    one_cell = padded_frame(Frame(1, 1))
    return Frame(room.height, 2 * room.width) if room == one_cell else room


def _joined(parts: Sequence[Outputs]) -> Outputs:
    """The answers for parts of a batch as those for all of it."""
    heads = zip(*parts, strict=True)
    return Outputs(*(None if head[0] is None else torch.cat(head) for head in heads))


def _seen(voter: Voter, picture: Picture) -> Frame:
    frame = Frame(*picture.shape)
    return voter.resize.frame(frame) if voter.resize else frame


def _enlarged(planes: Tensor, frame: Frame) -> Tensor:
    """Scale ``(classes, height, width)`` to a frame, bilinearly."""
    if tuple(planes.shape[1:]) == tuple(frame):
        return planes
    enlarged = [
        cv2.resize(plane.numpy(), frame[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes
    ]
    return torch.from_numpy(np.stack(enlarged))
