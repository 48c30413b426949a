from .ensemble import EnsembleComparison as EnsembleComparison
from .ensemble import compare_ensemble as compare_ensemble
from .page import write_ensemble_page as write_ensemble_page
from .text import ensemble_text as ensemble_text
