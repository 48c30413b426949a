"""What all pages have in common: one HTML file that needs nothing beside it, in one style."""

from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from math import isnan
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.pages.outline import class_color

PAGE_WIDTH, HALF_WIDTH, HALF_HEIGHT = 924, 480, 420
"""Pixels of a shown picture: alone in its row, or beside another one. The page has 1000, of which
76 are for the words before a row (page.html.jinja)."""

LONG = 2.5
"""Pictures so many times wider than high stand above each other, others side by side."""


_OURS = frozenset(("page.html.jinja", "tables.html.jinja", "bars.css.jinja", "bars.html.jinja"))


def render_page(room: str, template: str, content: Mapping[str, Any]) -> str:
    """A page as text, from a template that lies in a room and extends ``page.html.jinja``.

    Every word is escaped but for `Markup`; a name that ``content`` lacks is an error. Templates
    have the filters ``decimal`` and ``percent``.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def source(name: str) -> str:
        home = "steelscan.pages" if name in _OURS else room
        return files(home).joinpath(name).read_text("utf-8")

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(source),
    )
    environment.filters |= {"decimal": decimal, "percent": percent}
    return environment.get_template(template).render(content)


def shown_width(height: int, width: int, alone: int = PAGE_WIDTH) -> int:
    """Pixels of width at which a picture of this shape is shown; long ones stand alone."""
    if width >= LONG * height:
        return alone
    return max(1, min(HALF_WIDTH, round(width * HALF_HEIGHT / height)))


def jpeg_link(picture: NDArray[np.uint8]) -> str:
    """A colour picture, uint8 RGB ``(height, width, 3)``, as the text of a link to itself."""
    # Thin coloured lines need every pixel's own colour: no chroma subsampling.
    fine = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = [cv2.IMWRITE_JPEG_QUALITY, 85, *fine]
    _, code = cv2.imencode(".jpg", picture[..., ::-1], options)
    return "data:image/jpeg;base64," + b64encode(code.tobytes()).decode()


def css_color(index: int) -> str:
    """The colour of a class as a page writes it; ``index`` counts from 0."""
    red, green, blue = class_color(index)
    return f"rgb({red},{green},{blue})"


def decimal(value: float | None, digits: int = 4) -> str:
    """A number with so many decimals; a dash where there is none."""
    return "—" if value is None or isnan(value) else f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as per cent; a dash where there is none."""
    return "—" if value is None or isnan(value) else f"{100 * value:.{digits}f} %"
