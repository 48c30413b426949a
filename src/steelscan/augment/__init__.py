"""Augmentations: settings, and what they do to a strip and its masks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
