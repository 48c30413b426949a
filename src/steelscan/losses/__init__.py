"""Losses: settings that need no torch, the functions, and the builder of their modules."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
