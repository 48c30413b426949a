from .coil_side import CoilSide as CoilSide
from .coil_spec import CoilMill as CoilMill
from .make import MilledStrip as MilledStrip
from .make import make_strip as make_strip
from .spec import Mill as Mill
from .write import write_mill as write_mill
from .write_coils import write_coils as write_coils
