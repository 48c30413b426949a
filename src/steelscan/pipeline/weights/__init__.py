"""Pretrained weights: those that recipes need, where they are, and how to get them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
