"""What a run will fit and predict, and how long, how large and how much memory."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
