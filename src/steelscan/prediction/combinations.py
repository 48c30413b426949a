"""Each model of an ensemble predicts a strip once; many ways to combine their outputs.

The results are those of `EnsembleMean` with each average, for any subset of the models, and of a
majority vote.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.prediction.averages import Floats, inverse
from steelscan.prediction.ensemble import class_terms, map_terms, to_uint8
from steelscan.prediction.model import Model, ModelOutputs, OutputKind, kind_for
from steelscan.prediction.predict import predict_views
from steelscan.prediction.specs import Average, LogitMean, Mean, View
from steelscan.prediction.sums import ClassSums, for_all_classes, ids_of
from steelscan.strip import Frame, Picture

Combined: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.float32] | None]
"""Of all classes: probabilities of pixels as 255ths ``(classes, height, width)``, and of classes
``(classes,)`` if the networks have aux heads."""

Box: TypeAlias = tuple[slice, slice]


class _Terms(NamedTuple):
    """What one model adds to the ensemble's own average, and its own map for a vote."""

    maps: Floats
    classes: Floats | None
    own_map: NDArray[np.uint8]
    ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Combinations:
    """The outputs of some models for one strip.

    Memory grows with the models and the averages, not with the subsets.
    """

    classes: int
    own: Average
    """The average of `subsets`."""

    by_average: Mapping[Average, Combined]
    """All models combined by each average."""

    seconds: tuple[float, ...]
    """How long each model took."""

    _terms: Sequence[_Terms]
    _softmax: bool

    def majority(self) -> NDArray[np.uint8]:
        """Return the value that more than half of the models reach: uint8 ``(classes, h, w)``.

        A pixel is above a threshold if more than half of the models that predict the class are
        above it, each with the mean of its views. A class that no model predicts is 0.
        """
        predicted = sorted({each for terms in self._terms for each in terms.ids})
        whole = np.zeros((self.classes, *self._terms[0].own_map.shape[1:]), np.uint8)
        for class_id in predicted:
            planes = [
                terms.own_map[terms.ids.index(class_id)]
                for terms in self._terms
                if class_id in terms.ids
            ]
            reached = len(planes) - (len(planes) // 2 + 1)
            whole[class_id - 1] = np.partition(np.stack(planes), reached, axis=0)[reached]
        return whole

    def box(self, lowest: int) -> Box:
        """Return a box outside which no subset of the models reaches the value ``lowest``.

        A mean is not above the highest of its terms, except for rounding, and for the softmax of
        mean logits, for which the whole strip is returned.
        """
        height, width = self._terms[0].own_map.shape[1:]
        if self._softmax and isinstance(self.own, LogitMean):
            return slice(0, height), slice(0, width)
        reached = np.zeros((height, width), np.bool_)
        for terms in self._terms:
            maps = inverse(self.own, terms.maps, self._softmax)
            reached |= (to_uint8(maps) >= lowest - 1).any(axis=0)
        rows, columns = (np.flatnonzero(reached.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return slice(0), slice(0)
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)

    def subsets(
        self, always: Sequence[bool], box: Box = (slice(None), slice(None))
    ) -> Iterator[tuple[tuple[int, ...], Combined]]:
        """Yield each subset of the models that is not empty, combined by the average `own`.

        ``always`` marks models that are in every subset; a subset is their positions, ascending.
        Maps are cut to the box. The result is to the bit that of an ensemble of these models.
        """
        for chosen, sums in self._subsets(always, box, (), ClassSums()):
            ids, means = sums.means()
            maps = for_all_classes(ids, inverse(self.own, means, self._softmax), self.classes, 0.0)
            yield chosen, (to_uint8(maps), self._classes(chosen))

    def _subsets(
        self,
        always: Sequence[bool],
        box: Box,
        chosen: tuple[int, ...],
        sums: ClassSums,
        at: int = 0,
    ) -> Iterator[tuple[tuple[int, ...], ClassSums]]:
        """Yield each subset of the models from position ``at`` on, added to those chosen."""
        if at == len(self._terms):
            if chosen:
                yield chosen, sums
            return
        terms = self._terms[at]
        more = sums.plus(terms.maps[:, box[0], box[1]], terms.ids)
        yield from self._subsets(always, box, (*chosen, at), more, at + 1)
        if not always[at]:
            yield from self._subsets(always, box, chosen, sums, at + 1)

    def _classes(self, chosen: Sequence[int]) -> NDArray[np.float32] | None:
        sums = ClassSums()
        for at in chosen:
            terms = self._terms[at]
            if terms.classes is None:
                return None
            sums.add(terms.classes, terms.ids)
        ids, means = sums.means()
        return for_all_classes(ids, inverse(self.own, means), self.classes, np.nan)


def predict_each(
    models: Sequence[Model],
    views: Sequence[View],
    picture: Picture,
    own: Average,
    averages: Sequence[Average],
    classes: int,
) -> Combinations:
    """Let each model predict a picture once, for all of these averages.

    `LogitMean` needs models of one output, as in an `Ensemble`.
    """
    frame = Frame(*picture.shape)
    every = dict.fromkeys((own, *averages))
    sums: dict[Average, tuple[ClassSums, ClassSums]] = {
        each: (ClassSums(), ClassSums()) for each in every
    }
    all_terms, seconds, softmax = [], [], False
    for model in models:
        start = time.perf_counter()
        both = predict_views(model, views, picture, "both")
        seconds.append(time.perf_counter() - start)
        softmax = model.softmax
        parts = _split(both)
        terms = {each: _terms(each, parts[kind_for(each)], views, frame, softmax) for each in every}
        for each, (maps, of_classes) in terms.items():
            sums[each][0].add(maps, model.classes)
            if of_classes is not None:
                sums[each][1].add(of_classes, model.classes)
        own_maps, own_classes = terms[own]
        probabilities = parts["probabilities"]
        shown, _ = terms.get(Mean()) or _terms(Mean(), probabilities, views, frame, False)
        ids = ids_of(own_maps, model.classes)
        all_terms.append(_Terms(own_maps, own_classes, to_uint8(shown), ids))
    by_average = {each: _combined(each, *both, classes, softmax) for each, both in sums.items()}
    return Combinations(classes, own, by_average, tuple(seconds), all_terms, softmax)


def _split(both: ModelOutputs) -> dict[OutputKind, ModelOutputs]:
    """Split outputs of the kind "both" into probabilities and logits."""
    parts: list[tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]] = [
        (None, None)
        if head is None
        else (head[:, : head.shape[1] // 2], head[:, head.shape[1] // 2 :])
        for head in both
    ]
    probabilities, logits = zip(*parts, strict=True)
    return {"probabilities": ModelOutputs(*probabilities), "logits": ModelOutputs(*logits)}


def _terms(
    average: Average, outputs: ModelOutputs, views: Sequence[View], frame: Frame, softmax: bool
) -> tuple[Floats, Floats | None]:
    assert outputs.masks is not None
    maps = map_terms(average, outputs.masks, views, frame, softmax)
    return maps, None if outputs.classes is None else class_terms(average, outputs.classes, views)


def _combined(
    average: Average, maps: ClassSums, of_classes: ClassSums, classes: int, softmax: bool
) -> Combined:
    ids, means = maps.means()
    pixels = to_uint8(for_all_classes(ids, inverse(average, means, softmax), classes, 0.0))
    if not of_classes.totals:
        return pixels, None
    ids, means = of_classes.means()
    return pixels, for_all_classes(ids, inverse(average, means), classes, np.nan)
