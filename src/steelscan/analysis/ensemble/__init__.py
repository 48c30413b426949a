"""Other averages and fewer members of a run's ensembles, compared out-of-fold."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
