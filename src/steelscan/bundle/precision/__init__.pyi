from .quantize import Quantized as Quantized
