"""The mill: synthetic steel strips with defects and their exact masks, for work without data.

Only statistics of the real data set are used (see `spec`); no pixel and no mask of it.
"""

from steelscan.data.mill.make import MilledStrip, make_masks, make_strip
from steelscan.data.mill.spec import COMBINATIONS, HABITS, Combination, Habit, Mill
from steelscan.data.mill.write import write_mill

__all__ = [
    "COMBINATIONS",
    "HABITS",
    "Combination",
    "Habit",
    "Mill",
    "MilledStrip",
    "make_masks",
    "make_strip",
    "write_mill",
]
