from .inputs import network_inputs as network_inputs
from .quantize import Quantized as Quantized
