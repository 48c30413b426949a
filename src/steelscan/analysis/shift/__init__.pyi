from .shift import Shift as Shift
from .shift import find_shift as find_shift
from .text import check_outputs as check_outputs
from .text import write_shift as write_shift
