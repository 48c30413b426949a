"""A combining rule judged: by the run's thresholds, and by those that suit the rule."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.analysis.ensemble.members import Question, StripFiles
from steelscan.data import make_folds
from steelscan.decision import masks_of, rules_with, thresholds_of
from steelscan.evaluation.metrics import Pairs, count_pixels
from steelscan.evaluation.tuning import Thresholds, Tune, count_levels, pairs_at, search_thresholds
from steelscan.postprocess import MinArea, Rule
from steelscan.strip import RecipeError, track

_PARTS = 5


class Judge:
    """Judges the rules of a question on the strips that have been asked about."""

    def __init__(
        self, question: Question, files: StripFiles, rows: Sequence[int], groups: NDArray[np.int64]
    ) -> None:
        self._question, self._files, self._rows = question, files, rows
        self._rules = question.tuned.rules
        self.searched = 2 if any(isinstance(rule, MinArea) for rule in self._rules[1:2]) else 1
        """So many of the first of the run's rules are searched; the others stay as they are."""
        self.refusal = ""
        """Why no thresholds are searched."""
        self._classes = len(question.dataset.classes)
        parts = min(_PARTS, len(np.unique(groups)))
        try:
            self._start = thresholds_of(self._rules[: self.searched], self._classes)
        except RecipeError as error:
            self.refusal = f"the run {error.problem}, and the search knows threshold and min_area"
        if parts < 2:
            self.refusal = "all strips are of one group"
        self._parts = np.zeros(len(rows), np.int64)
        if not self.refusal:
            self._parts = make_folds(question.dataset.present[list(rows)], groups, parts, 0)
        tune = question.recipe.tune or Tune()
        self._tune = tune if self.searched == 2 else tune.but(area=False)

    def held_and_refitted(self, rule: int) -> tuple[Pairs, Pairs | None]:
        """The pairs of a rule by the run's own thresholds, and by thresholds found for it.

        Those are found on some groups of strips, and decide on the others.
        """
        name = self._question.rules[rule].name
        held, levels = [], []
        for row in track(self._rows, f"Judging {name}", len(self._rows)):
            opened, truth = self._files.rule_input(row, rule), self._question.dataset.masks(row)
            held.append(count_pixels(masks_of(opened, self._rules), truth))
            levels.append(count_levels(opened.pixels, truth))
        if self.refusal:
            return Pairs.of(held), None
        return Pairs.of(held), self._refitted(rule, np.stack(levels))

    def crossed(self, levels: NDArray[np.int32]) -> Pairs:
        """The pairs of histograms ``(strips, 2, classes, 256)``, by thresholds of other strips.

        Rules that are not searched have no say here.
        """
        counts = np.zeros((3, len(levels), self._classes), np.int64)
        for part in np.unique(self._parts):
            there = self._parts == part
            pairs = pairs_at(levels[there], self._found(levels[~there]))
            counts[:, there] = pairs.predicted, pairs.truth, pairs.shared
        return Pairs(*counts)

    def _found(self, levels: NDArray[np.int32]) -> Thresholds:
        return search_thresholds(levels, self._start, self._tune)

    def _refitted(self, rule: int, levels: NDArray[np.int32]) -> Pairs:
        counts = np.zeros((len(self._rows), 3, self._classes), np.int64)
        name = self._question.rules[rule].name
        for part in track(np.unique(self._parts).tolist(), f"Refitting {name}", _PARTS):
            found = self._found(levels[self._parts != part])
            rules: tuple[Rule, ...] = (*rules_with(found), *self._rules[self.searched :])
            for at in np.flatnonzero(self._parts == part).tolist():
                row = self._rows[at]
                masks = masks_of(self._files.rule_input(row, rule), rules)
                counts[at] = count_pixels(masks, self._question.dataset.masks(row))
        return Pairs.of(list(counts))
