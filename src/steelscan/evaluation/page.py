"""Pages that need nothing beside them: HTML from a template, with all pictures in it."""

from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from math import isnan
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.outline import class_color
from steelscan.strip import Frame

_PAGE_WIDTH, _HALF_WIDTH, _HALF_HEIGHT = 924, 480, 420
"""Pixels of a shown picture: alone in its row, or beside another one. The page has 1000, of which
76 are for the words before a row (report.html.jinja)."""
_LONG = 2.5
"""Pictures so many times wider than high stand above each other, others side by side."""


def render_page(template: str, content: Mapping[str, Any]) -> str:
    """Fill in a template, named from the program's folder, as ``evaluation/report.html.jinja``.

    All text is escaped. ``decimal`` and ``percent`` write numbers, and a dash for none. A template
    may extend ``evaluation/page.html.jinja``, which has the styles.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(lambda name: files("steelscan").joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"decimal": _decimal, "percent": _percent}
    return environment.get_template(template).render(content)


def shown_size(frame: Frame) -> tuple[bool, int]:
    """Whether pictures of a size stand above each other, not side by side, and how wide in pixels.

    Two pictures of one strip are shown together: with its true masks, and with those found.
    """
    if frame.width >= _LONG * frame.height:
        return True, _PAGE_WIDTH
    return False, max(1, min(_HALF_WIDTH, round(frame.width * _HALF_HEIGHT / frame.height)))


def inline_jpeg(picture: NDArray[np.uint8]) -> str:
    """A picture as the source of an ``img``: uint8 RGB ``(height, width, 3)``."""
    # Thin coloured lines need every pixel's own colour: no chroma subsampling.
    fine = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = [cv2.IMWRITE_JPEG_QUALITY, 85, *fine]
    _, code = cv2.imencode(".jpg", picture[..., ::-1], options)
    return "data:image/jpeg;base64," + b64encode(code.tobytes()).decode()


def css_color(index: int) -> str:
    """The colour of a class in CSS; ``index`` counts from 0."""
    red, green, blue = class_color(index)
    return f"rgb({red},{green},{blue})"


def _decimal(value: float | None, digits: int = 4) -> str:
    return "—" if value is None or isnan(value) else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "—" if value is None or isnan(value) else f"{100 * value:.1f} %"
