"""The masks of a data set on disk: run lengths or index pictures, and the small tables."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
