"""Explore a data set and write the page, its figures and tables into one folder."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from steelscan.data import check_apart
from steelscan.explore.exploration import Exploration, explore_data
from steelscan.explore.explored_data import open_explored_data
from steelscan.explore.exposure import Exposure
from steelscan.explore.figures import draw_figures
from steelscan.explore.gallery import (
    DrawnStrip,
    Gallery,
    draw_examples,
    draw_near_duplicates,
    draw_suspects,
    png,
    sheet,
)
from steelscan.explore.masks import EDGES
from steelscan.explore.page import render
from steelscan.strip import Frame, PerClass
from steelscan.strip.errors import OnError
from steelscan.strip.files import output_folder, write_bytes, write_text, writing
from steelscan.strip.tables import write_rows

_TABLES = ("strips.csv", "masks.csv", "suspects.csv")
_FIGURE = re.compile(r"[a-z]+(-[a-z]+)*(-\d+)?\.png")


def explore(
    data: Path,
    out: Path,
    labels: Path | None = None,
    frame: Frame | None = None,
    on_error: OnError = "stop",
    speck: int | None = None,
    min_area: PerClass[int] | None = None,
) -> Exploration:
    """Explore a data set, or annotations alone, and write the result into a folder.

    ``explore.html`` is complete in itself; ``figures/*.png`` are its figures, ``explore.json`` its
    numbers; ``strips.csv``, ``masks.csv`` and ``suspects.csv`` have a row for each. Files are
    written after all was read, each whole or not at all, and the page last. For the parameters and
    their errors see `open_explored_data` and `explore_data`. Raises OutputError if the folder
    cannot be written.
    """
    check_apart(out, data)
    output_folder(out)
    explored = open_explored_data(data, labels, frame, on_error)
    exploration = explore_data(explored, on_error, speck, min_area)
    figures, examples = draw_figures(exploration), draw_examples(exploration)
    near_duplicates, suspects = draw_near_duplicates(exploration), draw_suspects(exploration)
    page = render(exploration, figures, examples, near_duplicates, suspects)
    files = {f"{name}.png": content for name, (_, content) in figures.items()}
    files |= _sheets(examples, near_duplicates, suspects)
    _remove_earlier(out, files.keys())
    for name, content in files.items():
        write_bytes(out / "figures" / name, content)
    if exploration.measured.strips:
        _write_tables(exploration, out)
    exploration = exploration.model_copy(update={"figures": tuple(files)})
    write_text(out / "explore.json", exploration.model_dump_json(indent=2) + "\n")
    write_text(out / "explore.html", page)
    return exploration


def _sheets(
    examples: Sequence[Gallery],
    near_duplicates: Sequence[Sequence[DrawnStrip]],
    suspects: Sequence[Gallery],
) -> dict[str, bytes]:
    """Return the strips of the page as PNG files, one per heading."""
    parts: dict[str, Sequence[DrawnStrip]] = {}
    parts |= {f"examples-{at:02d}": drawn for at, (_, drawn) in enumerate(examples)}
    parts |= {f"near-duplicates-{at:02d}": drawn for at, drawn in enumerate(near_duplicates)}
    parts |= {f"suspects-{at:02d}": drawn for at, (_, drawn) in enumerate(suspects)}
    return {f"{name}.png": png(sheet(drawn)) for name, drawn in parts.items()}


def _remove_earlier(out: Path, kept: Collection[str]) -> None:
    """Remove the figures and tables of an earlier exploration that this one does not write."""
    try:
        listed = json.loads((out / "explore.json").read_text("utf-8"))["figures"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    stale = [name for name in listed if isinstance(name, str) and name not in kept]
    paths = [out / "figures" / name for name in stale if _FIGURE.fullmatch(name)]
    for path in [*paths, *(out / name for name in _TABLES)]:
        with writing(path):
            path.unlink(missing_ok=True)


def _write_tables(exploration: Exploration, out: Path) -> None:
    strips, masks, suspects = _TABLES
    columns = ("image", "height", "width", *Exposure._fields, "group")
    write_rows(out / strips, columns, _strip_rows(exploration))
    edges = [f"touches_{edge}" for edge in EDGES]
    parts = ("pieces", "smallest_piece", "slivers", "holes", "hole_pixels", *edges)
    write_rows(out / masks, ("image", "class", "pixels", "share", *parts), _mask_rows(exploration))
    rows = (
        (each.kind, each.image, each.class_name or "", each.reason) for each in exploration.suspects
    )
    write_rows(out / suspects, ("kind", "image", "class", "reason"), rows)


def _strip_rows(exploration: Exploration) -> Iterator[tuple[object, ...]]:
    groups = exploration.measured.groups
    for at, each in enumerate(exploration.measured.strips):
        exposure = each.exposure or ("",) * len(Exposure._fields)
        numbers = (f"{part:.4f}" if isinstance(part, float) else part for part in exposure)
        yield each.name, *each.frame, *numbers, "" if groups is None else int(groups[at])


def _mask_rows(exploration: Exploration) -> Iterator[tuple[object, ...]]:
    for each in exploration.measured.strips:
        for name, shape in zip(exploration.classes, each.shapes, strict=True):
            if shape is not None:
                pieces = len(shape.pieces), int(shape.pieces[0, 0]), len(shape.slivers)
                holes = len(shape.holes), int(shape.holes[:, 0].sum())
                edges = (int(touched) for touched in shape.touches)
                yield (
                    each.name, name, shape.pixels, f"{shape.share:.6f}", *pieces, *holes, *edges
                )  # fmt: skip
