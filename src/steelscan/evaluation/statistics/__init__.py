"""Bootstrap intervals, exact bounds and the area under the ROC curve."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
