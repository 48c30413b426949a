"""The page of a data set: its classes, masks and pictures, and labels worth a second look."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
