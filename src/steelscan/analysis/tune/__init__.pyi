from .page import write_tuning as write_tuning
from .text import tuning_text as tuning_text
from .tune import Tuned as Tuned
from .tune import tune_run as tune_run
