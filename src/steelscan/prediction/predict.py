"""From a strip to the probabilities of an ensemble, at the strip's own size."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from steelscan.data import Shrink, pad, padded_frame, resize_picture
from steelscan.models import Outputs, StripNetwork
from steelscan.prediction.specs import View
from steelscan.prediction.views import turn
from steelscan.strip import Frame, Picture


@dataclass(frozen=True)
class Voter:
    """A fitted network, in eval mode, and the size at which it sees a strip."""

    network: StripNetwork
    resize: Shrink | None


def predict_classes(
    voters: Sequence[Voter], views: Sequence[View], picture: Picture
) -> NDArray[np.float32]:
    """The probability of each class for a whole strip, float32 ``(classes,)``: the mean answer."""
    answers = []
    for voter in voters:
        classes = _asked(voter, views, picture).classes
        assert classes is not None
        answers.append(classes.mean(0))
    return torch.stack(answers).mean(0).numpy()


def predict_masks(
    voters: Sequence[Voter], views: Sequence[View], picture: Picture
) -> NDArray[np.float32]:
    """The probability of each class and pixel, float32 ``(classes, height, width)``: the mean.

    Where a network sees the strip smaller, its probabilities are enlarged again.
    """
    frame = Frame(*picture.shape)
    answers = []
    for voter in voters:
        seen = _seen(voter, picture)
        masks = _asked(voter, views, picture).masks
        assert masks is not None
        inside = masks[..., : seen.height, : seen.width]
        turned = [turn(planes, view) for planes, view in zip(inside, views, strict=True)]
        answers.append(_enlarged(torch.stack(turned).mean(0).numpy(), frame))
    mean: NDArray[np.float32] = np.mean(answers, axis=0, dtype=np.float32)
    return mean


def to_levels(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities as whole 255ths, as they are stored and cleaned; rounded to the nearest."""
    return np.rint(probabilities * 255).astype(np.uint8)


def _asked(voter: Voter, views: Sequence[View], picture: Picture) -> Outputs:
    """The probabilities of each view of a strip, ``(views, classes, ...)``, masks still padded."""
    seen = _seen(voter, picture)
    resized = resize_picture(picture, seen).copy()  # torch wants it writable and unmirrored
    turned = [turn(torch.from_numpy(resized), view).numpy() for view in views]
    batch = np.stack([pad(strip, padded_frame(seen)) for strip in turned])[:, None]
    device = next(voter.network.parameters()).device
    with torch.inference_mode():
        outputs: Outputs = voter.network(torch.from_numpy(batch).to(device))
        said = voter.network.probabilities(outputs)
    return Outputs(*(None if head is None else head.float().cpu() for head in said))


def _seen(voter: Voter, picture: Picture) -> Frame:
    frame = Frame(*picture.shape)
    return voter.resize.frame(frame) if voter.resize else frame


def _enlarged(planes: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Scale ``(classes, height, width)`` to a frame, bilinearly."""
    if planes.shape[1:] == frame:
        return planes
    return np.stack(
        [cv2.resize(plane, frame[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes]
    )
