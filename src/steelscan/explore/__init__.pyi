from .exploration import Exploration as Exploration
from .explored_data import explored_dataset as explored_dataset
from .findings import summary as summary
from .measurements import measure as measure
from .suspects import Suspect as Suspect
from .suspects import find_suspects as find_suspects
from .write import explore as explore
