"""70th place: means of powers of probabilities; validation on strips that look like the test set.

Run:        steelscan train seventieth_place --data DIR --out RUN
Published:  nothing by its author; three ideas in a summary of the solutions
Reproduced: not yet
Costs:      2 networks
Ours:       lines marked "ours", and:
            - Networks and losses are those of the public starter pipeline and of the 1st place.
            - The power 0.5 raises probabilities (0.25 becomes 0.5), so thresholds are higher.
"""

from steelscan.augment import BrightnessContrast, HFlip, VFlip
from steelscan.data import LikeTest, RandomCrop
from steelscan.evaluation.tuning import Tune
from steelscan.losses import BCE, Dice, Mix
from steelscan.models import FPN, Unet
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import Ensemble, Member, PowerMean
from steelscan.recipes.spec import Recipe, Segment
from steelscan.training import Cosine, RAdam, Training

segment = Training(
    crop=RandomCrop(height=256, width=512),  # ours: the size
    augment=(HFlip(), VFlip(), BrightnessContrast()),  # ours
    loss=Mix(parts=((0.75, BCE()), (0.25, Dice()))),  # ours
    optimizer=RAdam(lr=1e-3),  # ours
    schedule=Cosine(),  # ours
    batch=12,  # ours
    accumulate_to=24,  # ours
    epochs=60,  # ours
)
members = (
    Member(network=Unet(encoder="tf_efficientnet_b3", channels=3), stages=(segment,)),  # ours
    Member(network=FPN(encoder="tf_efficientnet_b5", channels=3), stages=(segment,)),  # ours
)
recipe = Recipe(
    name="seventieth_place",
    written_for=("1", "2", "3", "4"),
    folds=LikeTest(share=0.2),  # ours: the share
    steps=(
        Segment(
            ensemble=Ensemble(
                members=members,
                views=("identity", "hflip", "vflip"),  # ours
                average=PowerMean(t=0.5),
            )
        ),
        Threshold(label=0.84, pixel=0.74),  # ours
        MinArea(pixels=(600, 600, 900, 2000)),  # ours
    ),
    tune=Tune(),
)
