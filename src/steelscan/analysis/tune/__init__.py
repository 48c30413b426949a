"""Tune the thresholds of a finished run, and measure how optimistic a tuned score is."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
