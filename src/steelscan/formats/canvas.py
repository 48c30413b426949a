"""The masks of one picture, drawn shape by shape while its annotations are read."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from steelscan.formats.annotated_picture import AnnotatedPicture
from steelscan.formats.polygon import crosses_itself, fill
from steelscan.strip import Classes, Frame, Mask
from steelscan.strip.errors import STRICT, Fault, FaultPolicy, InputError, MaskError


class Canvas:
    """Draws the shapes of one picture; each shape is added to the mask of its class."""

    def __init__(
        self, image: str, frame: Frame, classes: Classes, policy: FaultPolicy = STRICT
    ) -> None:
        self.classes = classes
        self._image, self._frame, self._policy = image, frame, policy
        self._masks = frame.empty_masks(len(classes), image)
        self._clipped = self._dropped = self._boxes = self._left_out = 0
        self._tags: list[tuple[object, str]] = []

    @contextmanager
    def shape(self) -> Iterator[None]:
        """Draw one shape in a block; if it fails, the shape is left out or the error raised."""
        try:
            yield
        except InputError as error:
            self._left_out += 1
            self._policy.skip(error)

    def polygon(self, class_name: str, points: object, where: object) -> None:
        """Add a polygon, ``(corners, 2)`` of x, y in pixels; see `fill`. Raises MaskError."""
        filled = fill(self._mask(class_name, where), points, where)
        if filled.outside and not filled.pixels:
            problem = f"a polygon is outside the picture, which has {self._frame}"
            remedy = "Correct its corners; they may belong to a picture of another size"
            raise MaskError(where, problem, remedy, Fault.OUTSIDE)
        self._clipped += filled.outside
        self._dropped += filled.pixels == 0
        if filled.outside:
            problem = "a polygon reaches outside the picture and is cut at its border"
            self._policy.note(Fault.POLYGON_OUTSIDE, where, problem)
        if not filled.pixels:
            self._policy.note(Fault.EMPTY, where, "a polygon is too small to cover a pixel")
        if self._policy.thorough and crosses_itself(points):
            problem = "sides of a polygon cross: areas that it encloses twice are not filled"
            self._policy.note(Fault.POLYGON_CROSSED, where, problem)

    def filled(self, class_name: str, points: object, kind: str, where: object) -> None:
        """Add the whole area of a box or an ellipse, given as a polygon. Raises MaskError."""
        self.polygon(class_name, points, where)
        self._boxes += 1
        self._policy.note(Fault.BOX, where, f"is {kind}, not an outline: its whole area is filled")

    def mask(
        self, class_name: str, mask: Mask, where: object, at: tuple[int, int] = (0, 0)
    ) -> None:
        """Add a mask whose upper left pixel is at ``at`` (row, column).

        Raises MaskError if it reaches outside the picture.
        """
        (top, left), (height, width) = at, mask.shape
        if min(at) < 0 or top + height > self._frame.height or left + width > self._frame.width:
            problem = f"a mask of {Frame(height, width)} at row {top}, column {left} reaches "
            problem += f"outside the picture of {self._frame}"
            raise MaskError(where, problem, "Export the annotations again", Fault.OUTSIDE)
        self._mask(class_name, where)[top : top + height, left : left + width] |= mask
        if not mask.any():
            self._policy.note(Fault.EMPTY, where, "a mask has no pixel")

    def tag(self, problem: str, where: object) -> None:
        """Add a label of the whole picture: ignored if any shape is drawn, else an error."""
        self._tags.append((where, problem))

    def finish(self) -> AnnotatedPicture:
        """Return the masks; they are incomplete if shapes were lost and no mask remains.

        Raises MaskError for tags without any shape: they may mean a defect.
        """
        drawn = self._masks.any()
        for where, problem in self._tags:
            if drawn:
                self._policy.note(Fault.PASSED_OVER, where, problem)
                continue
            with self.shape():
                alone = f"{problem}, but no shape shows where it applies"
                remedy = "Outline the defect, or remove this if the steel is defect-free"
                raise MaskError(where, alone, remedy, Fault.NO_OUTLINE)
        lost = self._left_out + self._dropped > 0 and not self._masks.any()
        counts = (self._clipped, self._dropped, self._boxes, lost)
        return AnnotatedPicture(self._image, self._frame, self._masks, self.classes, *counts)

    def _mask(self, class_name: str, where: object) -> Mask:
        name = class_name.strip()
        if name != class_name:
            problem = f"names the class {class_name!r}, which is read as {name!r}"
            self._policy.note(Fault.CLASS_NAME, where, problem)
        if name not in self.classes.names:
            known = ", ".join(self.classes.names)
            problem = f"names the class {name!r}, but the classes are {known}"
            remedy = "Correct the name, or add it to the list of classes"
            raise MaskError(where, problem, remedy, Fault.UNKNOWN_CLASS)
        mask: NDArray[np.bool_] = self._masks[self.classes.names.index(name)]
        return mask


def no_area(kind: str, where: object) -> MaskError:
    """Return the error for a shape, such as a line, that has a position but no area."""
    problem = f"is a {kind}, which has a position but no area"
    return MaskError(where, problem, "Outline the defect as a polygon or a mask", Fault.NO_OUTLINE)
