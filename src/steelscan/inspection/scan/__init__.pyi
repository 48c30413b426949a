from .merge import ScanSummary as ScanSummary
from .merge import merge as merge
from .scan import Engine as Engine
from .scan import ScanOptions as ScanOptions
from .scan import scan_source as scan_source
from .source import PictureSource as PictureSource
from .source import open_source as open_source
