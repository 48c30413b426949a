from .line_budget import line_asked as line_asked
from .line_budget import plan as plan
from .line_budget import plan_json as plan_json
from .line_budget import plan_text as plan_text
