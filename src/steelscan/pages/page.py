"""Render pages as single, self-contained HTML files in one style."""

from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from math import isnan
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.pages.outline import class_color
from steelscan.pages.plain import plural

PAGE_WIDTH, HALF_WIDTH, HALF_HEIGHT = 924, 480, 420
"""Pixels of a picture alone in its row, or next to another. A page is 1000 pixels wide, with 76 for
the label of a row (page.html.jinja)."""

LONG = 2.5
"""Pictures at least this many times wider than high are stacked, others shown side by side."""


_SHARED = frozenset(("page.html.jinja", "tables.html.jinja", "bars.css.jinja", "bars.html.jinja"))


def render_page(room: str, template: str, content: Mapping[str, Any]) -> str:
    """Render a template of package ``room`` that extends ``page.html.jinja``.

    All text except `Markup` is escaped; a name that ``content`` lacks is an error. Templates have
    the filters ``decimal``, ``percent`` and ``plural``.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def source(name: str) -> str:
        home = "steelscan.pages" if name in _SHARED else room
        return files(home).joinpath(name).read_text("utf-8")

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(source),
    )
    environment.filters |= {"decimal": decimal, "percent": percent, "plural": plural}
    return environment.get_template(template).render(content)


def shown_width(height: int, width: int, alone: int = PAGE_WIDTH) -> int:
    """Return the width in pixels at which a picture of this shape is shown."""
    if width >= LONG * height:
        return alone
    return max(1, min(HALF_WIDTH, round(width * HALF_HEIGHT / height)))


def jpeg_link(picture: NDArray[np.uint8]) -> str:
    """Encode a colour picture, uint8 RGB ``(height, width, 3)``, as a data URL."""
    # No chroma subsampling: thin coloured lines need the colour of every pixel.
    fine = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = [cv2.IMWRITE_JPEG_QUALITY, 85, *fine]
    _, code = cv2.imencode(".jpg", picture[..., ::-1], options)
    return "data:image/jpeg;base64," + b64encode(code.tobytes()).decode()


def css_color(index: int) -> str:
    """Return the CSS colour of a class; ``index`` counts from 0."""
    red, green, blue = class_color(index)
    return f"rgb({red},{green},{blue})"


def decimal(value: float | None, digits: int = 4) -> str:
    """Format a number with this many decimals, or a dash if there is none."""
    return "—" if value is None or isnan(value) else f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Format a share in per cent, or a dash if there is none."""
    return "—" if value is None or isnan(value) else f"{100 * value:.{digits}f} %"
