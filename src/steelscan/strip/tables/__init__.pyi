from .csv_rows import Table as Table
from .csv_rows import read_rows as read_rows
from .csv_rows import write_rows as write_rows
from .mask_table import Layout as Layout
from .mask_table import MaskTable as MaskTable
from .mask_table import StreamedMaskTable as StreamedMaskTable
from .mask_table import read_mask_table as read_mask_table
from .mask_table import write_mask_table as write_mask_table
