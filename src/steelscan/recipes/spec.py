"""A recipe: the ordered steps from a strip to its masks. No torch here."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from steelscan.data import Folds, LikeTest
from steelscan.decision import ClassifyStep, Decision, Gate, OwnGate, SegmentStep, Stage
from steelscan.evaluation.tuning import Tune
from steelscan.models import Network, encoder_of, without_weights
from steelscan.postprocess import Binarizer, Cleaner, Rule, ScaledMinArea
from steelscan.prediction import EncoderFittedFor, EncoderOf, Ensemble, Member
from steelscan.recipes.pseudo_labels import PseudoLabels
from steelscan.strip import PerClass, Share, Spec

Budget = Literal["full", "small", "tiny"]
"""How much of a recipe's time is spent: all of it, under an hour, or minutes on two CPU cores."""


class Classify(Spec):
    """Judge whole strips; what is not above ``threshold`` is not outlined.

    With the gate on the ``image``, a strip goes on with all classes when any class passes; with
    the gate on the ``class``, each class goes on by itself. A class that no network judges passes.
    """

    kind: Literal["classify"] = "classify"
    ensemble: Ensemble
    threshold: PerClass[Share] = 0.5
    gate: Gate = "image"


class Segment(Spec):
    """Give each pixel a probability for each class.

    With a ``gate`` the second heads of two-headed networks have a say, averaged as the first.
    """

    kind: Literal["segment"] = "segment"
    ensemble: Ensemble
    gate: OwnGate | None = None


class KeepFound(Spec):
    """Of the masks only this is kept: which classes they are empty of; the rest is outlined anew.

    (12th, K:114309.)
    """

    kind: Literal["keep_found"] = "keep_found"


Step = Annotated[Classify | Segment | KeepFound | Binarizer | Cleaner, Field(discriminator="kind")]

_NEEDS = {"classify": "pictures", "segment": "pictures", "keep_found": "masks"}
_MAKES = {"classify": "pictures", "segment": "probabilities", "keep_found": "pictures"}


