from .listing import list_weights as list_weights
from .wanted import add_file as add_file
from .wanted import fetch_targets as fetch_targets
from .wanted import prepare_weights as prepare_weights
