"""The ablations: per solution the recipe without the one idea that it is known for.

A "decision" ablation keeps all networks of the run and decides in another way; a "training"
ablation fits those networks again that differ (`ablation_runs.unchanged`). No torch here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from steelscan.augment import DefectBlackout, HFlip, UpTo
from steelscan.losses import BothHeads, CrossEntropy, Lovasz, WherePresent
from steelscan.models import FPN
from steelscan.postprocess import FillEdges, Threshold
from steelscan.prediction import EncoderFittedFor, Mean, Member, PowerMean
from steelscan.recipes import Classify, KeepPresent, Recipe, Segment
from steelscan.strip import PerClass
from steelscan.training import BestAverage, Training
from steelscan.training.specs import Best


@dataclass(frozen=True)
class Ablation:
    """One idea of a recipe, and the recipe without it.

    ``change`` returns that recipe; None: the strongest network of the run alone. ``steps`` are the
    steps whose name changes: name without the idea -> name with it.
    """

    recipe: str
    name: str
    idea: str
    removed: str
    """What is taken away, as a sentence."""
    source: str
    """Where the idea is described: an entry of the competition's discussion, or the deck."""
    kind: Literal["decision", "training"]
    change: Callable[[Recipe], Recipe] | None
    steps: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name of its runs."""
        return f"{self.recipe}_{self.name}"

    def variant(self, recipe: Recipe, strongest: str = "") -> Recipe:
        """Return the recipe without the idea; ``strongest`` names the member that stays alone."""
        if self.change is None:
            changed, sentence = only_member(recipe, strongest), f"{self.removed[:-1]}: {strongest}."
        else:
            changed, sentence = self.change(recipe), self.removed
        return changed.but(
            name=f"{recipe.name}_{self.name}", changes=(*recipe.changes, f"Ablation: {sentence}")
        )


def only_member(recipe: Recipe, name: str) -> Recipe:
    """Return a recipe whose last segmenter has a single network."""
    step = recipe.decision.last.segmenter.name
    members = recipe.named[step].ensemble.members
    return recipe.with_members({step: [member for member in members if member.name == name]})


def without_classifiers(recipe: Recipe) -> Recipe:
    """Return a recipe whose strips all reach the segmenter."""
    steps = tuple(step for step in recipe.steps if not isinstance(step, Classify))
    tune = recipe.tune
    if tune is not None:
        tune = tune.but(gates="keep") if tune.masks else None
    return recipe.but(steps=steps, tune=tune)


def without_blackout(recipe: Recipe) -> Recipe:
    """Return a recipe that never paints defects black."""
    return _with_stages(
        recipe,
        lambda stage: stage.but(
            augment=tuple(each for each in stage.augment if not isinstance(each, DefectBlackout))
        ),
    )


def without_pseudo_labels(recipe: Recipe) -> Recipe:
    """Return a recipe that fits every network once."""
    return recipe.but(pseudo_labels=None)


def without_own_gates(recipe: Recipe) -> Recipe:
    """Return a recipe in which aux heads do not count."""
    segmenters = {
        name: step.but(gate=None)
        for name, step in recipe.named.items()
        if isinstance(step, Segment)
    }
    return recipe.with_steps(segmenters)


def without_mixup_and_smoothing(recipe: Recipe) -> Recipe:
    """Return a recipe whose targets are the labels themselves."""

    def plain(stage: Training) -> Training:
        loss = stage.loss
        hard = loss.but(smoothing=0.0) if isinstance(loss, CrossEntropy) else loss
        return stage.but(mixup=None, loss=hard)

    return _with_stages(recipe, plain)


def with_first_loss(recipe: Recipe) -> Recipe:
    """Return a recipe whose Lovasz stages have the loss of the stage before them."""

    def of(member: Member) -> Member:
        first = member.stages[0].loss
        stages = (
            stage.but(loss=first) if isinstance(stage.loss, Lovasz) else stage
            for stage in member.stages
        )
        return member.but(stages=tuple(stages))

    return _with_members(recipe, of)


def with_merge(recipe: Recipe, merge: Literal["add", "cat"]) -> Recipe:
    """Return a recipe whose feature pyramids all merge their levels in one way.

    Their width is that of the recipe's own pyramids of that kind.
    """
    pyramids = [
        member.network
        for step in recipe.network_steps
        for member in step.ensemble.members
        if isinstance(member.network, FPN)
    ]
    width = next(each.segmentation_channels for each in pyramids if each.merge == merge)

    def of(member: Member) -> Member:
        if not isinstance(member.network, FPN):
            return member
        return member.but(network=member.network.but(merge=merge, segmentation_channels=width))

    return _with_members(recipe, of)


def without_random_choice(recipe: Recipe) -> Recipe:
    """Return a recipe with a horizontal flip in place of a random choice of augmentations."""
    return _with_stages(
        recipe,
        lambda stage: stage.but(
            augment=tuple(HFlip() if isinstance(each, UpTo) else each for each in stage.augment)
        ),
    )


def without_emptiness_stage(recipe: Recipe) -> Recipe:
    """Return a recipe whose classes all reach the last segmenter."""
    kinds = [type(step) for step in recipe.steps]
    first, last = kinds.index(Segment), kinds.index(KeepPresent)
    return recipe.but(steps=(*recipe.steps[:first], *recipe.steps[last + 1 :]))


def with_best_checkpoint(recipe: Recipe) -> Recipe:
    """Return a recipe that keeps the best checkpoint in place of the best average of several."""

    def best(stage: Training) -> Training:
        return stage.but(keep=Best()) if isinstance(stage.keep, BestAverage) else stage

    return _with_stages(recipe, best)


def without_loss_gate(recipe: Recipe) -> Recipe:
    """Return a recipe whose loss of masks counts on every crop."""

    def ungated(stage: Training) -> Training:
        match stage.loss:
            case BothHeads(masks=WherePresent() as gated) as heads:
                return stage.but(loss=heads.but(masks=gated.loss))
        return stage

    return _with_stages(recipe, ungated)


def without_edge_fill(recipe: Recipe) -> Recipe:
    """Return a recipe that does not fill outlines."""
    return recipe.but(steps=tuple(step for step in recipe.steps if not isinstance(step, FillEdges)))


def with_arithmetic_mean(recipe: Recipe) -> Recipe:
    """Return a recipe with means of probabilities, and with thresholds that mean the same.

    The power t of a probability is above a threshold where the probability is above its power 1/t.
    That holds for a single network and view; for more it is the start of the search.
    """
    last = recipe.network_steps[-1].ensemble.average
    assert isinstance(last, PowerMean)
    inverse = 1 / last.t
    averaged = recipe.with_steps(
        {
            name: step.but(ensemble=step.ensemble.but(average=Mean()))
            for name, step in recipe.named.items()
        }
    )
    steps = (
        step.but(label=_power(step.label, inverse), pixel=_power(step.pixel, inverse))
        if isinstance(step, Threshold)
        else step
        for step in averaged.steps
    )
    return averaged.but(steps=tuple(steps))


def _power(value: PerClass[float], exponent: float) -> PerClass[float]:
    """Return the power of a threshold, rounded: 0.84 and 2 give 0.7056."""
    if isinstance(value, tuple):
        return tuple(round(each**exponent, 12) for each in value)
    return round(value**exponent, 12)


def _with_members(recipe: Recipe, change: Callable[[Member], Member]) -> Recipe:
    return recipe.with_members(
        {name: list(map(change, step.ensemble.members)) for name, step in recipe.named.items()}
    )


def _with_stages(recipe: Recipe, change: Callable[[Training], Training]) -> Recipe:
    """Change every stage, those of classifiers that are fitted for an encoder too."""

    def of(member: Member) -> Member:
        start = member.start
        if isinstance(start, EncoderFittedFor):
            start = start.but(stages=tuple(map(change, start.stages)))
        return member.but(stages=tuple(map(change, member.stages)), start=start)

    return _with_members(recipe, of)


ABLATIONS = (
    Ablation(
        "first_place",
        "without_gate",
        "classifier before the segmenter",
        "No classifier: every strip is segmented, by the networks of the run.",
        "K:114254",
        "decision",
        without_classifiers,
    ),
    Ablation(
        "first_place",
        "without_blackout",
        "defect blackout",
        "No blackout: classifiers never see a strip whose defects were painted black.",
        "K:114254",
        "training",
        without_blackout,
    ),
    Ablation(
        "first_place",
        "without_pseudo_labels",
        "pseudo-labels",
        "No pseudo-labels: the networks of the run before its first round of them.",
        "K:114254",
        "training",
        without_pseudo_labels,
    ),
    Ablation(
        "third_place",
        "single_network",
        "nine segmenters",
        "One network alone, that with the best validation score.",
        "K:117377",
        "decision",
        None,
    ),
    Ablation(
        "fourth_place",
        "without_soft_gate",
        "masks times class probabilities",
        "No soft gate: pixel probabilities are not multiplied by those of the class head.",
        "K:114716",
        "decision",
        without_own_gates,
    ),
    Ablation(
        "seventh_place",
        "without_mixup_and_smoothing",
        "mixup and label smoothing",
        "No mixup and no label smoothing: targets are the labels; the thresholds stay.",
        "K:114215",
        "training",
        without_mixup_and_smoothing,
    ),
    Ablation(
        "ninth_place",
        "bce_only",
        "Lovasz after cross entropy",
        "Cross entropy in the second stage too, with the same rate and epochs.",
        "K:114297",
        "training",
        with_first_loss,
    ),
    Ablation(
        "tenth_place",
        "fpn_a",
        "concatenating pyramid (D) for class 4",
        "The adding pyramid (A) for all classes.",
        "K:114465",
        "training",
        lambda recipe: with_merge(recipe, "add"),
    ),
    Ablation(
        "tenth_place",
        "fpn_d",
        "adding pyramid (A) for the other classes",
        "The concatenating pyramid (D) for all classes.",
        "K:114465",
        "training",
        lambda recipe: with_merge(recipe, "cat"),
    ),
    Ablation(
        "tenth_place",
        "without_randaugment",
        "up to two random augmentations",
        "A horizontal flip, which the other networks have, in place of up to two of eleven.",
        "K:114465",
        "training",
        without_random_choice,
    ),
    Ablation(
        "twelfth_place",
        "without_emptiness_stage",
        "segmenters that only decide emptiness",
        "No second stage: each class that passes the classifier is segmented for its mask.",
        "K:114309",
        "decision",
        without_emptiness_stage,
        {"segment": "segment2"},
    ),
    Ablation(
        "twelfth_place",
        "best_checkpoint",
        "averages of checkpoints",
        "The best checkpoint in place of the best average of several.",
        "K:114309",
        "training",
        with_best_checkpoint,
    ),
    Ablation(
        "fourteenth_place",
        "without_loss_gate",
        "loss of masks only where the class is present",
        "The loss of masks counts on every crop, for every class.",
        "K:114367",
        "training",
        without_loss_gate,
    ),
    Ablation(
        "fourteenth_place",
        "without_edge_fill",
        "outlines filled after thresholding",
        "No filling of outlines.",
        "K:114367",
        "decision",
        without_edge_fill,
    ),
    Ablation(
        "seventieth_place",
        "arithmetic_mean",
        "mean of square roots of probabilities",
        "The plain mean; thresholds t become t squared, then they are tuned as in the run.",
        "the summary of solutions",
        "decision",
        with_arithmetic_mean,
    ),
)
