"""Every kind of loss, and its definition in plain loops, without torch."""

from math import exp, log
from typing import get_args

import pytest
import torch

from steelscan.losses import (
    BCE,
    BothHeads,
    CrossEntropy,
    Dice,
    Focal,
    Jaccard,
    Loss,
    Lovasz,
    Mix,
    SoftmaxFocal,
    WherePresent,
    build_loss,
)

KINDS = get_args(get_args(Loss)[0])
SPECS = [
    BCE(),
    BCE(pos_weight=(2.0, 0.5)),
    BCE(pos_weight=3.0, smoothing=0.1),
    Focal(),
    Focal(gamma=0.5),
    Dice(over="batch"),
    Dice(over="strip", smooth=0.1),
    Jaccard(over="batch"),
    Jaccard(over="strip", smooth=0.1),
    Lovasz(),
    Lovasz(rectifier="elu"),
    Lovasz(symmetric=True),
    Lovasz(symmetric=True, rectifier="elu"),
    CrossEntropy(),
    CrossEntropy(smoothing=0.2),
    SoftmaxFocal(),
    SoftmaxFocal(gamma=0.5),
    WherePresent(loss=BCE(pos_weight=(2.0, 0.5))),
    WherePresent(loss=Focal(), always=True),
    WherePresent(loss=Dice(over="strip")),
    WherePresent(loss=Jaccard(over="strip"), always=(True, False)),
    WherePresent(loss=Lovasz(symmetric=True, rectifier="elu"), always=(False, True)),
    Mix(parts=((0.75, BCE(pos_weight=3.0)), (0.25, Dice()))),
    Mix(parts=((0.75, BCE()), (0.25, Lovasz()))),
    Mix(parts=((1.0, CrossEntropy()), (0.5, SoftmaxFocal()))),
    BothHeads(masks=Focal(), classes=Mix(parts=((1.0, BCE()), (2.0, Focal())))),
    BothHeads(masks=CrossEntropy(), classes=BCE(), weight=10.0),
    BothHeads(masks=WherePresent(loss=Lovasz()), classes=BCE(), weight=10.0),
]


def leaves(spec):
    """The losses that a loss is made of."""
    match spec:
        case Mix():
            return [leaf for _, part in spec.parts for leaf in leaves(part)]
        case WherePresent():
            return leaves(spec.loss)
        case BothHeads():
            return leaves(spec.masks) + leaves(spec.classes)
        case _:
            return [spec]


def having(*kinds):
    """The specs in which a loss of these kinds stands."""
    return [spec for spec in SPECS if any(isinstance(leaf, kinds) for leaf in leaves(spec))]


def without(*kinds):
    return [spec for spec in SPECS if spec not in having(*kinds)]


def takes_softmax(spec):
    return any(isinstance(leaf, CrossEntropy | SoftmaxFocal) for leaf in leaves(spec))


def each(specs):
    return pytest.mark.parametrize("spec", specs, ids=lambda spec: spec.model_dump_json()[9:60])


every_loss = each(SPECS)


def batch(spec, seed=0, strips=3, classes=2, height=4, width=5):
    """Random logits and a truth that is empty in one mask of the first strip."""
    random = torch.Generator().manual_seed(seed)
    truth = torch.rand((strips, classes, height, width), generator=random) < 0.3
    truth[0, 0] = False
    maps = classes + takes_softmax(spec)
    return torch.randn((strips, maps, height, width), generator=random) * 2, truth.byte()


def run(spec, logits, truth, classes=2):
    """A loss of a batch; the second head's logits are the highest of the first's."""
    loss = build_loss(spec, classes)
    if isinstance(spec, BothHeads):
        return loss(logits, logits[:, -classes:].amax((2, 3)), truth, truth.amax((2, 3)))
    return loss(logits, truth)


def confident(spec, truth, by=30.0):
    """Logits that are right by far."""
    logits = (truth.float() * 2 - 1) * by
    if not takes_softmax(spec):
        return logits
    return torch.cat((-logits.amax(1, keepdim=True), logits), dim=1)


def alone(truth):
    """A truth in which no pixel has two classes."""
    truth = truth.clone()
    truth[:, 1:] *= 1 - truth[:, :1]
    return truth


