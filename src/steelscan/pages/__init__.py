"""The parts of all HTML pages: the frame of a page, tables, drawings, outlines of masks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
