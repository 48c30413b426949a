"""Bundles whose networks compute in float16 or in 8-bit integers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
