"""A finished run as one function from a strip to its masks."""

import numpy as np
import torch

from steelscan.pipeline.decide import decide, passing
from steelscan.pipeline.fitted import load_voters
from steelscan.pipeline.run import RunFolder
from steelscan.prediction import predict_classes, predict_masks, to_levels
from steelscan.strip import Masks, Picture


class Predictor:
    """The networks and tuned rules of a run; strips of any size go in, masks come out."""

    def __init__(self, run: RunFolder, device: torch.device) -> None:
        """Load a run whose training has ended. Raises RunError otherwise."""
        recipe, record = run.load_recipe(), run.load_record()
        self.classes = record.classes
        self.layout = record.layout
        self._rules = run.load_tuned().rules
        self._classify, self._segment = recipe.classify, recipe.segment
        folds = recipe.folds.validation
        count = len(self.classes)
        self._judges = (
            load_voters(run, recipe.classify, folds, count, device) if recipe.classify else []
        )
        self._outliners = load_voters(run, recipe.segment, folds, count, device)

    def masks(self, picture: Picture) -> Masks:
        """The masks of a strip; strips that the classifier clears are not segmented."""
        none = np.zeros((len(self.classes), *picture.shape), np.bool_)
        passes = np.ones(len(self.classes), np.bool_)
        if self._classify:
            views = self._classify.ensemble.views
            passes = passing(self._classify, predict_classes(self._judges, views, picture))
        if not passes.any():
            return none
        views = self._segment.ensemble.views
        levels = to_levels(predict_masks(self._outliners, views, picture))
        return decide(levels, passes, self._rules)
