from .shift import Shift as Shift
