"""Which layout a data set has, by its files."""

from steelscan.data.annotations.annotations import Annotations
from steelscan.data.annotations.index_pictures import IndexPictures
from steelscan.data.annotations.run_lengths import RunLengths
from steelscan.data.files import Files
from steelscan.strip.errors import DatasetError

_EXPECTED = (
    "Expected train_images/ with train.csv (ImageId,ClassId,EncodedPixels or "
    "ImageId_ClassId,EncodedPixels), or images/ with masks/ and classes.csv (value,name)"
)


def detect(files: Files) -> tuple[Files, Annotations]:
    """Return the files of a data set, in ``files`` or its only folder, and its masks.

    Raises DatasetError if it has neither layout.
    """
    inner = files.folders()
    if not {"train_images", "images"} & set(inner) and len(inner) == 1:
        files = files.under(inner[0])
        inner = files.folders()
    if "train_images" in inner and files.exists("train.csv"):
        return files, RunLengths(files)
    if "images" in inner and "masks" in inner:
        return files, IndexPictures(files)
    half = [name for name in ("train_images", "images") if name in inner]
    problem = f"is no data set: it has {half[0]}/, but no masks for it" if half else ""
    raise DatasetError(files.root, problem or "is no data set", _EXPECTED)
