"""A finished run as one function from a strip to its masks."""

import torch

from steelscan.pipeline.decide import Said, decide, open_levels
from steelscan.pipeline.fitted import ask, load_voters
from steelscan.pipeline.run import RunFolder
from steelscan.strip import Frame, Masks, Picture


class Predictor:
    """The networks and tuned rules of a run; strips of any size go in, masks come out."""

    def __init__(self, run: RunFolder, device: torch.device) -> None:
        """Load a run whose training has ended. Raises RunError otherwise."""
        recipe, record = run.load_recipe(), run.load_record()
        self.classes = record.classes
        self.layout = record.layout
        self._recipe, self._rules = recipe, run.load_tuned().rules
        folds, count = recipe.folds.validation, len(self.classes)
        self._voters = {
            name: load_voters(run, name, step, folds, count, device)
            for name, step in recipe.named.items()
        }

    def masks(self, picture: Picture) -> Masks:
        """The masks of a strip; networks whose step has no class left are not asked."""

        def said(name: str) -> Said:
            step = self._recipe.named[name]
            return ask(step, self._voters[name], picture, len(self.classes))

        frame = Frame(*picture.shape)
        return decide(open_levels(self._recipe, said, len(self.classes), frame), self._rules)
