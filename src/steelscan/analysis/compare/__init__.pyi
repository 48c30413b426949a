from .compare import CHANGES_KIND as CHANGES_KIND
from .compare import Comparison as Comparison
from .page import write_comparison_page as write_comparison_page
from .text import comparison_text as comparison_text
