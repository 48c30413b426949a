"""Tables of run lengths read row by row, for files that are larger than the memory."""

from collections.abc import Iterator
from pathlib import Path

from steelscan.strip.errors import TableError
from steelscan.strip.table import MaskRows, add_row


class StreamedMaskTable:
    """A CSV file in either layout, plain or gzipped, whose rows are sorted by image.

    Iterating gives image and run lengths by class id, an image at a time, as often as asked.
    """

    def __init__(self, path: Path) -> None:
        """Look at the head of the file. Raises TableError for missing columns."""
        self._path = path
        self._rows = MaskRows(path, path)
        self.layout = self._rows.layout

    def __iter__(self) -> Iterator[tuple[str, dict[int, str]]]:
        """Image and run lengths, in rising order of the images.

        Raises TableError, naming the line, for images that are not sorted, for all that
        `MaskRows` refuses, and for rows that stand twice. Run lengths are not looked into.
        """
        last = ""
        of_image: dict[int, str] = {}
        for line, image, class_id, text in self._rows:
            if image != last:
                if of_image:
                    of_image.pop(0, None)
                    yield last, of_image
                    of_image = {}
                if image < last:
                    found = f"has image {image!r} in row {line} after {last!r}"
                    remedy = "LC_ALL=C sort, or score without --stream"
                    remedy = f"Sort its rows by image, as bytes: {remedy}"
                    raise TableError(self._path, found, remedy)
                last = image
            add_row(of_image, self._path, line, image, class_id, text)
        if last:
            of_image.pop(0, None)
            yield last, of_image

    def count_rows(self) -> int:
        """Lines below the head; the file is read once for it."""
        return self._rows.count()
