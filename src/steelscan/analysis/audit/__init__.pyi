from .audit import Audit as Audit
from .write import audit_text as audit_text
from .write import write_audit as write_audit
