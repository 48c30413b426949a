"""The style of drawings, and drawings as SVG or PNG."""

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
    """Draw and save figures in one style while the block runs."""
    from matplotlib import rc_context

    with rc_context(_STYLE), warnings.catch_warnings():
        # The browser uses its own fonts: it shows letters that matplotlib's fonts lack.
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def svg_of(figure: "Figure") -> str:
    """Return a figure as an ``<svg>`` element, equal for equal numbers; use inside `styled`."""
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg", transparent=True)
    return _bare(drawing.getvalue())


def png_of(figure: "Figure", dpi: int = 160) -> bytes:
    """Return a figure as a PNG file on white; use inside `styled`."""
    drawing = io.BytesIO()
    figure.savefig(drawing, format="png", dpi=dpi, facecolor="white")
    return drawing.getvalue()


def _bare(svg: str) -> str:
    """Return only the ``<svg>`` element, without what a separate file would need."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
