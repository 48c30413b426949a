"""Files that appear whole or not at all, what they may replace, and locks on folders."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
