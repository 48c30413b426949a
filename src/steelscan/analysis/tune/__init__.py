"""Thresholds searched on a finished run, and how much of a tuned score is luck."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
