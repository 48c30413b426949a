"""4th place: two heads, one grey channel; what outlines and what judges are multiplied.

Run:        steelscan train fourth_place --data DIR --out RUN
Published:  no final score; single networks about 0.89 to 0.90 private mean Dice (K:114716)
Reproduced: not yet
Costs:      9 networks
Ours:       which encoder has which decoder, loss and folds; crops, batch, rates, schedule, epochs;
            which three views, and flips; the two heads' losses weigh alike; the head that judges
            pools by the average; first weights of the grey channel are summed; half precision is
            bfloat16
"""

from steelscan.augment import HFlip, VFlip
from steelscan.data import Folds, RandomCrop
from steelscan.decision import SoftGate
from steelscan.losses import BCE, BothHeads, Focal, Mix
from steelscan.models import FPN, Segmenter, TwoHeaded, Unet
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import Ensemble, LogitMean, Member
from steelscan.recipes.spec import Recipe, Segment
from steelscan.training import Cosine, RAdam, Training

focal = Training(
    crop=RandomCrop(height=256, width=512),
    augment=(HFlip(), VFlip()),
    loss=BothHeads(masks=Focal(), classes=Focal()),
    optimizer=RAdam(lr=1e-3),
    schedule=Cosine(),
    batch=16,
    epochs=60,
    precision="bfloat16",
    watch="defect_dice",
)
bce_focal = Mix(parts=((1.0, BCE()), (1.0, Focal())))
mixed = focal.but(loss=BothHeads(masks=bce_focal, classes=bce_focal))


def member(segmenter: Segmenter, training: Training, *folds: int) -> Member:
    """A two-headed network, fitted for some folds."""
    return Member(network=TwoHeaded(segmenter=segmenter), stages=(training,), folds=folds)


members = (
    member(FPN(encoder="densenet201"), focal, 0),
    member(FPN(encoder="tf_efficientnet_b5"), focal, 1),
    member(FPN(encoder="legacy_seresnext50_32x4d"), mixed, 2),
    member(Unet(encoder="resnet34"), mixed, 0, 1, 2, 3, 4),
    member(Unet(encoder="tf_efficientnet_b5"), focal, 3),
)
recipe = Recipe(
    name="fourth_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(),
    steps=(
        Segment(
            ensemble=Ensemble(
                members=members, views=("identity", "hflip", "vflip"), average=LogitMean()
            ),
            gate=SoftGate(),
        ),
        Threshold(label=0.0, pixel=0.55),
        MinArea(pixels=256),
    ),
)
