from .bench import bench_json as bench_json
from .bench import bench_text as bench_text
from .bench import bundle_heads as bundle_heads
from .bench import machine as machine
from .bench import measure_each as measure_each
from .bench import read_threads as read_threads
from .measure import Measured as Measured
from .measure import Setting as Setting
