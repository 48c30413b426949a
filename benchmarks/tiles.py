"""Prints how far strips in tiles are answered from the same strips whole, as a table.

Run: OMP_NUM_THREADS=1 python benchmarks/tiles.py
Four small networks are fitted on crops of strips from the mill, and asked about longer strips.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from accelerate import Accelerator

from steelscan.augment import HFlip
from steelscan.data import RandomCrop, open_dataset
from steelscan.losses import BCE, Dice, Mix
from steelscan.mill import Mill, write_mill
from steelscan.models import FPN, PSPNet, Unet, build_network
from steelscan.prediction import Tiles, TorchModel, predict_masks
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
    """Fit, ask, and print a row a network and size of tiles."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as place:
        taught, asked = Path(place) / "taught", Path(place) / "asked"
        write_mill(Mill(strips=80, seed=1, height=128, width=800), taught, 0)
        write_mill(Mill(strips=12, seed=2, height=128, width=1600), asked, 0)
        strips, long = open_dataset(taught), open_dataset(asked)
        for name, spec in NETWORKS.items():
            torch.manual_seed(0)
            network, _ = build_network(spec, len(strips.classes))
            fit(
                network,
                (TRAINING,),
                TrainingData(strips, np.arange(len(strips)), None, 0),
                lambda _: {"score": 0.0},
                Path(place) / name,
                accelerator=Accelerator(cpu=True),
            )
            network.eval()
            pictures = [long.picture(row) for row in range(len(long))]
            whole = np.stack(
                [predict_masks([TorchModel(network, None)], ("identity",), p) for p in pictures]
            )
            for width, overlap in TILES:
                voter = TorchModel(network, None, tiles=Tiles(width=width, overlap=overlap))
                tiled = np.stack([predict_masks([voter], ("identity",), p) for p in pictures])
                apart, sides = np.abs(tiled - whole), (tiled > 0.5) != (whole > 0.5)
                sys.stdout.write(
                    f"| {name} | {width} | {overlap} | {apart.mean():.5f} | {apart.max():.3f} "
                    f"| {1e6 * sides.mean():.0f} | {1e6 * (whole > 0.5).mean():.0f} |\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
