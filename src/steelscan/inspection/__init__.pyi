from .line_budget import LineBudget as LineBudget
from .line_budget import LineRequest as LineRequest
from .line_budget import line_request as line_request
from .line_budget import measure_line as measure_line
from .text import line_text as line_text
