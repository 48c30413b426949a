from .folds import FoldsReport as FoldsReport
from .folds import check_folds as check_folds
from .folds import check_place as check_place
from .folds import deal_folds as deal_folds
from .folds import save_folds as save_folds
