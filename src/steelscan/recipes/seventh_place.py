"""7th place: U-Nets of three sizes that let classes exclude each other, on soft targets.

Run:        steelscan train seventh_place --data DIR --out RUN
Published:  no final score; a submission near it 0.92016 public, 0.90819 private (K:114215)
Reproduced: not yet
Costs:      5 networks
Ours:       which folds; rates, an epoch of warm-up, epochs, batches, flips; how strong mixup is;
            smoothing of 0.1 is that of the author's example, over five outputs, not four; 0.8,
            0.99, 0.75, 0.75 with 100 and 0.3 are read as the three numbers of a triplet
"""

from steelscan.augment import HFlip, Mixup, VFlip
from steelscan.data import Folds, RandomCrop, WholeStrip
from steelscan.losses import CrossEntropy
from steelscan.models import Unet
from steelscan.postprocess import Triplet
from steelscan.prediction import Ensemble, Member
from steelscan.recipes.spec import Recipe, Segment
from steelscan.training import AdamW, Noam, Training

crops = Training(
    crop=RandomCrop(height=256, width=384),
    augment=(HFlip(), VFlip()),
    mixup=Mixup(alpha=0.2),
    loss=CrossEntropy(smoothing=0.1),
    optimizer=AdamW(lr=1e-3),
    schedule=Noam(warmup=0.02),
    batch=16,
    epochs=50,
)
whole = crops.but(
    crop=WholeStrip(), optimizer=AdamW(lr=1e-4), batch=4, epochs=10, schedule=Noam(warmup=0.1)
)
stages = (crops, whole)

b0 = Unet(encoder="tf_efficientnet_b0", output="softmax")
members = (
    Member(network=b0.but(encoder="tf_efficientnet_b7"), stages=stages, folds=(0, 1)),
    Member(network=b0.but(encoder="tf_efficientnet_b4"), stages=stages, folds=(2,)),
    Member(network=b0, stages=stages, folds=(3, 4)),
)
recipe = Recipe(
    name="seventh_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(),
    steps=(
        Segment(ensemble=Ensemble(members=members)),
        Triplet(top=(0.8, 0.99, 0.75, 0.75), area=100, bottom=0.3),
    ),
)
