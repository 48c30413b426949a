from .inputs import seen_by as seen_by
from .quantize import Quantized as Quantized
