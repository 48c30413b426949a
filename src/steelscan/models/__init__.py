"""Networks: settings that need no torch, and the builder that turns them into modules."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
