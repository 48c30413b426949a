"""Places of strips from their names: ``{coil}_{side}_{order:05d}``."""

import re
from string import Formatter

import polars as pl

from steelscan.strip.errors import InputError

_NUMBERS = {"order": r"\d", "position_m": r"[\d.]", "offset_mm": r"[\d.]"}
_FIELDS = ("coil", "side", "camera", *_NUMBERS)
_REMEDY = (
    "Write names of pictures without their ending, with fields of "
    f"{', '.join(_FIELDS)}: coil and order or position_m are needed, as {{coil}}_{{order:05d}}"
)
_SPEC = re.compile(r"0?(\d*)d?")


def match_names(pattern: str, images: pl.Series) -> pl.DataFrame:
    """Read coil, side, camera and numbers from names of images, without their endings.

    A pattern without a slash is matched with the last part of a name, another with as many parts
    as it has. Backslashes count as slashes. ``{coil}`` takes as many characters as possible, so
    that it may contain what separates the fields. A field that occurs twice must be equal.

    Returns a row per matching image: image, coil, side, camera (String; empty if the pattern has no
    such field), offset_mm (0 if it has none), and order or position_m (Float64), whichever it has.
    Raises InputError if the pattern is wrong or matches no image.
    """
    matcher, fields = _compile(pattern)
    parts = pattern.replace("\\", "/").count("/") + 1
    names = images.rename("image").to_frame()
    plain = pl.col("image").str.replace_all("\\", "/", literal=True)
    last = plain.str.split("/").list.tail(parts).list.join("/").str.replace(r"\.[A-Za-z]\w*$", "")
    rows = [
        (image, *(match[field] for field in fields))
        for image, name in names.select("image", last.alias("name")).iter_rows()
        if (match := matcher.fullmatch(name))
    ]
    if not rows:
        shown = f"; the first is {images[0]}" if len(images) else ""
        raise InputError(
            "pattern", f"{pattern} matches none of {len(images)} names{shown}", _REMEDY
        )
    table = pl.DataFrame(rows, dict.fromkeys(("image", *fields), pl.String), orient="row")
    numbers = [field for field in fields if field in _NUMBERS]
    table = table.with_columns(pl.col(numbers).cast(pl.Float64, strict=False))
    wrong = table.filter(pl.any_horizontal(pl.col(field).is_null() for field in numbers))
    if not wrong.is_empty():
        problem = f"{pattern} matches {wrong['image'][0]}, but not with numbers"
        raise InputError("pattern", problem, _REMEDY)
    texts = [pl.lit("").alias(each) for each in ("side", "camera") if each not in fields]
    offset = [] if "offset_mm" in fields else [pl.lit(0.0).alias("offset_mm")]
    _refuse_unknown_offsets(table, fields)
    return table.with_columns(*texts, *offset)


def _compile(pattern: str) -> tuple[re.Pattern[str], list[str]]:
    """Return a regular expression with a named group per field, and the fields."""
    expression, fields = "", []
    try:
        pieces = list(Formatter().parse(pattern.replace("\\", "/")))
    except ValueError as error:
        raise InputError("pattern", f"is {pattern!r} ({error})", _REMEDY) from None
    for literal, field, spec, _ in pieces:
        expression += re.escape(literal)
        if field is None:
            continue
        width = _SPEC.fullmatch(spec or "")
        if field not in _FIELDS or width is None or (spec and field not in _NUMBERS):
            shown = f"{field}:{spec}" if spec else field
            raise InputError("pattern", f"has the field {{{shown}}}", _REMEDY)
        if field in fields:
            expression += f"(?P={field})"
            continue
        fields.append(field)
        if field in _NUMBERS:
            expression += f"(?P<{field}>{_NUMBERS[field]}{{{width[1] or 1},}})"
        else:
            expression += f"(?P<{field}>[^/]+{'' if field == 'coil' else '?'})"
    if "coil" not in fields or not {"order", "position_m"} & set(fields):
        raise InputError("pattern", f"is {pattern!r}", _REMEDY)
    return re.compile(expression), fields


def _refuse_unknown_offsets(table: pl.DataFrame, fields: list[str]) -> None:
    """Raise InputError if several cameras of a side would all begin at its edge."""
    if "camera" not in fields or "offset_mm" in fields:
        return
    sides = ["coil", *(["side"] if "side" in fields else [])]
    cameras = table.group_by(sides, maintain_order=True).agg(pl.col("camera").unique().sort())
    several = cameras.filter(pl.col("camera").list.len() > 1)
    if not several.is_empty():
        names = ", ".join(several["camera"][0])
        problem = f"finds the cameras {names} on coil {several['coil'][0]}, but not their offsets"
        raise InputError("pattern", problem, "Give --geometry with offset_mm instead")
