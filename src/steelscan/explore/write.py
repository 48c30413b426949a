"""A data set explored: the page, its figures, and tables of all numbers, in one folder."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from steelscan.data import check_apart, folders_read
from steelscan.explore.exploration import Exploration, explore_material
from steelscan.explore.figures import draw_figures
from steelscan.explore.masks import EDGES
from steelscan.explore.material import OnError, open_material
from steelscan.explore.page import render
from steelscan.explore.shown import (
    Gallery,
    Shown,
    png,
    sheet,
    show_examples,
    show_suspects,
    show_twins,
)
from steelscan.strip import (
    Frame,
    PerClass,
    cannot_write,
    output_folder,
    write_bytes,
    write_json,
    write_rows,
    write_text,
)

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
    """Explore a data set, or annotations alone, and write what was found into a folder.

    ``explore.html`` needs nothing beside it; ``figures/*.png`` are its figures, ``explore.json``
    its numbers, ``strips.csv``, ``masks.csv`` and ``suspects.csv`` a row for each. Every file is
    written whole or not at all, after all was read, and the page last. For ``data``, ``labels``
    and ``frame`` see `open_material`, for the limits `explore_material`, and for what both raise;
    OutputError when the folder cannot be written.
    """
    check_apart(out, folders_read(data))
    output_folder(out)
    found = explore_material(
        open_material(data, labels, frame, on_error), on_error, speck, min_area
    )
    figures, examples = draw_figures(found), show_examples(found)
    twins, suspects = show_twins(found), show_suspects(found)
    page = render(found, figures, examples, twins, suspects)
    drawn = {f"{name}.png": content for name, (_, content) in figures.items()}
    drawn |= _sheets(examples, twins, suspects)
    _remove_earlier(out, drawn.keys())
    for name, content in drawn.items():
        write_bytes(out / "figures" / name, content)
    if found.gathered.strips:
        _write_tables(found, out)
    write_json(out / "explore.json", {**found.to_dict(), "figures": list(drawn)})
    write_text(out / "explore.html", page)
    return found


def _sheets(
    examples: Sequence[Gallery], twins: Sequence[Sequence[Shown]], suspects: Sequence[Gallery]
) -> dict[str, bytes]:
    """The strips of the page as PNG files, one a heading."""
    parts: dict[str, Sequence[Shown]] = {}
    parts |= {f"examples-{at:02d}": shown for at, (_, shown) in enumerate(examples)}
    parts |= {f"near-duplicates-{at:02d}": shown for at, shown in enumerate(twins)}
    parts |= {f"suspects-{at:02d}": shown for at, (_, shown) in enumerate(suspects)}
    return {f"{name}.png": png(sheet(shown)) for name, shown in parts.items()}


def _remove_earlier(out: Path, kept: Collection[str]) -> None:
    """Remove the figures and tables of an earlier exploration that this one does not make."""
    try:
        listed = json.loads((out / "explore.json").read_text("utf-8"))["figures"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    stale = [name for name in listed if isinstance(name, str) and name not in kept]
    paths = [out / "figures" / name for name in stale if _FIGURE.fullmatch(name)]
    for path in [*paths, *(out / name for name in _TABLES)]:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error


def _write_tables(found: Exploration, out: Path) -> None:
    strips, masks, suspects = _TABLES
    names = found.material.classes.names
    light = ("brightness", "contrast", "black_left", "black_right")
    write_rows(out / strips, ("image", "height", "width", *light, "group"), _strip_rows(found))
    edges = [f"touches_{edge}" for edge in EDGES]
    parts = ("pieces", "smallest_piece", "slivers", "holes", "hole_pixels", *edges)
    write_rows(out / masks, ("image", "class", "pixels", "share", *parts), _mask_rows(found))
    rows = (
        (
            each.kind,
            found.gathered.strips[each.strip].name,
            "" if each.class_index is None else names[each.class_index],
            each.why,
        )
        for each in found.suspects
    )
    write_rows(out / suspects, ("kind", "image", "class", "why"), rows)


def _strip_rows(found: Exploration) -> Iterator[tuple[object, ...]]:
    groups = found.gathered.groups
    for at, each in enumerate(found.gathered.strips):
        light = ("",) * 4 if each.light is None else tuple(f"{part:.4f}" for part in each.light)
        yield each.name, *each.frame, *light, "" if groups is None else int(groups[at])


def _mask_rows(found: Exploration) -> Iterator[tuple[object, ...]]:
    for each in found.gathered.strips:
        for name, shape in zip(found.material.classes.names, each.shapes, strict=True):
            if shape is not None:
                pieces = len(shape.pieces), int(shape.pieces[0]), shape.slivers
                holes = len(shape.holes), int(shape.holes.sum())
                edges = (int(touched) for touched in shape.touches)
                yield (
                    each.name, name, shape.pixels, f"{shape.share:.6f}", *pieces, *holes, *edges
                )  # fmt: skip
