from .page import TuningPage as TuningPage
from .page import numbers_text as numbers_text
from .page import stretches_text as stretches_text
from .page import verdict as verdict
from .page import write_tuning_page as write_tuning_page
from .text import tuning_text as tuning_text
from .tune import Tuned as Tuned
from .tune import tune_run as tune_run
