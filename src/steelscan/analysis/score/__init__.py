"""Score predictions against the truth: tables, folders and runs, whole or as a stream."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
