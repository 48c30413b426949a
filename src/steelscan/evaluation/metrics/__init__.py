"""Pixel counts, Dice, scores with intervals, defects by size, calibration and agreement."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
