"""Masks whose values have colours: the palettes of a set compared, and read where they differ.

Programs that make PNG files smaller, and those that save coloured masks with few colours, number a
palette anew: the colours stay, and the values change. A value alone then says nothing. So the
palettes of all masks of a set must agree. Where they do not, a palette that names every class and
is that of most masks tells what a colour means, and the others are read by their colours.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.data.picture import IndexPicture
from steelscan.strip import Fault, MaskError

Colours: TypeAlias = dict[int, tuple[int, ...]]
"""Red, green and blue of values; no colour stands there twice."""

_BLACK = (0, 0, 0)
_REMEDY = "Save all masks anew with one palette, or as 8-bit grey whose values are the classes"


class Palettes:
    """What the palettes of a set's masks say of values; looked at when the first one is met."""

    def __init__(
        self, values: Sequence[int], classes: Sequence[int], all_: Callable[[], Iterable[bytes]]
    ) -> None:
        """Take the values that have a meaning, those of classes among them, and all palettes."""
        self._values, self._classes, self._all = values, classes, all_
        self._looked = False
        self._agreed: Colours | None = None

    def read(self, mask: IndexPicture, where: object) -> tuple[NDArray[np.uint8], str]:
        """The values that a mask's colours have in the set, and what to say of them; mostly "".

        Raises MaskError where that is not known.
        """
        if mask.palette is None:
            return mask.values, ""
        used = np.flatnonzero(np.bincount(mask.values.reshape(-1), minlength=256)).tolist()
        if used and used[-1] >= len(mask.palette):
            found, remedy = f"holds the value {used[-1]}, which its palette lacks", _REMEDY
            raise MaskError(where, found, remedy, Fault.PALETTE)
        colours = {value: tuple(mask.palette[value].tolist()) for value in used}
        if _are_greys(colours):
            return mask.values, ""
        agreed = self._agreement(where)
        of_colour = {colour: value for value, colour in agreed.items()}
        if of_colour.get(_BLACK, 0):
            found = f"has black for the value {of_colour[_BLACK]}, and {_named(agreed, 0)} for 0"
            remedy = f"Value 0 is sound steel: it seems to be numbered anew. {_REMEDY}"
            raise MaskError(where, found, remedy, Fault.PALETTE)
        # A colour that a palette holds twice, as fillers do, tells nothing.
        meant = {
            at: of_colour.get(colour, at) if _stands_once(colour, mask.palette) else at
            for at, colour in colours.items()
        }
        strange = [
            at for at in used if meant[at] == at and agreed.get(at, colours[at]) != colours[at]
        ]
        if strange or len(set(meant.values())) < len(meant):
            at = strange[0] if strange else next(at for at in used if meant[at] != at)
            found = f"has {_named(colours, at)} for the value {at}, most masks {_named(agreed, at)}"
            raise MaskError(where, found, _REMEDY, Fault.PALETTE)
        if all(value == at for at, value in meant.items()):
            odd = agreed.get(0, _BLACK) != _BLACK
            return mask.values, f"has {_named(agreed, 0)} for sound steel, value 0" if odd else ""
        table = np.zeros(256, np.uint8)
        table[used] = [meant[value] for value in used]
        told = ", ".join(f"{at} as {value}" for at, value in meant.items() if at != value)
        return table[mask.values], f"has its palette in another order: by its colours, reads {told}"

    def _agreement(self, where: object) -> Colours:
        if not self._looked:
            self._agreed, self._looked = self._look(), True
        if self._agreed is None:
            found = "has a palette that other masks contradict: one value has several colours"
            raise MaskError(where, found, _REMEDY, Fault.PALETTE)
        return self._agreed

    def _look(self) -> Colours | None:
        """The colours that all palettes agree on, or most; None where there is no such majority."""
        told = filter(None, map(self._told, self._all()))
        counts = Counter(tuple(each.items()) for each in told)
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

    def _told(self, palette: bytes) -> Colours:
        """Colours of the values that have a meaning; one that an earlier value has fills a gap.

        Nothing for greys in their order.
        """
        told: Colours = {}
        for value in self._values:
            colour = tuple(palette[3 * value : 3 * value + 3])
            if len(colour) == 3 and colour not in told.values():
                told[value] = colour
        return {} if _are_greys(told) else told


def _are_greys(colours: Colours) -> bool:
    """Whether colours are the values themselves, as good as no palette."""
    return all(colour == (value,) * 3 for value, colour in colours.items())


def _stands_once(colour: tuple[int, ...], palette: NDArray[np.uint8]) -> bool:
    return int((palette == colour).all(axis=1).sum()) == 1


def _named(colours: Colours, value: int) -> str:
    if value not in colours:
        return "no colour"
    return "the colour " + ",".join(map(str, colours[value]))
