"""What can be wrong with a data set, by names that can be counted.

An error that reading raises names its fault; `steelscan check` counts them.
"""

from enum import StrEnum
from typing import Literal

Severity = Literal["error", "warning"]


class Fault(StrEnum):
    """One kind of fault; its value is how it is called in print."""

    # Pictures
    UNREADABLE = "unreadable picture"
    DEEP = "picture over 8 bits"
    MODE = "picture in CMYK or another mode"
    TURNED = "picture stored turned (EXIF)"
    TRANSPARENT = "picture with transparency"
    PAGES = "file of several pictures"
    COLOURED = "picture with colour"
    ODD_SIZE = "picture of an odd size"
    IDENTICAL = "identical pictures"

    # Pictures and annotations together
    NO_PICTURE = "annotated picture missing"
    NO_ANNOTATION = "picture without annotations"
    NO_MASK = "mask missing"
    SIZE = "mask of another size than its picture"
    SAME_NAME = "duplicate name"
    SAME_BUT_CASE = "names differ only in case"
    UNSAFE_NAME = "name that leads out of the data set"

    # Annotations
    UNREADABLE_FILE = "unreadable annotations"
    FOREIGN = "file of another program"
    UNKNOWN_CLASS = "class or mask value not declared"
    OUTSIDE = "mask outside its picture"
    RUNS = "broken run lengths"
    POLYGON = "broken polygon"
    NO_OUTLINE = "shape without an outline"
    BOX = "box or ellipse, filled"
    PALETTE = "palette that other masks contradict"
    BY_COLOUR = "palette to be looked at"
    CLASS_NAME = "class names that are easily confused"
    UNCLEAR = "annotation that can be meant two ways"
    POLYGON_OUTSIDE = "polygon outside its picture"
    POLYGON_CROSSED = "polygon that crosses itself"
    EMPTY = "empty annotation"
    PASSED_OVER = "annotation passed over"
    OVERLAP = "pixels of two classes"
    IGNORED = "pixels neither sound nor defective"

    @property
    def severity(self) -> Severity:
        """An error makes a picture or its masks unusable; a warning asks for a look."""
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
