"""One model and one strip: resize, pad, predict in views and tiles. No torch here."""

from collections.abc import Sequence

import numpy as np

from steelscan.data import pad, padded_frame, resize_picture
from steelscan.prediction.model import Model, ModelOutputs, OutputKind
from steelscan.prediction.specs import View
from steelscan.prediction.tiles import in_tiles
from steelscan.strip import Frame, Picture


def predict_views(
    model: Model, views: Sequence[View], picture: Picture, kind: OutputKind
) -> ModelOutputs:
    """Predict a picture, uint8 ``(height, width)``, in each view; the padding is cut off again.

    The masks have the size at which the model sees the strip.
    """
    frame = Frame(*picture.shape)
    seen = model.resize.frame(frame) if model.resize else frame
    strip = pad(resize_picture(picture, seen), _padded(seen))

    def predict(part: Picture) -> ModelOutputs:
        return model.predict(part, views, kind)

    outputs = in_tiles(predict, strip, model.tiles) if model.tiles else predict(strip)
    masks = outputs.masks
    if masks is not None:
        masks = np.asarray(masks[..., : seen.height, : seen.width])
    return outputs._replace(masks=masks)


def _padded(seen: Frame) -> Frame:
    """Return the padded size; a single deepest cell, which group norms refuse, is doubled."""
    padded = padded_frame(seen)
    one_cell = padded_frame(Frame(1, 1))
    return Frame(padded.height, 2 * padded.width) if padded == one_cell else padded
