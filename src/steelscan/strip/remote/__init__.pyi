from .file_system import error_reason as error_reason
from .file_system import file_system as file_system
from .file_system import is_url as is_url
from .local_copy import LocalCopy as LocalCopy
from .local_copy import fetched as fetched
from .sending import held_copy as held_copy
from .sending import sent_meanwhile as sent_meanwhile
