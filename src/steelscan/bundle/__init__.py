"""What is deployed: export, the proof of equal decisions, the runtime that needs no torch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
