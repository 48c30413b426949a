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
    printable,
)
from steelscan.strip.faults import Fault, Severity
from steelscan.strip.frame import Classes, Frame, Mask, Masks, Picture, check_masks
from steelscan.strip.output import (
    cannot_write,
    output_folder,
    replacing,
    write_bytes,
    write_json,
    write_text,
)
from steelscan.strip.progress import Progress, progress, track
from steelscan.strip.rows import read_rows, write_rows
from steelscan.strip.runlength import decode, encode, parse
from steelscan.strip.spec import PerClass, Spec, per_class
from steelscan.strip.streamed import StreamedMaskTable
from steelscan.strip.table import Layout, MaskTable, read_mask_table, write_mask_table

__all__ = [
    "BundleError",
    "Classes",
    "DatasetError",
    "Fault",
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
    "decode",
    "encode",
    "output_folder",
    "parse",
    "per_class",
    "printable",
    "progress",
    "read_mask_table",
    "read_rows",
    "replacing",
    "track",
    "write_bytes",
    "write_json",
    "write_mask_table",
    "write_rows",
    "write_text",
]
