"""Near-duplicates: found by fingerprints, grouped, and what random folds would leak."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
