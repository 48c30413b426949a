"""The vocabulary: frame, classes, masks, run lengths, the base of all specs, the error tree."""

from steelscan.strip.errors import (
    BundleError,
    DatasetError,
    InputError,
    MaskError,
    MissingPartError,
    OutputError,
    PictureError,
    RecipeError,
    RunError,
    SteelscanError,
    TableError,
)
from steelscan.strip.faults import Fault, Severity
from steelscan.strip.frame import Classes, Frame, Mask, Masks, Picture, check_masks
from steelscan.strip.lock import held
from steelscan.strip.output import (
    cannot_write,
    hidden_beside,
    output_folder,
    remove_leftovers,
    replacing,
    temporary_folder,
    write_bytes,
    write_json,
    write_text,
)
from steelscan.strip.overwriting import (
    OF_A_RUN,
    FileKind,
    check_output,
    json_kind,
    page_kind,
    table_kind,
    zip_kind,
)
from steelscan.strip.progress import Progress, progress, track
from steelscan.strip.rows import read_rows, write_rows
from steelscan.strip.runlength import UNREAD, decode, encode, parse
from steelscan.strip.spec import PerClass, Spec, per_class
from steelscan.strip.streamed import StreamedMaskTable
from steelscan.strip.table import TABLE_KIND, Layout, MaskTable, read_mask_table, write_mask_table

__all__ = [
    "OF_A_RUN",
    "TABLE_KIND",
    "UNREAD",
    "BundleError",
    "Classes",
    "DatasetError",
    "Fault",
    "FileKind",
    "Frame",
    "InputError",
    "Layout",
    "Mask",
    "MaskError",
    "MaskTable",
    "Masks",
    "MissingPartError",
    "OutputError",
    "PerClass",
    "Picture",
    "PictureError",
    "Progress",
    "RecipeError",
    "RunError",
    "Severity",
    "Spec",
    "SteelscanError",
    "StreamedMaskTable",
    "TableError",
    "cannot_write",
    "check_masks",
    "check_output",
    "decode",
    "encode",
    "held",
    "hidden_beside",
    "json_kind",
    "output_folder",
    "page_kind",
    "parse",
    "per_class",
    "progress",
    "read_mask_table",
    "read_rows",
    "remove_leftovers",
    "replacing",
    "table_kind",
    "temporary_folder",
    "track",
    "write_bytes",
    "write_json",
    "write_mask_table",
    "write_rows",
    "write_text",
    "zip_kind",
]
