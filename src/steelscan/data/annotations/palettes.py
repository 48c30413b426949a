"""Masks with palettes: the palettes of a data set are compared, and reordered ones are undone.

Programs that shrink PNG files, and those that save coloured masks with few colours, renumber a
palette: the colours stay, and the values change, so a value alone means nothing. Therefore the
palettes of all masks of a data set must agree. If they do not, the palette of most masks defines
the colours, if it has every class, and the other masks are read by their colours.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.data.picture import IndexPicture
from steelscan.strip.errors import Fault, MaskError

Colours: TypeAlias = dict[int, tuple[int, ...]]
"""Red, green and blue by value; each colour occurs once."""

_BLACK = (0, 0, 0)
_REMEDY = "Save all masks again with one palette, or as 8-bit grey whose values are the classes"


class Palettes:
    """The palettes of a data set's masks; they are read when the first mask with one is read."""

    def __init__(
        self, values: Sequence[int], classes: Sequence[int], all_: Callable[[], Iterable[bytes]]
    ) -> None:
        """Store the values with a meaning, those of classes, and a function for all palettes."""
        self._values, self._classes, self._all = values, classes, all_
        self._compared = False
        self._agreed: Colours | None = None

    def read(self, mask: IndexPicture, where: object) -> tuple[NDArray[np.uint8], str]:
        """Return the values of a mask's colours in the data set, and a note, mostly "".

        Raises MaskError if the values are unknown.
        """
        if mask.palette is None:
            return mask.values, ""
        used = np.flatnonzero(np.bincount(mask.values.reshape(-1), minlength=256)).tolist()
        if used and used[-1] >= len(mask.palette):
            problem = f"has the value {used[-1]}, which is not in its palette"
            raise MaskError(where, problem, _REMEDY, Fault.PALETTE)
        colours = {value: tuple(mask.palette[value].tolist()) for value in used}
        if _are_greys(colours):
            return mask.values, ""
        agreed = self._agreement(where)
        of_colour = {colour: value for value, colour in agreed.items()}
        if of_colour.get(_BLACK, 0):
            problem = f"has black for the value {of_colour[_BLACK]}, and {_named(agreed, 0)} for 0"
            remedy = f"Value 0 is defect-free steel: the values seem to be renumbered. {_REMEDY}"
            raise MaskError(where, problem, remedy, Fault.PALETTE)
        # A colour that a palette has twice, as a filler, has no meaning.
        times = Counter(map(tuple, mask.palette.tolist()))
        meaning = {
            at: of_colour.get(colour, at) if times[colour] == 1 else at
            for at, colour in colours.items()
        }
        strange = [
            at for at in used if meaning[at] == at and agreed.get(at, colours[at]) != colours[at]
        ]
        if strange or len(set(meaning.values())) < len(meaning):
            at = strange[0] if strange else next(at for at in used if meaning[at] != at)
            problem = (
                f"has {_named(colours, at)} for the value {at}, most masks {_named(agreed, at)}"
            )
            raise MaskError(where, problem, _REMEDY, Fault.PALETTE)
        if all(value == at for at, value in meaning.items()):
            odd = agreed.get(0, _BLACK) != _BLACK
            return mask.values, f"has {_named(agreed, 0)} for the background" if odd else ""
        table = np.zeros(256, np.uint8)
        table[used] = [meaning[value] for value in used]
        changed = ", ".join(f"{at} as {value}" for at, value in meaning.items() if at != value)
        return table[mask.values], f"has a reordered palette: by its colours, reads {changed}"

    def _agreement(self, where: object) -> Colours:
        if not self._compared:
            self._agreed, self._compared = self._compare(), True
        if self._agreed is None:
            problem = "has a palette that other masks contradict: one value has several colours"
            raise MaskError(where, problem, _REMEDY, Fault.PALETTE)
        return self._agreed

    def _compare(self) -> Colours | None:
        """Return the colours of all palettes, or of the majority; None if there is no majority."""
        palettes = filter(None, map(self._colours, self._all()))
        counts = Counter(tuple(each.items()) for each in palettes)
        merged: Colours = {}
        for each in counts:
            merged.update(each)
        if len(set(merged.values())) == len(merged) and all(
            merged[value] == colour for each in counts for value, colour in each
        ):
            return merged
        needed = {0, *self._classes}
        whole = Counter[tuple[tuple[int, tuple[int, ...]], ...]]()
        for pairs, count in counts.items():
            if needed <= dict(pairs).keys():
                whole[tuple(pair for pair in pairs if pair[0] in needed)] += count
        best, count = whole.most_common(1)[0] if whole else ((), 0)
        return dict(best) if 2 * count > counts.total() else None

    def _colours(self, palette: bytes) -> Colours:
        """Return the colours of the values with a meaning; {} for greys in their order.

        A colour that an earlier value has is a filler and left out.
        """
        colours: Colours = {}
        for value in self._values:
            colour = tuple(palette[3 * value : 3 * value + 3])
            if len(colour) == 3 and colour not in colours.values():
                colours[value] = colour
        return {} if _are_greys(colours) else colours


def _are_greys(colours: Colours) -> bool:
    """Return whether the colours are the grey levels of the values, as without a palette."""
    return all(colour == (value,) * 3 for value, colour in colours.items())


def _named(colours: Colours, value: int) -> str:
    if value not in colours:
        return "no colour"
    return "the colour " + ",".join(map(str, colours[value]))
