"""The vocabulary: frame, classes, masks, run lengths, the base of all specs, the error tree."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
