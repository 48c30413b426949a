"""A recipe: the ordered steps from a strip to its masks. No torch here."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from steelscan.data import Folds
from steelscan.evaluation import Tune
from steelscan.postprocess import MinArea, RemoveSmallComponents, Rule, Share, Threshold
from steelscan.prediction import Ensemble
from steelscan.strip import PerClass, Spec


class Classify(Spec):
    """Judge whole strips; what is not above ``threshold`` is not outlined.

    With the gate on the ``image``, a strip goes on with all classes when any class passes; with
    the gate on the ``class``, each class goes on by itself.
    """

    kind: Literal["classify"] = "classify"
    ensemble: Ensemble
    threshold: PerClass[Share] = 0.5
    gate: Literal["image", "class"] = "image"


class Segment(Spec):
    """Give each pixel a probability for each class."""

    kind: Literal["segment"] = "segment"
    ensemble: Ensemble


Step = Annotated[
    Classify | Segment | Threshold | MinArea | RemoveSmallComponents,
    Field(discriminator="kind"),
]


class Recipe(Spec):
    """How strips become masks, and how what that needs is fitted and tuned.

    ``tune`` says which numbers are searched out-of-fold; None leaves all as they stand here.
    """

    name: str
    steps: tuple[Step, ...]
    folds: Folds
    tune: Tune | None = None

    @model_validator(mode="after")
    def _steps_find_what_they_take(self) -> Self:
        kinds = [step.kind for step in self.steps]
        expected = ["segment", "threshold"]
        if kinds[:1] == ["classify"]:
            expected.insert(0, "classify")
        if kinds[: len(expected)] != expected:
            raise ValueError(
                f"steps are {', '.join(kinds) or 'none'}; a recipe begins with classify (or not), "
                "then segment, then threshold, and goes on with rules that clean masks"
            )
        for step in self.steps[len(expected) :]:
            if not isinstance(step, MinArea | RemoveSmallComponents):
                raise ValueError(f"step {step.kind} stands after the masks are made")
        return self

    @model_validator(mode="after")
    def _starts_are_there(self) -> Self:
        steps = [step for step in self.steps if isinstance(step, Classify | Segment)]
        members = {
            (step.kind, number): member
            for step in steps
            for number, member in enumerate(step.ensemble.members)
        }
        for place, member in members.items():
            if member.start is None:
                continue
            other = members.get((member.start.step, member.start.member))
            if other is None or other.start is not None:
                raise ValueError(f"{place} starts from a member that is not there, or not first")
            if other.network.encoder != member.network.encoder:
                raise ValueError(f"{place} starts from a member with another encoder")
        return self

    def with_random_weights(self) -> Self:
        """The same recipe, whose networks begin with random weights."""
        return self.but(steps=tuple(_without_weights(step) for step in self.steps))

    @property
    def classify(self) -> Classify | None:
        """The step that clears clean strips, if there is one."""
        return next((step for step in self.steps if isinstance(step, Classify)), None)

    @property
    def segment(self) -> Segment:
        """The step that gives the probabilities of pixels."""
        return next(step for step in self.steps if isinstance(step, Segment))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The steps after the networks, in order."""
        return tuple(
            step
            for step in self.steps
            if isinstance(step, Threshold | MinArea | RemoveSmallComponents)
        )


def _without_weights(step: Step) -> Step:
    if not isinstance(step, Classify | Segment):
        return step
    members = tuple(
        member.but(network=member.network.but(weights="random")) for member in step.ensemble.members
    )
    return step.but(ensemble=step.ensemble.but(members=members))
