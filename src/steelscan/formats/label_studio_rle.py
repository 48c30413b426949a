"""Label Studio's run lengths: bits that hold runs of equal values and sequences of single values.

32 bits for the number of values, 5 for the bits per value less one, 4 times 4 for the bits per
length less one. Then, until all values are there: one bit (1 for a run, 0 for single values), two
bits that choose one of the four sizes, the length less one in that size, and the value or values.
(The rle-pack package of thi.ng/umbrella, which Label Studio uses.)
"""

import numpy as np
from numpy.typing import NDArray

from steelscan.strip.errors import Fault, MaskError

_SIZES = (3, 4, 8, 16)
_AGAIN = "Export the annotations again"


def unpack(packed: object, values: int, where: object) -> NDArray[np.uint8]:
    """Unpack bytes, or a list of numbers from 0 to 255, into uint8 ``(values,)``.

    Raises MaskError for anything else, for too few bits, and for another number of values.
    """
    try:
        content = bytes(packed)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        problem = "contains something other than bytes in its rle"
        raise MaskError(where, problem, _AGAIN, Fault.RUNS) from None
    bits = "".join(f"{byte:08b}" for byte in content)
    try:
        count, width = int(bits[:32], 2), int(bits[32:37], 2) + 1
        sizes = [int(bits[at : at + 4], 2) + 1 for at in range(37, 53, 4)]
        if count != values or width > 8:
            problem = f"has {count} values of {width} bits, its picture has {values} of 8"
            raise MaskError(where, problem, _AGAIN, Fault.RUNS)
        return _unpack_values(bits, 53, values, width, sizes)
    except ValueError:
        raise MaskError(where, "ends too early in its rle", _AGAIN, Fault.RUNS) from None


def pack(values: NDArray[np.bool_]) -> bytes:
    """Pack bool ``(values,)`` as runs of 0 and 255; see `unpack`."""
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    starts, ends = np.append(0, edges), np.append(edges, values.size)
    parts = [f"{values.size:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    longest = 1 << _SIZES[-1]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        value = "11111111" if values[start] else "00000000"
        for at in range(start, end, longest):
            length = min(end - at, longest) - 1
            chosen = next(at for at, size in enumerate(_SIZES) if length < 1 << size)
            parts.append(f"1{chosen:02b}{length:0{_SIZES[chosen]}b}{value}")
    bits = "".join(parts)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


def _unpack_values(
    bits: str, at: int, values: int, width: int, sizes: list[int]
) -> NDArray[np.uint8]:
    """Raise ValueError if the bits end too early."""
    out = np.zeros(values, np.uint8)
    done = 0
    while done < values:
        size = sizes[int(bits[at + 1 : at + 3], 2)]
        length = int(bits[at + 3 : at + 3 + size], 2) + 1
        run, at = bits[at] == "1", at + 3 + size
        end = at + (1 if run else length) * width
        if end > len(bits):
            raise ValueError
        unpacked = [int(bits[start : start + width], 2) for start in range(at, end, width)]
        out[done : done + length] = unpacked[: values - done]
        at, done = end, done + length
    return out
