"""3rd place: no classifier, no views; nine networks that let classes exclude each other.

Run:        steelscan train third_place --data DIR --out RUN
Published:  0.91863 public, 0.90765 private mean Dice; best 0.91824, 0.90934 (K:117377)
Reproduced: not yet
Costs:      9 networks
Ours:       folds and which network is fitted on which; epochs, batch; half of the crops hold a
            defect; weights of the sampler; the list of heavy augmentation (the 14th's); the rule of
            the pseudo-labels; pyramids are those of segmentation-models-pytorch, not the starter
            pipeline's. The focal loss, three channels divided by 255 and the label threshold on the
            highest pixel are those of the public starter pipeline, on which the solution says it
            builds. Pixel thresholds are four, not three as some summaries have it
"""

from steelscan.augment import HFlip, VFlip
from steelscan.data import Folds, RandomCrop
from steelscan.losses import SoftmaxFocal
from steelscan.models import FPN, Unet
from steelscan.postprocess import Threshold
from steelscan.prediction import Ensemble, Member
from steelscan.recipes.fourteenth_place import medium
from steelscan.recipes.pseudo_labels import ConfidentAndAgreed, PseudoLabels
from steelscan.recipes.spec import Recipe, Segment
from steelscan.training import Adam, Plateau, Training, WeightedDraws

outline = Training(
    crop=RandomCrop(height=256, width=800, defect=0.5),
    augment=(HFlip(), VFlip()),
    draws=WeightedDraws(),
    pseudo=0.0,
    loss=SoftmaxFocal(gamma=2.0),
    optimizer=Adam(lr=5e-4),
    schedule=Plateau(factor=0.5, patience=3, cooldown=3, min_lr=1e-8),
    batch=8,
    epochs=60,
)
heavy = outline.but(augment=medium)
with_pseudo = outline.but(pseudo="all")

b3 = Unet(encoder="tf_efficientnet_b3", channels=3, scale="unit", output="softmax")
b4 = b3.but(encoder="tf_efficientnet_b4")
se50 = b3.but(encoder="legacy_seresnext50_32x4d")
pyramid_b4 = FPN(encoder="tf_efficientnet_b4", channels=3, scale="unit", output="softmax")
pyramid_b5 = pyramid_b4.but(encoder="tf_efficientnet_b5", merge="cat")
members = (
    Member(network=pyramid_b5, stages=(outline,), folds=(0,)),
    Member(network=pyramid_b4, stages=(outline,), folds=(1,)),
    Member(network=b4, stages=(with_pseudo,), folds=(2,)),
    Member(network=b4, stages=(heavy,), folds=(3,)),
    Member(network=b4.but(attention="scse"), stages=(outline,), folds=(4,)),
    Member(network=b4.but(attention="scse"), stages=(with_pseudo,), folds=(0,)),
    Member(network=b4.but(mish=True), stages=(outline,), folds=(1,)),
    Member(network=b3, stages=(outline,), folds=(2,)),
    Member(network=se50, stages=(outline,), folds=(3,)),
)
recipe = Recipe(
    name="third_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(),
    steps=(
        Segment(ensemble=Ensemble(members=members)),
        Threshold(label=(0.7, 0.7, 0.6, 0.6), pixel=0.4),
    ),
    pseudo_labels=PseudoLabels(rule=ConfidentAndAgreed(low=0.1, high=0.9), answered_by="all"),
)
