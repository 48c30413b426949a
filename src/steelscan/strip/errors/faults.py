"""Kinds of faults of a data set; errors name theirs, and `steelscan check` counts them."""

from enum import StrEnum
from typing import Literal

Severity = Literal["error", "warning"]


class Fault(StrEnum):
    """One kind of fault; its value is the name shown to users."""

    # Pictures
    UNREADABLE = "unreadable picture"
    DEEP = "picture over 8 bits"
    MODE = "picture in CMYK or another mode"
    TURNED = "picture stored rotated (EXIF)"
    TRANSPARENT = "picture with transparency"
    PAGES = "file with several pictures"
    COLOURED = "picture with colour"
    ODD_SIZE = "picture of unusual size"
    IDENTICAL = "identical pictures"

    # Pictures and annotations together
    NO_PICTURE = "annotated picture missing"
    NO_ANNOTATION = "picture without annotations"
    NO_MASK = "mask missing"
    SIZE = "mask and picture differ in size"
    SAME_NAME = "duplicate name"
    SAME_BUT_CASE = "names differ only in case"
    UNSAFE_NAME = "name that points outside the data set"

    # Annotations
    UNREADABLE_FILE = "unreadable annotations"
    FOREIGN = "file of another program"
    UNKNOWN_CLASS = "undeclared class or mask value"
    OUTSIDE = "mask outside its picture"
    RUNS = "broken run lengths"
    POLYGON = "broken polygon"
    NO_OUTLINE = "shape without an outline"
    BOX = "box or ellipse, filled"
    PALETTE = "palette that contradicts other masks"
    BY_COLOUR = "palette to check"
    CLASS_NAME = "class names that are easily confused"
    UNCLEAR = "ambiguous annotation"
    POLYGON_OUTSIDE = "polygon outside its picture"
    POLYGON_CROSSED = "polygon that crosses itself"
    EMPTY = "empty annotation"
    PASSED_OVER = "annotation ignored"
    OVERLAP = "pixels of two classes"
    IGNORED = "pixels marked as unknown"

    @property
    def severity(self) -> Severity:
        """An error makes a picture or its masks unusable; a warning needs a check by a person."""
        return "warning" if self in _WARNINGS else "error"


_WARNINGS = frozenset(
    (
        Fault.COLOURED,
        Fault.ODD_SIZE,
        Fault.IDENTICAL,
        Fault.NO_ANNOTATION,
        Fault.SAME_BUT_CASE,
        Fault.POLYGON_OUTSIDE,
        Fault.POLYGON_CROSSED,
        Fault.EMPTY,
        Fault.PASSED_OVER,
        Fault.BOX,
        Fault.FOREIGN,
        Fault.BY_COLOUR,
        Fault.CLASS_NAME,
        Fault.OVERLAP,
        Fault.IGNORED,
    )
)
