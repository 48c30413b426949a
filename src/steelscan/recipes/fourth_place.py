"""4th place: networks with two heads on one grey channel; masks times class probabilities.

Run:        steelscan train fourth_place --data DIR --out RUN
Published:  no final score; single networks about 0.89 to 0.90 private mean Dice (K:114716)
Reproduced: not yet
Costs:      9 networks
Ours:       lines marked "ours", and:
            - Which encoder has which decoder, loss and folds.
            - Both heads have the same loss, with equal weights.
            - The class head takes the highest logit of all places: it is trained on crops, and a
              strip around a crop has at least the logits of the crop.
            - The weights of the grey channel are the sum over the three colours.
            - Focal loss has no label smoothing, which the authors tried and dropped.
"""

from steelscan.augment import HFlip, VFlip
from steelscan.data import Folds, RandomCrop
from steelscan.decision import SoftGate
from steelscan.losses import BCE, BothHeads, Focal, Loss, Mix
from steelscan.models import FPN, Segmenter, TwoHeaded, Unet
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import Ensemble, LogitMean, Member
from steelscan.recipes.spec import Recipe, Segment
from steelscan.training import Cosine, RAdam, Training


def member(segmenter: Segmenter, loss: Loss, *folds: int) -> Member:
    """Return a two-headed network that is fitted for some folds."""
    segment = Training(
        crop=RandomCrop(height=256, width=512, defect=0.5),  # ours
        augment=(HFlip(), VFlip()),  # ours
        loss=BothHeads(masks=loss, classes=loss),
        optimizer=RAdam(lr=1e-3),  # ours
        schedule=Cosine(),  # ours
        batch=16,  # ours
        epochs=60,  # ours
        precision="bfloat16",  # ours: the author's half precision was float16
        monitor="defect_dice",
    )
    network = TwoHeaded(segmenter=segmenter, pool="max")  # ours
    return Member(network=network, stages=(segment,), folds=folds)


focal = Focal()
bce_focal = Mix(parts=((1.0, BCE()), (1.0, Focal())))
members = (
    member(FPN(encoder="densenet201", channels=1), focal, 0),
    member(FPN(encoder="tf_efficientnet_b5", channels=1), bce_focal, 1),
    member(FPN(encoder="legacy_seresnext50_32x4d", channels=1), bce_focal, 2),
    member(Unet(encoder="resnet34", channels=1), bce_focal, 0, 1, 2, 3, 4),
    member(Unet(encoder="tf_efficientnet_b5", channels=1), bce_focal, 3),
)
recipe = Recipe(
    name="fourth_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(),
    steps=(
        Segment(
            ensemble=Ensemble(
                members=members,
                views=("identity", "hflip", "vflip"),  # ours
                average=LogitMean(),
            ),
            gate=SoftGate(),
        ),
        Threshold(label=0.0, pixel=0.55),
        MinArea(pixels=256),
    ),
)
