"""A recipe: the ordered steps from a strip to its masks. No torch here."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from steelscan.data import Folds, LikeTest
from steelscan.decision import (
    ClassifyStep,
    Decision,
    Gate,
    HardGate,
    OwnGate,
    SegmentStep,
    Stage,
)
from steelscan.evaluation.tuning import Tune
from steelscan.models import Network, encoder_of
from steelscan.postprocess import Binarizer, Cleaner, Rule, ScaledMinArea
from steelscan.prediction import EncoderFittedFor, EncoderOf, Ensemble, Member
from steelscan.recipes.pseudo_labels import PseudoLabels
from steelscan.strip import PerClass, Share, Spec

Budget = Literal["full", "small", "tiny"]
"""How long a run takes: as published, under an hour, or minutes on two CPU cores."""


class Classify(Spec):
    """Classify whole strips, and skip the following steps below ``threshold``.

    With gate "image" a strip continues with all classes if any class is above the threshold; with
    gate "class" each class continues by itself. A class that no network predicts always continues.
    """

    kind: Literal["classify"] = "classify"
    ensemble: Ensemble
    threshold: PerClass[Share] = 0.5
    gate: Gate = "image"


class Segment(Spec):
    """Predict a probability per pixel and class.

    A ``gate`` uses the class probabilities of the networks' aux heads, averaged like the masks.
    """

    kind: Literal["segment"] = "segment"
    ensemble: Ensemble
    gate: OwnGate | None = None


NetworkStep: TypeAlias = Classify | Segment
"""A step with networks."""


class KeepPresent(Spec):
    """Keep only which classes are present; segment those again (12th, K:114309)."""

    kind: Literal["keep_present"] = "keep_present"


Step = Annotated[
    Classify | Segment | KeepPresent | Binarizer | Cleaner, Field(discriminator="kind")
]

_NEEDS = {"classify": "pictures", "segment": "pictures", "keep_present": "masks"}
_MAKES = {"classify": "pictures", "segment": "probabilities", "keep_present": "pictures"}


class Recipe(Spec):
    """The steps from a strip to its masks, and how their networks are fitted and tuned.

    Steps take pictures and select classes (classify), turn pictures into probabilities (segment),
    probabilities into masks (threshold, triplet), or change masks (the cleaning rules). ``tune``
    are the thresholds to search out-of-fold, not with pseudo-labels predicted by the networks of
    all folds; None keeps all as they are. ``written_for`` are the classes that the per-class
    settings belong to; None: the settings fit any data set.
    """

    name: str
    steps: tuple[Step, ...]
    folds: Annotated[Folds | LikeTest, Field(discriminator="kind")]
    tune: Tune | None = None
    pseudo_labels: PseudoLabels | None = None
    written_for: tuple[str, ...] | None = None
    budget: Budget = "full"
    changes: tuple[str, ...] = ()
    """What a budget or ``--set`` changed, as sentences for the user."""

    @model_validator(mode="after")
    def _steps_fit_together(self) -> Self:
        available = "pictures"
        for step in self.steps:
            binarizes = isinstance(step, Binarizer)
            needed = _NEEDS.get(step.kind, "probabilities" if binarizes else "masks")
            if available != needed:
                raise ValueError(f"step {step.kind} needs {needed}, but gets {available}")
            available = _MAKES.get(step.kind, "masks")
        if available != "masks":
            raise ValueError(f"the steps end with {available}; a recipe must end with masks")
        return self

    @model_validator(mode="after")
    def _rules_have_class_probabilities(self) -> Self:
        classified = False
        for step in self.steps:
            match step:
                case Classify():
                    classified = True
                case Segment():
                    classified |= step.gate is not None
                case ScaledMinArea() if not classified:
                    raise ValueError("scaled_min_area needs a classifier, and no step has one")
        return self

    @model_validator(mode="after")
    def _tuned_gates_exist(self) -> Self:
        if self.tune is not None and self.tune.gates == "f1":
            hard = (isinstance(step, Segment) and step.gate for step in self.steps)
            if self.classify is None and not any(isinstance(gate, HardGate) for gate in hard):
                raise ValueError("tune has gates by F1, and no step has a gate with a threshold")
        return self

    @model_validator(mode="after")
    def _trainings_have_class_probabilities(self) -> Self:
        fitted = False
        for name, step in self.named.items():
            for member in step.ensemble.members:
                if member.needs_class_probabilities and not fitted:
                    raise ValueError(
                        f"{name} {member.name} needs a classifier, and none is fitted before it"
                    )
            waits = any(isinstance(member.start, EncoderOf) for member in step.ensemble.members)
            fitted |= step is self.classify and not waits
        return self

    @model_validator(mode="after")
    def _members_fit_their_step(self) -> Self:
        for name, step in self.named.items():
            for member in step.ensemble.members:
                label = f"{name} {member.name}"
                segments = member.network.kind != "classifier"
                if segments != isinstance(step, Segment):
                    raise ValueError(f"{label} is a {member.network.kind}")
                if isinstance(step, Segment) and step.gate and member.network.kind != "two_headed":
                    raise ValueError(f"{label} has no aux head, and its step has a gate")
                if not set(member.folds or ()) <= set(self.folds.validation):
                    raise ValueError(f"{label} has folds that are not validation folds")
            fitted = {fold for member in step.ensemble.members for fold in self.folds_of(member)}
            missing = sorted(set(self.folds.validation) - fitted)
            if missing:
                raise ValueError(f"no member of {name} is fitted for validation fold {missing[0]}")
        return self

    @model_validator(mode="after")
    def _starts_exist(self) -> Self:
        for name, step in self.named.items():
            for member in step.ensemble.members:
                label = f"{name} {member.name}"
                if isinstance(member.start, EncoderFittedFor):
                    _check_encoders(label, member.start.network, member.network)
                if isinstance(member.start, EncoderOf):
                    self._check_source(label, member, member.start)
        return self

    @model_validator(mode="after")
    def _tunes_on_strips_that_no_network_depends_on(self) -> Self:
        labels = self.pseudo_labels
        if self.tune is not None and labels is not None and labels.predicted_by == "all":
            raise ValueError(
                "tune would search thresholds on strips that networks depend on through "
                'pseudo-labels with predicted_by "all": set predicted_by to "fold", or tune to null'
            )
        return self

    def _check_source(self, label: str, member: Member, start: EncoderOf) -> None:
        source = self.source_of(start)
        origin = f"{start.step} {start.member}"
        if source is None:
            raise ValueError(f"{label} starts from {origin}, which does not exist")
        if source.start is not None:
            raise ValueError(f"{label} starts from {origin}, which itself starts from a network")
        _check_encoders(label, source.network, member.network)
        if not set(self.folds_of(member)) <= set(self.folds_of(source)):
            raise ValueError(f"{label} starts from {origin}, which is fitted for fewer folds")

    def source_of(self, start: EncoderOf) -> Member | None:
        """Return the member whose encoder another one starts from, or None."""
        step = self.named.get(start.step)
        return None if step is None else step.ensemble.member(start.member)

    def folds_of(self, member: Member) -> tuple[int, ...]:
        """Return the validation folds for which a member is fitted, once per fold."""
        return self.folds.validation if member.folds is None else member.folds

    def trains_on_pseudo_labels(self, member: Member) -> bool:
        """Return whether a member, or the one it starts from, trains on pseudo-labels."""
        source = self.source_of(member.start) if isinstance(member.start, EncoderOf) else None
        if source is not None and self.trains_on_pseudo_labels(source):
            return True
        return any(stage.pseudo != 0.0 for stage in member.all_stages)

    def with_members(self, members: Mapping[str, Sequence[Member]], **fields: Any) -> Self:
        """Return the same recipe with other members in the steps of these names.

        ``fields`` are other fields to replace.
        """
        steps = {}
        for name, new in members.items():
            step = self.named[name]
            steps[name] = step.but(ensemble=step.ensemble.but(members=tuple(new)))
        return self.with_steps(steps, **fields)

    def with_steps(self, steps: Mapping[str, NetworkStep], **fields: Any) -> Self:
        """Return the same recipe with other steps of these names, and other ``fields``."""
        new = iter({**self.named, **steps}.values())
        replaced = (next(new) if isinstance(step, NetworkStep) else step for step in self.steps)
        return self.but(steps=tuple(replaced), **fields)

    @property
    def network_steps(self) -> tuple[NetworkStep, ...]:
        """The steps with networks, in order."""
        return tuple(step for step in self.steps if isinstance(step, NetworkStep))

    @property
    def named(self) -> dict[str, NetworkStep]:
        """The steps with networks, in order, by the names that they have in a run folder.

        The first of a kind has the name of the kind, further ones a number: "segment", "segment2".
        """
        named: dict[str, NetworkStep] = {}
        for step in self.network_steps:
            before = sum(other.kind == step.kind for other in named.values())
            named[f"{step.kind}{before + 1}" if before else step.kind] = step
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
                case KeepPresent():
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
        """The first step that classifies strips, or None."""
        return next((step for step in self.steps if isinstance(step, Classify)), None)

    @property
    def segment(self) -> Segment:
        """The first step that predicts pixels."""
        return next(step for step in self.steps if isinstance(step, Segment))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The steps after the last networks, in order, which make the masks."""
        return self.decision.last.rules


def _predicting(name: str, step: NetworkStep) -> dict[str, Any]:
    """Return what a step of a decision takes over from a step with networks."""
    return {"name": name, "views": step.ensemble.views, "average": step.ensemble.average}


def _check_encoders(label: str, source: Network, target: Network) -> None:
    """Raise ValueError if a network cannot start with the encoder of another one."""
    one, other = encoder_of(source), encoder_of(target)
    if (one.encoder, one.channels, one.stem) != (other.encoder, other.channels, other.stem):
        raise ValueError(f"{label} starts from a network with another encoder")
