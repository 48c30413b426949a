"""From a strip to the probabilities of an ensemble, at the strip's own size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from steelscan.data import Shrink, pad, padded_frame, resize_picture
from steelscan.models import Outputs, StripNetwork
from steelscan.prediction.averages import lifted, lowered
from steelscan.prediction.specs import Average, LogitMean, Mean, PowerMean, Tiles, View
from steelscan.prediction.tiles import in_tiles
from steelscan.prediction.views import turn
from steelscan.strip import Frame, Picture

_MEAN = Mean()


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
    mirrored = [view != "identity" for view in views]
    outlined, judged, softmax = _Sum(), _List(), False
    for voter in voters:
        asked = _asked(voter, views, picture, logits=isinstance(average, LogitMean))
        if "masks" in heads:
            assert asked.masks is not None
            turned = [turn(planes, view) for planes, view in zip(asked.masks, views, strict=True)]
            planes = torch.stack(turned)
            if isinstance(average, PowerMean):  # a power of what is between, not between powers
                planes = torch.stack([_enlarged(each, frame) for each in planes])
            softmax = voter.network.output == "softmax"
            mean = lifted(average, planes, mirrored, softmax=softmax).mean(0)
            outlined.add(_enlarged(mean, frame), voter.classes)
        if "classes" in heads:
            assert asked.classes is not None
            judged.add(lifted(average, asked.classes, mirrored).mean(0), voter.classes)
    masks = said = None
    if "masks" in heads:
        ids, means = outlined.means()
        masks = _placed(ids, lowered(average, means, softmax), classes, 0.0)
    if "classes" in heads:
        ids, means = judged.means()
        said = _placed(ids, lowered(average, means), classes, np.nan)
    return masks, said


@dataclass
class _Sum:
    """The sum, a class, of the maps of the voters that know it: only one voter's are held."""

    totals: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, planes: Tensor, classes: tuple[int, ...] | None) -> None:
        """Add the maps ``(classes, height, width)`` of a voter that knows these classes."""
        for known, plane in zip(_ids(planes, classes), planes.numpy(), strict=True):
            self.totals[known] = self.totals[known] + plane if known in self.totals else plane
            self.counts[known] = self.counts.get(known, 0) + 1

    def means(self) -> tuple[list[int], Tensor]:
        """The classes that are known, and the mean of each."""
        ids = sorted(self.totals)
        means = [self.totals[known] / np.float32(self.counts[known]) for known in ids]
        return ids, torch.from_numpy(np.stack(means))


@dataclass
class _List:
    """What voters say of whole strips: float ``(classes,)`` each, and of which classes."""

    said: list[Tensor] = field(default_factory=list)
    ids: list[tuple[int, ...]] = field(default_factory=list)

    def add(self, said: Tensor, classes: tuple[int, ...] | None) -> None:
        """Add the answer of a voter that knows these classes."""
        self.said.append(said)
        self.ids.append(_ids(said, classes))

    def means(self) -> tuple[list[int], Tensor]:
        """The classes that are known, and the mean of each over the voters that know it.

        Classes that the same voters know are averaged together: torch adds up long and short rows
        in different orders.
        """
        known = sorted(set(chain.from_iterable(self.ids)))
        means = torch.empty(len(known))
        by_voters: dict[tuple[int, ...], list[int]] = {}
        for class_id in known:
            who = tuple(at for at, ids in enumerate(self.ids) if class_id in ids)
            by_voters.setdefault(who, []).append(class_id)
        for who, together in by_voters.items():
            rows = [self.said[at][[self.ids[at].index(each) for each in together]] for at in who]
            means[[known.index(each) for each in together]] = torch.stack(rows).mean(0)
        return known, means


def _ids(answer: Tensor, classes: tuple[int, ...] | None) -> tuple[int, ...]:
    return classes or tuple(range(1, len(answer) + 1))


def _placed(
    ids: Sequence[int], probabilities: Tensor, classes: int | None, unknown: float
) -> NDArray[np.float32]:
    """Probabilities ``(ids, ...)`` among those of all classes; of the others, this value."""
    whole = np.full((classes or ids[-1], *probabilities.shape[1:]), unknown, np.float32)
    whole[np.array(ids) - 1] = probabilities.numpy()
    return whole


def _asked(voter: Voter, views: Sequence[View], picture: Picture, *, logits: bool) -> Outputs:
    """Probabilities or logits of each view of a strip, ``(views, classes, ...)``, not padded."""
    seen = _seen(voter, picture)
    resized = resize_picture(picture, seen).copy()  # torch wants it writable and unmirrored
    turned = [turn(torch.from_numpy(resized), view).numpy() for view in views]
    batch = np.stack([pad(strip, _room(seen)) for strip in turned])[:, None]
    device = next(voter.network.parameters()).device

    def ask(strips: Tensor) -> Outputs:
        with torch.inference_mode():
            outputs: Outputs = voter.network(strips.to(device))
            said = outputs if logits else voter.network.probabilities(outputs)
        return Outputs(*(None if head is None else head.float().cpu() for head in said))

    # A CPU answers one view after another sooner, and with less memory, than all at once.
    parts = torch.split(torch.from_numpy(batch), 1 if device.type == "cpu" else len(batch))
    said = _joined(
        [in_tiles(ask, part, voter.tiles) if voter.tiles else ask(part) for part in parts]
    )
    inside = None if said.masks is None else said.masks[..., : seen.height, : seen.width]
    return Outputs(inside, said.classes)


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