def by_definition(spec, logits, truth):
    """The loss in plain loops over Python numbers, ``logits`` and ``truth`` as nested lists."""
    strips, classes = range(len(truth)), range(len(truth[0]))
    match spec:
        case Mix():
            return sum(weight * by_definition(part, logits, truth) for weight, part in spec.parts)
        case BothHeads():
            heads = highest([strip[-len(classes) :] for strip in logits])
            labels = highest(truth)
            masks = by_definition(spec.masks, logits, truth)
            return masks + spec.weight * by_definition(spec.classes, heads, labels)
        case WherePresent():
            total = 0.0
            for c in classes:
                always = spec.always[c] if isinstance(spec.always, tuple) else spec.always
                felt = [n for n in strips if always or max(flat(truth[n][c])) > 0]
                terms = [of_one(spec.loss, c, flat(logits[n][c]), flat(truth[n][c])) for n in felt]
                total += sum(terms) / len(terms) if terms else 0.0
            return total
        case CrossEntropy() | SoftmaxFocal():
            return mean([of_pixels(spec, logits[n], truth[n]) for n in strips])
    together = [strips] if getattr(spec, "over", "strip") == "batch" else [[n] for n in strips]
    terms = []
    for group in together:
        for c in classes:
            z = [value for n in group for value in flat(logits[n][c])]
            y = [value for n in group for value in flat(truth[n][c])]
            terms.append(of_one(spec, c, z, y))
    return mean(terms)


def of_one(spec, c, z, y):
    """A loss of one class of one strip."""
    pixels = list(zip([1 / (1 + exp(-value)) for value in z], y, strict=True))
    match spec:
        case BCE():
            weight = spec.pos_weight[c] if isinstance(spec.pos_weight, tuple) else spec.pos_weight
            s = spec.smoothing
            smoothed = [(p, t * (1 - s) + s / 2) for p, t in pixels]
            return mean([-weight * t * log(p) - (1 - t) * log(1 - p) for p, t in smoothed])
        case Focal():
            g = spec.gamma
            on = [-t * (1 - p) ** g * log(p) for p, t in pixels]
            off = [-(1 - t) * p**g * log(1 - p) for p, t in pixels]
            return mean(on) + mean(off)
        case Dice():
            shared, both = sum(p * t for p, t in pixels), sum(p + t for p, t in pixels)
            return 1 - (2 * shared + spec.smooth) / (both + spec.smooth)
        case Jaccard():
            shared, union = sum(p * t for p, t in pixels), sum(p + t - p * t for p, t in pixels)
            return 1 - (shared + spec.smooth) / (union + spec.smooth)
        case Lovasz():
            straight = extension(z, y, spec.rectifier)
            if not spec.symmetric:
                return straight
            turned = extension([-value for value in z], [1 - value for value in y], spec.rectifier)
            return (straight + turned) / 2


def extension(z, y, rectifier):
    """The Jaccard loss of the pixels that err by more than t, summed up over all t from 0."""
    errors = rectified(z, y, rectifier)
    total, below = 0.0, 0.0
    for level in sorted(set(errors)):
        wrong = {at for at, error in enumerate(errors) if error >= level}
        total += (level - below) * jaccard_of(wrong, y)
        below = level
    return total


def rectified(z, y, rectifier):
    errors = [1 - value if present else 1 + value for value, present in zip(z, y, strict=True)]
    if rectifier == "relu":
        return [max(0.0, error) for error in errors]
    return [error + 1 if error > 0 else exp(error) for error in errors]


def jaccard_of(wrong, y):
    """1 - intersection over union of a mask that is wrong in these pixels; nothing over nothing."""
    present = {at for at, value in enumerate(y) if value}
    return len(wrong) / len(present | wrong) if wrong else 0.0


def of_pixels(spec, logits, truth):
    """A softmax loss of one strip."""
    costs, unsure = [], []
    for row in range(len(truth[0])):
        for column in range(len(truth[0][0])):
            e = [exp(each[row][column]) for each in logits]
            y = [each[row][column] for each in truth]
            y = [max(0.0, 1 - sum(y)), *y]
            p = [value / sum(e) for value in e]
            unsure.append(1 - sum(a * b for a, b in zip(y, p, strict=True)))
            s = getattr(spec, "smoothing", 0.0)
            y = [value * (1 - s) + s / len(y) for value in y]
            costs.append(-sum(t * log(q) for t, q in zip(y, p, strict=True)))
    if isinstance(spec, CrossEntropy):
        return mean(costs)
    weights = [value**spec.gamma for value in unsure]
    return sum(w * cost for w, cost in zip(weights, costs, strict=True)) / sum(weights)


def highest(maps):
    """Maps of one pixel, the highest of each."""
    return [[[[max(flat(rows))]] for rows in strip] for strip in maps]


def flat(rows):
    return [value for row in rows for value in row]


def mean(values):
    return sum(values) / len(values)
