"""What all pages share: the house's form, numbers and pictures. Each is one file, complete."""

from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from math import isnan
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.outline import class_color
from steelscan.strip import Classes

PAGE_WIDTH = 924
"""Pixels of a picture that is alone in its row: the page has 1000, of which 76 are for the words
before a row (page.html.jinja)."""

_LONG = 2.5
"""Pictures so many times wider than high stand above each other, others side by side."""

_GAP = 16
_HEIGHT = 420


def render_page(room: str, template: str, brand: str, content: Mapping[str, Any]) -> str:
    """Fill a template of a room, such as "steelscan.pipeline", that extends ``page.html.jinja``.

    ``brand`` stands small above the title. Styles, drawings and pictures are all in the text.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def source(name: str) -> str:
        where = "steelscan.evaluation" if name == "page.html.jinja" else room
        return files(where).joinpath(name).read_text("utf-8")

    environment = Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"decimal": decimal, "percent": percent}
    return environment.get_template(template).render(content, brand=brand)


def is_long(picture: NDArray[np.uint8]) -> bool:
    """Whether views of a picture stand above each other."""
    height, width = picture.shape[:2]
    return bool(width >= _LONG * height)


def shown_width(picture: NDArray[np.uint8], beside: int) -> int:
    """The width at which a picture is shown: alone in its row, or with so many beside another."""
    if is_long(picture):
        return PAGE_WIDTH
    height, width = picture.shape[:2]
    most = 480 if beside == 2 else (1000 - (beside - 1) * _GAP) // beside
    return max(1, min(most, round(int(width) * _HEIGHT / int(height))))


def jpeg(picture: NDArray[np.uint8]) -> str:
    """An RGB picture, uint8 ``(height, width, 3)``, as the address of itself."""
    # Thin coloured lines need every pixel's own colour: no chroma subsampling.
    fine = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = [cv2.IMWRITE_JPEG_QUALITY, 85, *fine]
    _, code = cv2.imencode(".jpg", picture[..., ::-1], options)
    return "data:image/jpeg;base64," + b64encode(code.tobytes()).decode()


def css_color(index: int) -> str:
    """The colour of a class; ``index`` counts from 0."""
    red, green, blue = class_color(index)
    return f"rgb({red},{green},{blue})"


def legend(classes: Classes) -> list[dict[str, str]]:
    """The name and the colour of each class."""
    return [{"name": name, "color": css_color(at)} for at, name in enumerate(classes.names)]


def decimal(value: float | None, digits: int = 4) -> str:
    """A number; a dash where there is none."""
    return "—" if value is None or isnan(value) else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share as a percentage; a dash where there is none."""
    return "—" if value is None or isnan(value) else f"{100 * value:.1f} %"
