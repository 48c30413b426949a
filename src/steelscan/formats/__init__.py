"""Annotation formats, read and written through masks; `convert` and `check`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
