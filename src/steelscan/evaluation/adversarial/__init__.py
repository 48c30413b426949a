"""Whether test strips can be told from training strips: used by folds and by `shift`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
