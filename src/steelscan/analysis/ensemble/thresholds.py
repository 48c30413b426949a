"""Evaluate a combining rule with the run's thresholds, and with thresholds refitted to it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.analysis.ensemble.members import EnsembleSetup, StripFiles
from steelscan.data import make_folds
from steelscan.decision import masks_of, rules_with, thresholds_of
from steelscan.evaluation.metrics import Pairs, count_pixels
from steelscan.evaluation.tuning import (
    Thresholds,
    Tune,
    pairs_at,
    search_thresholds,
    strip_histograms,
)
from steelscan.postprocess import MinArea, Rule
from steelscan.strip import track
from steelscan.strip.errors import RecipeError

_PARTS = 5


class RuleEvaluator:
    """Evaluates combining rules on the strips that the members have predicted."""

    def __init__(
        self,
        setup: EnsembleSetup,
        files: StripFiles,
        rows: Sequence[int],
        groups: NDArray[np.int64],
    ) -> None:
        self._setup, self._files, self._rows = setup, files, rows
        self._rules = setup.tuned.rules
        self.searched = 2 if any(isinstance(rule, MinArea) for rule in self._rules[1:2]) else 1
        """How many of the run's first rules are searched; the others stay as they are."""
        self.refusal = ""
        """Why no thresholds are searched; "" if they are."""
        self._classes = len(setup.dataset.classes)
        parts = min(_PARTS, len(np.unique(groups)))
        try:
            self._start = thresholds_of(self._rules[: self.searched], self._classes)
        except RecipeError as error:
            self.refusal = (
                f"the run {error.problem}, and only threshold and min_area can be searched"
            )
        if parts < 2:
            self.refusal = "all strips are in one group"
        self._parts = np.zeros(len(rows), np.int64)
        if not self.refusal:
            self._parts = make_folds(setup.dataset.present[list(rows)], groups, parts, 0)
        wanted = setup.recipe.tune
        tune = wanted if wanted is not None and wanted.masks else Tune()
        self._tune = tune if self.searched == 2 else tune.but(area=False)

    def held_and_refitted(self, rule: int) -> tuple[Pairs, Pairs | None]:
        """Return the pairs of a rule with the run's thresholds, and with refitted ones.

        Those are searched on some groups of strips, and applied to the others.
        """
        name = self._setup.rules[rule].name
        held, histograms = [], []
        for row in track(self._rows, f"Evaluating {name}", len(self._rows)):
            opened, truth = self._files.rule_input(row, rule), self._setup.dataset.masks(row)
            held.append(count_pixels(masks_of(opened, self._rules), truth))
            histograms.append(strip_histograms(opened.pixels, truth))
        if self.refusal:
            return Pairs.of(held), None
        return Pairs.of(held), self._refitted(rule, np.stack(histograms))

    def refitted_pairs(self, histograms: NDArray[np.int32]) -> Pairs:
        """Return the pairs of some histograms, with thresholds that are refitted to them.

        ``histograms`` is int32 ``(strips, 2, classes, 256)``. Rules that are not searched are not
        applied.
        """
        counts = np.zeros((3, len(histograms), self._classes), np.int64)
        for part in np.unique(self._parts):
            there = self._parts == part
            pairs = pairs_at(histograms[there], self._search(histograms[~there]))
            counts[:, there] = pairs.predicted, pairs.truth, pairs.shared
        return Pairs(*counts)

    def _search(self, histograms: NDArray[np.int32]) -> Thresholds:
        return search_thresholds(histograms, self._start, self._tune)

    def _refitted(self, rule: int, histograms: NDArray[np.int32]) -> Pairs:
        counts = np.zeros((len(self._rows), 3, self._classes), np.int64)
        name = self._setup.rules[rule].name
        for part in track(np.unique(self._parts).tolist(), f"Refitting {name}", _PARTS):
            thresholds = self._search(histograms[self._parts != part])
            rules: tuple[Rule, ...] = (*rules_with(thresholds), *self._rules[self.searched :])
            for at in np.flatnonzero(self._parts == part).tolist():
                row = self._rows[at]
                masks = masks_of(self._files.rule_input(row, rule), rules)
                counts[at] = count_pixels(masks, self._setup.dataset.masks(row))
        return Pairs.of(list(counts))
