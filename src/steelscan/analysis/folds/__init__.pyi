from .folds import FoldsReport as FoldsReport
from .folds import check_folds as check_folds
from .folds import check_folds_path as check_folds_path
from .folds import new_folds as new_folds
from .folds import save_folds as save_folds
from .text import folds_text as folds_text
