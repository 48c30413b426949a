"""Folds: made, checked and saved as a table, with a report on their balance and leak."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
