from .make import MilledStrip as MilledStrip
from .make import make_strip as make_strip
from .spec import Mill as Mill
from .write import write_mill as write_mill
