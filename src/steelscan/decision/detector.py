"""From a picture to masks: one way, for the networks of a run and those of a bundle. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steelscan.decision.cascade import PredictedOutputs
from steelscan.decision.spec import Decision
from steelscan.decision.steps import RuleInput, StepOutput, StripOutputs, masks_of, run_steps
from steelscan.prediction import Model
from steelscan.strip import Frame, Masks, Picture


@dataclass(frozen=True)
class Detector:
    """A decision and its models: for each step, by name, the models whose outputs are averaged.

    ``classes`` is their number. It may be used from several threads if the models allow that.
    """

    decision: Decision
    models: Mapping[str, Sequence[Model]]
    classes: int

    def outputs(self, picture: Picture, *, cascade: bool = False) -> PredictedOutputs:
        """Return the outputs of a picture, uint8 ``(height, width)``; they are predicted later."""
        return PredictedOutputs(self.decision, self.models, self.classes, picture, cascade=cascade)

    def predict_steps(self, picture: Picture) -> dict[str, StepOutput]:
        """Predict each step with all its models, whatever the gates."""
        outputs, every = self.outputs(picture), np.ones(self.classes, np.bool_)
        return {name: outputs.output(name, every) for name in self.decision.steps}

    def rule_input(self, picture: Picture, outputs: StripOutputs | None = None) -> RuleInput:
        """Return what the last rules get for a picture, from these outputs or predicted ones.

        Steps whose classes are all closed are skipped.
        """
        outputs = self.outputs(picture) if outputs is None else outputs
        return run_steps(self.decision, outputs, self.classes, Frame(*picture.shape))

    def masks(self, picture: Picture, *, cascade: bool = False) -> Masks:
        """Predict the masks of a picture, bool ``(classes, height, width)``.

        With ``cascade``, networks that cannot change the masks are skipped.
        """
        outputs = self.outputs(picture, cascade=cascade)
        return masks_of(self.rule_input(picture, outputs), self.decision.last.rules)
