"""7th place: U-Nets of three sizes with smoothed and mixed targets; classes exclude each other.

Run:        steelscan train seventh_place --data DIR --out RUN
Published:  no final score; a submission near it 0.92016 public, 0.90819 private (K:114215)
Reproduced: not yet
Costs:      5 networks
Ours:       lines marked "ours", and:
            - Which network is fitted on which fold.
            - Label smoothing of 0.1 is the author's example, here over five outputs, not four.
            - The numbers 0.8, 0.99, 0.75, 0.75, then 100 and 0.3, are used as a triplet rule: 100
              pixels above the first; another reading is an area of the mask.
"""

from steelscan.augment import HFlip, Mixup, VFlip
from steelscan.data import Folds, RandomCrop, WholeStrip
from steelscan.losses import CrossEntropy
from steelscan.models import Unet
from steelscan.postprocess import Triplet
from steelscan.prediction import Ensemble, Member
from steelscan.recipes.spec import Recipe, Segment
from steelscan.training import AdamW, Noam, Training

segment = Training(
    crop=RandomCrop(height=256, width=384),
    augment=(HFlip(), VFlip()),  # ours
    mixup=Mixup(alpha=0.2),  # ours
    loss=CrossEntropy(smoothing=0.1),
    optimizer=AdamW(lr=1e-3),  # ours
    schedule=Noam(warmup=0.02),  # ours
    batch=16,  # ours
    epochs=50,  # ours
)
finetune = segment.but(
    crop=WholeStrip(),
    optimizer=AdamW(lr=1e-4),  # ours
    schedule=Noam(warmup=0.1),  # ours
    batch=4,  # ours
    epochs=10,  # ours
)


def member(encoder: str, *folds: int) -> Member:
    """Return a U-Net that is fitted for some folds."""
    network = Unet(encoder=encoder, channels=3, output="softmax")
    return Member(network=network, stages=(segment, finetune), folds=folds)


members = (
    member("tf_efficientnet_b7", 0, 1),
    member("tf_efficientnet_b4", 2),
    member("tf_efficientnet_b0", 3, 4),
)
recipe = Recipe(
    name="seventh_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(),  # ours
    steps=(
        Segment(ensemble=Ensemble(members=members)),
        Triplet(top=(0.8, 0.99, 0.75, 0.75), area=100, bottom=0.3),
    ),
)
