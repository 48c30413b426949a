"""Strips as parts of a coil: where they lie on it, and defects that cross from one to the next."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
