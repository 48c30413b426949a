"""Escapes and overkill at every threshold, and a split into pass, review and stop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
