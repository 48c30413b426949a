"""How drawings look, and drawings as the text that stands in a page."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#c4c9cf",
    "axes.labelcolor": "#6b7280",
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": "#374151",
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "font.family": "sans-serif",
    "font.size": 8,
    "grid.color": "#eceef1",
    "grid.linewidth": 0.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "steelscan",
    "text.color": "#4b5563",
    "text.parse_math": False,
    "xtick.color": "#6b7280",
    "ytick.color": "#6b7280",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save figures in the house's style while the block runs."""
    from matplotlib import rc_context

    with rc_context(_STYLE), warnings.catch_warnings():
        # The browser has its own fonts: a letter that matplotlib's lacks is still shown.
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def svg_of(figure: "Figure") -> str:
    """A figure as an ``<svg>`` element, the same for the same numbers; inside `styled`."""
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg", transparent=True)
    return _bare(drawing.getvalue())


def png_of(figure: "Figure", dpi: int = 160) -> bytes:
    """A figure as a PNG file on white; inside `styled`."""
    drawing = io.BytesIO()
    figure.savefig(drawing, format="png", dpi=dpi, facecolor="white")
    return drawing.getvalue()


def _bare(svg: str) -> str:
    """The ``<svg>`` element alone, without what only a file of its own needs."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
