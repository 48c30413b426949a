from .agreement import Agreed as Agreed
from .agreement import Band as Band
from .agreement import agree as agree
from .agreement import read_band as read_band
from .text import write_agreement as write_agreement
