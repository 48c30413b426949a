"""Decisions under which all networks of a bundle run, or as few as possible."""

from steelscan.decision import Decision, HardGate
from steelscan.postprocess import Threshold


def stopping_all(decision: Decision) -> Decision:
    """Return a decision whose first step finds every strip clean, by as few networks as possible.

    Only a strip with a probability of exactly 1 passes that step.
    """
    first, *others = decision.stages
    if first.classifiers:
        classifier, *more = first.classifiers
        first = first.but(classifiers=(classifier.but(threshold=1.0), *more))
    else:
        first = first.but(rules=(Threshold(label=1.0, pixel=1.0),))
    return Decision(stages=(first, *others))


def passing_all(decision: Decision) -> Decision:
    """Return a decision whose steps let every strip pass, so that all networks run.

    Only a strip with a probability of exactly 0 is stopped by a step.
    """
    stages = [
        each.but(classifiers=tuple(step.but(threshold=0.0) for step in each.classifiers))
        for each in decision.stages
    ]
    for at, each in enumerate(stages[:-1]):
        segmenter = each.segmenter
        if isinstance(segmenter.gate, HardGate):
            segmenter = segmenter.but(gate=HardGate(threshold=0.0))
        stages[at] = each.but(segmenter=segmenter, rules=(Threshold(label=0.0, pixel=0.0),))
    return Decision(stages=tuple(stages))
