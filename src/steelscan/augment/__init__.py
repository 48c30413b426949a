"""Augmentations of a strip and its masks: settings, and the functions that apply them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
