from .export import Exported as Exported
