"""How far predictions in tiles differ from predictions of the same strips whole, as a table.

Four small networks are trained on crops of strips from the mill, and predict longer strips.

Run: OMP_NUM_THREADS=1 python benchmarks/tiles.py
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from accelerate import Accelerator

from quick import print_result
from steelscan.augment import HFlip
from steelscan.data import RandomCrop, open_dataset
from steelscan.losses import BCE, Dice, Mix
from steelscan.mill import Mill, write_mill
from steelscan.models import FPN, PSPNet, Unet, build_network
from steelscan.prediction import EnsembleMean, Tiles, TorchModel
from steelscan.training import AdamW, BalancedSampler, Cosine, Last, Training, TrainingData
from steelscan.training.fit import fit

LITE = "tf_efficientnet_lite0"
NETWORKS = {
    "FPN, no pooling": FPN(encoder=LITE),
    "FPN, squeeze-excite in the encoder": FPN(encoder="mobilenetv3_small_050", weights="random"),
    "U-Net, scSE in the decoder": Unet(encoder=LITE, attention="scse"),
    "PSPNet, pyramid pooling": PSPNet(encoder=LITE),
}
TILES = [(256, 64), (512, 64), (512, 128), (512, 256), (1024, 256)]
TRAINING = Training(
    crop=RandomCrop(height=128, width=256, defect=0.8),
    augment=(HFlip(),),
    sampler=BalancedSampler(samples=96),
    loss=Mix(parts=((1.0, BCE()), (1.0, Dice()))),
    optimizer=AdamW(lr=1e-3),
    schedule=Cosine(warmup=0.1),
    batch=8,
    epochs=6,
    keep=Last(),
)


def main() -> None:
    """Train, predict, and print a row per network and size of tiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    count = 4 if quick else 12
    training = TRAINING.but(epochs=2) if quick else TRAINING
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        train, test = Path(folder) / "train", Path(folder) / "test"
        write_mill(Mill(strips=80, seed=1, height=128, width=800), train, 0)
        write_mill(Mill(strips=count, seed=2, height=128, width=1600), test, 0)
        strips, long = open_dataset(train), open_dataset(test)
        for name, spec in list(NETWORKS.items())[: 1 if quick else None]:
            torch.manual_seed(0)
            network, _ = build_network(spec, len(strips.classes))
            fit(
                network,
                (training,),
                TrainingData(strips, np.arange(len(strips)), None, 0),
                lambda _: {"score": 0.0},
                Path(folder) / name,
                accelerator=Accelerator(cpu=True),
            )
            network.eval()
            pictures = [long.picture(row) for row in range(len(long))]
            whole = np.stack(
                [
                    EnsembleMean(("identity",), p, models=[TorchModel(network, None)]).masks()
                    for p in pictures
                ]
            )
            for width, overlap in TILES:
                model = TorchModel(network, None, tiles=Tiles(width=width, overlap=overlap))
                tiled = np.stack(
                    [EnsembleMean(("identity",), p, models=[model]).masks() for p in pictures]
                )
                difference = np.abs(tiled - whole)
                changed = (tiled > 0.5) != (whole > 0.5)
                sys.stdout.write(
                    f"| {name} | {width} | {overlap} "
                    f"| {difference.mean():.5f} | {difference.max():.3f} "
                    f"| {1e6 * changed.mean():.0f} | {1e6 * (whole > 0.5).mean():.0f} |\n"
                )
                sys.stdout.flush()
                if quick and (width, overlap) == (512, 128):
                    what = "tiles, mean difference of probabilities"
                    print_result(what, "whole strips", float(difference.mean()), "<= 0.01")


if __name__ == "__main__":
    main()
