"""One asking of each network, many ways to make one answer of what they say.

All that `predict_masks` and `predict_classes` would say with each average, with any of the voters
left out, and what a majority of them says; each network is asked once a view.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.prediction.averages import Floats, lowered
from steelscan.prediction.outputs import ModelOutputs, OutputKind
from steelscan.prediction.predict import (
    Model,
    kind_for,
    lifted_maps,
    lifted_words,
    predict_views,
    to_uint8,
)
from steelscan.prediction.specs import Average, LogitMean, Mean, View
from steelscan.prediction.sums import ClassMeans, MapSum, ids_of, placed
from steelscan.strip import Frame, Picture

Combined: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.float32] | None]
"""Of all classes: levels ``(classes, height, width)``, and probabilities ``(classes,)`` where the
networks have second heads."""

Box: TypeAlias = tuple[slice, slice]


class _Alone(NamedTuple):
    """What one voter adds to the average that is taken apart, and its share of a vote."""

    maps: Floats
    word: Floats | None
    levels: NDArray[np.uint8]
    ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Heard:
    """What some voters say of one strip. Memory grows with voters and averages, not with sets."""

    classes: int
    own: Average
    """The average that is taken apart in `sets`."""

    answers: Mapping[Average, Combined]
    """Of all voters together, as `predict_masks`, rounded, and `predict_classes` say it."""

    seconds: tuple[float, ...]
    """What asking each voter took."""

    _alone: Sequence[_Alone]
    _softmax: bool

    def majority(self) -> NDArray[np.uint8]:
        """Levels that more than half of the voters reach: uint8 ``(classes, height, width)``.

        A pixel of it is above a threshold where more than half of the voters that know the class
        are above it, each with the mean of its views. A class that none knows is 0.
        """
        known = sorted({each for alone in self._alone for each in alone.ids})
        whole = np.zeros((self.classes, *self._alone[0].levels.shape[1:]), np.uint8)
        for class_id in known:
            planes = [
                alone.levels[alone.ids.index(class_id)]
                for alone in self._alone
                if class_id in alone.ids
            ]
            reached = len(planes) - (len(planes) // 2 + 1)
            whole[class_id - 1] = np.partition(np.stack(planes), reached, axis=0)[reached]
        return whole

    def box(self, lowest: int) -> Box:
        """Where any set of voters may reach a level; what lies outside, none does.

        A mean is not above the highest of what it is made of, but for its rounding and for the
        softmax of mean logits, where all of the strip is given.
        """
        height, width = self._alone[0].levels.shape[1:]
        if self._softmax and isinstance(self.own, LogitMean):
            return slice(0, height), slice(0, width)
        reached = np.zeros((height, width), np.bool_)
        for alone in self._alone:
            maps = lowered(self.own, alone.maps, self._softmax)
            reached |= (to_uint8(maps) >= lowest - 1).any(axis=0)
        rows, columns = (np.flatnonzero(reached.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return slice(0), slice(0)
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)

    def sets(
        self, stays: Sequence[bool], box: Box = (slice(None), slice(None))
    ) -> Iterator[tuple[tuple[int, ...], Combined]]:
        """The answers, by the average `own`, of each set of voters that is not empty.

        Voters that stay are in all sets; a set is their places, in rising order. Maps are those
        inside a box. An answer is to the bit that of an ensemble of these voters.
        """
        for chosen, sums in self._grown(stays, box, (), MapSum()):
            ids, means = sums.means()
            maps = placed(ids, lowered(self.own, means, self._softmax), self.classes, 0.0)
            yield chosen, (to_uint8(maps), self._word(chosen))

    def _grown(
        self, stays: Sequence[bool], box: Box, chosen: tuple[int, ...], sums: MapSum, at: int = 0
    ) -> Iterator[tuple[tuple[int, ...], MapSum]]:
        """Each set of the voters from a place on, beside those chosen before it."""
        if at == len(self._alone):
            if chosen:
                yield chosen, sums
            return
        alone = self._alone[at]
        more = sums.with_maps(alone.maps[:, box[0], box[1]], alone.ids)
        yield from self._grown(stays, box, (*chosen, at), more, at + 1)
        if not stays[at]:
            yield from self._grown(stays, box, chosen, sums, at + 1)

    def _word(self, chosen: Sequence[int]) -> NDArray[np.float32] | None:
        said = ClassMeans()
        for at in chosen:
            alone = self._alone[at]
            if alone.word is None:
                return None
            said.add(alone.word, alone.ids)
        ids, means = said.means()
        return placed(ids, lowered(self.own, means), self.classes, np.nan)


def hear(
    models: Sequence[Model],
    views: Sequence[View],
    picture: Picture,
    own: Average,
    averages: Sequence[Average],
    classes: int,
) -> Heard:
    """Ask each voter once, for all of these averages.

    `LogitMean` wants voters of one output, as in an `Ensemble`.
    """
    frame = Frame(*picture.shape)
    every = dict.fromkeys((own, *averages))
    sums: dict[Average, tuple[MapSum, ClassMeans]] = {
        each: (MapSum(), ClassMeans()) for each in every
    }
    alone, seconds, softmax = [], [], False
    for voter in models:
        start = time.perf_counter()
        both = predict_views(voter, views, picture, "both")
        seconds.append(time.perf_counter() - start)
        softmax = voter.softmax
        parts = _apart(both)
        lifts = {
            each: _lifted(each, parts[kind_for(each)], views, frame, softmax) for each in every
        }
        for each, (maps, word) in lifts.items():
            sums[each][0].add(maps, voter.classes)
            if word is not None:
                sums[each][1].add(word, voter.classes)
        alone.append(_one(lifts, parts["shares"], own, voter, views, frame))
    answers = {each: _answer(each, *gathered, classes, softmax) for each, gathered in sums.items()}
    return Heard(classes, own, answers, tuple(seconds), alone, softmax)


def _apart(both: ModelOutputs) -> dict[OutputKind, ModelOutputs]:
    """Probabilities and logits of an answer that holds them behind each other."""
    parts: list[tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]] = [
        (None, None)
        if head is None
        else (head[:, : head.shape[1] // 2], head[:, head.shape[1] // 2 :])
        for head in both
    ]
    shares, logits = zip(*parts, strict=True)
    return {"shares": ModelOutputs(*shares), "logits": ModelOutputs(*logits)}


def _lifted(
    average: Average, said: ModelOutputs, views: Sequence[View], frame: Frame, softmax: bool
) -> tuple[Floats, Floats | None]:
    assert said.masks is not None
    maps = lifted_maps(average, said.masks, views, frame, softmax)
    return maps, None if said.classes is None else lifted_words(average, said.classes, views)


def _one(
    lifts: Mapping[Average, tuple[Floats, Floats | None]],
    shares: ModelOutputs,
    own: Average,
    voter: Model,
    views: Sequence[View],
    frame: Frame,
) -> _Alone:
    maps, word = lifts[own]
    mean = Mean()
    shown, _ = lifts.get(mean) or _lifted(mean, shares, views, frame, False)
    return _Alone(maps, word, to_uint8(shown), ids_of(maps, voter.classes))


def _answer(
    average: Average, maps: MapSum, words: ClassMeans, classes: int, softmax: bool
) -> Combined:
    ids, means = maps.means()
    levels = to_uint8(placed(ids, lowered(average, means, softmax), classes, 0.0))
    if not words.said:
        return levels, None
    ids, means = words.means()
    return levels, placed(ids, lowered(average, means), classes, np.nan)
