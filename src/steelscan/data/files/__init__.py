"""Files in a folder or a zip, the search for pictures, names of pictures, and output folders."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