class Recipe(Spec):
    """How strips become masks, and how what that needs is fitted and tuned.

    Steps pass on pictures (classify), make probabilities of them (segment), masks of these
    (threshold, triplet), and other masks of masks (the rules that clean). ``tune`` says which
    numbers are searched out-of-fold; None leaves all as they stand here. ``written_for`` names the
    classes whose numbers stand here; None: those of any data set.
    """

    name: str
    steps: tuple[Step, ...]
    folds: Annotated[Folds | LikeTest, Field(discriminator="kind")]
    tune: Tune | None = None
    pseudo_labels: PseudoLabels | None = None
    written_for: tuple[str, ...] | None = None
    budget: Budget = "full"
    changes: tuple[str, ...] = ()
    """What became of it since it was written, in sentences for people."""

    @model_validator(mode="after")
    def _steps_find_what_they_take(self) -> Self:
        there = "pictures"
        for step in self.steps:
            binarizes = isinstance(step, Binarizer)
            needed = _NEEDS.get(step.kind, "probabilities" if binarizes else "masks")
            if there != needed:
                raise ValueError(f"step {step.kind} takes {needed}, and there are {there} by then")
            there = _MAKES.get(step.kind, "masks")
        if there != "masks":
            raise ValueError(f"the steps end with {there}; a recipe ends with masks")
        return self

    @model_validator(mode="after")
    def _a_classifier_is_asked_first_where_its_word_counts(self) -> Self:
        judged = False
        for step in self.steps:
            match step:
                case Classify():
                    judged = True
                case Segment():
                    judged |= step.gate is not None
                case ScaledMinArea() if not judged:
                    raise ValueError("scaled_min_area asks a classifier, and no step has one")
        return self

    @model_validator(mode="after")
    def _suspicion_is_there(self) -> Self:
        asked = False
        for name, step in self.named.items():
            for number, member in enumerate(step.ensemble.members, start=1):
                if member.wants_suspicion and not asked:
                    raise ValueError(f"{name} {number} asks a classifier, and none is fitted first")
            waits = any(isinstance(member.start, EncoderOf) for member in step.ensemble.members)
            asked |= step is self.classify and not waits
        return self

    @model_validator(mode="after")
    def _members_fit_their_step(self) -> Self:
        for name, step in self.named.items():
            for number, member in enumerate(step.ensemble.members):
                place = f"{name} {number + 1}"
                outlines = member.network.kind != "classifier"
                if outlines != isinstance(step, Segment):
                    raise ValueError(f"{place} is a {member.network.kind}")
                if isinstance(step, Segment) and step.gate and member.network.kind != "two_headed":
                    raise ValueError(f"{place} has no second head, and its step has a gate")
                if not set(member.folds or ()) <= set(self.folds.validation):
                    raise ValueError(f"{place} names folds that do not validate")
            judged = {fold for member in step.ensemble.members for fold in self.folds_of(member)}
            if judged != set(self.folds.validation):
                raise ValueError(f"no member of {name} is judged by some validation fold")
        return self

    @model_validator(mode="after")
    def _starts_are_there(self) -> Self:
        members = {
            (name, number): member
            for name, step in self.named.items()
            for number, member in enumerate(step.ensemble.members)
        }
        for place, member in members.items():
            if isinstance(member.start, EncoderFittedFor):
                _check_encoders(place, member.start.network, member.network)
            if not isinstance(member.start, EncoderOf):
                continue
            other = members.get((member.start.step, member.start.member))
            if other is None or other.start is not None:
                raise ValueError(f"{place} starts from a member that is not there, or not first")
            _check_encoders(place, other.network, member.network)
            if not set(self.folds_of(member)) <= set(self.folds_of(other)):
                raise ValueError(f"{place} starts from a member that is fitted for fewer folds")
        return self

    def folds_of(self, member: Member) -> tuple[int, ...]:
        """The validation folds for each of which a member is fitted once."""
        return self.folds.validation if member.folds is None else member.folds

    def learns_from_pseudo(self, member: Member) -> bool:
        """Whether a member, or what it starts from, learns from pseudo-labels in a later round."""
        if isinstance(member.start, EncoderOf):
            lender = self.named[member.start.step].ensemble.members[member.start.member]
            if self.learns_from_pseudo(lender):
                return True
        return any(stage.pseudo != 0.0 for stage in member.all_stages)

    def with_random_weights(self) -> Self:
        """The same recipe, whose networks begin with random weights."""
        return self.but(steps=tuple(_without_weights(step) for step in self.steps))

    @property
    def asking(self) -> tuple[Classify | Segment, ...]:
        """The steps that ask networks, in order."""
        return tuple(step for step in self.steps if isinstance(step, Classify | Segment))

    @property
    def named(self) -> Mapping[str, Classify | Segment]:
        """The steps that ask networks, in order, by the names that they have in a run folder.

        The first of a kind goes by the kind, further ones are numbered: "segment", "segment2".
        """
        named: dict[str, Classify | Segment] = {}
        for at, step in enumerate(self.asking):
            nth = sum(other.kind == step.kind for other in self.asking[: at + 1])
            named[step.kind if nth == 1 else f"{step.kind}{nth}"] = step
        return named

    @property
    def decision(self) -> Decision:
        """The way from outputs of networks to masks: the steps without their networks.

        Each `Segment` step ends a stage, together with the rules behind it.
        """
        names = iter(self.named)
        classifiers: list[ClassifyStep] = []
        stages: list[tuple[tuple[ClassifyStep, ...], SegmentStep, list[Rule]]] = []
        for step in self.steps:
            match step:
                case Classify():
                    classifiers.append(
                        ClassifyStep(
                            **_predicting(next(names), step),
                            threshold=step.threshold,
                            gate=step.gate,
                        )
                    )
                case Segment():
                    segmenter = SegmentStep(**_predicting(next(names), step), gate=step.gate)
                    stages.append((tuple(classifiers), segmenter, []))
                    classifiers = []
                case KeepFound():
                    pass
                case rule:
                    stages[-1][2].append(rule)
        return Decision(
            stages=tuple(
                Stage(classifiers=classifiers, segmenter=segmenter, rules=tuple(rules))
                for classifiers, segmenter, rules in stages
            )
        )

    @property
    def classify(self) -> Classify | None:
        """The first step that clears clean strips, if there is one."""
        return next((step for step in self.steps if isinstance(step, Classify)), None)

    @property
    def segment(self) -> Segment:
        """The first step that gives the probabilities of pixels."""
        return next(step for step in self.steps if isinstance(step, Segment))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The steps after the last networks, in order: they make the masks of the recipe."""
        return self.decision.last.rules


def _predicting(name: str, step: Classify | Segment) -> dict[str, Any]:
    """Return what a step of a decision takes over from a step with networks."""
    return {"name": name, "views": step.ensemble.views, "average": step.ensemble.average}


def _check_encoders(place: object, source: Network, target: Network) -> None:
    """Raise ValueError where one network cannot begin with the other's encoder."""
    one, other = encoder_of(source), encoder_of(target)
    if (one.encoder, one.channels, one.stem) != (other.encoder, other.channels, other.stem):
        raise ValueError(f"{place} starts from a network with another encoder")


def _without_weights(step: Step) -> Step:
    if not isinstance(step, Classify | Segment):
        return step
    members = tuple(map(_member_without_weights, step.ensemble.members))
    return step.but(ensemble=step.ensemble.but(members=members))


def _member_without_weights(member: Member) -> Member:
    start = member.start
    if isinstance(start, EncoderFittedFor):
        start = start.but(network=without_weights(start.network))
    return member.but(network=without_weights(member.network), start=start)
