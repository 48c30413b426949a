"""One model and one strip: resize, pad, predict in views and tiles. No torch here."""

from collections.abc import Sequence

import numpy as np

from steelscan.data import Shrink, pad, padded_frame, resize_picture
from steelscan.prediction.model import Model, ModelOutputs, OutputKind
from steelscan.prediction.specs import Tiles, View
from steelscan.prediction.tiles import in_tiles, starts
from steelscan.strip import Frame, Picture


def predict_views(
    model: Model, views: Sequence[View], picture: Picture, kind: OutputKind
) -> ModelOutputs:
    """Predict a picture, uint8 ``(height, width)``, in each view; the padding is cut off again.

    The masks have the size at which the model sees the strip.
    """
    strip, seen = _resized(model.resize, picture)

    def predict(part: Picture) -> ModelOutputs:
        return model.predict(part, views, kind)

    outputs = in_tiles(predict, strip, model.tiles) if model.tiles else predict(strip)
    masks = outputs.masks
    if masks is not None:
        masks = np.asarray(masks[..., : seen.height, : seen.width])
    return outputs._replace(masks=masks)


def network_inputs(resize: Shrink | None, tiles: Tiles | None, picture: Picture) -> list[Picture]:
    """Return the strips, or tiles of one, that a model with these settings gets for a picture.

    Each is uint8 ``(height, width)``.
    """
    strip, _ = _resized(resize, picture)
    if tiles is None:
        return [strip]
    return [strip[:, left : left + tiles.width] for left in starts(tiles, strip.shape[1])]


def _resized(resize: Shrink | None, picture: Picture) -> tuple[Picture, Frame]:
    """Return a picture resized and padded, and its size before the padding."""
    frame = Frame(*picture.shape)
    seen = resize.frame(frame) if resize else frame
    return pad(resize_picture(picture, seen), _padded(seen)), seen


def _padded(seen: Frame) -> Frame:
    """Return the padded size; a single deepest cell, which group norms refuse, is doubled."""
    padded = padded_frame(seen)
    one_cell = padded_frame(Frame(1, 1))
    return Frame(padded.height, 2 * padded.width) if padded == one_cell else padded
