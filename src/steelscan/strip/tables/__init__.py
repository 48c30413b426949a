"""CSV files: read strictly, and tables of run lengths in both of their layouts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
