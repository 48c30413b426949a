from .escapes import Escapes as Escapes
from .escapes import count_escapes as count_escapes
from .escapes import rates_of as rates_of
from .text import escapes_text as escapes_text
from .text import write_escapes as write_escapes
