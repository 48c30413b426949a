"""The pictures of a data set, found by the names that its annotations give them."""

from steelscan.data.files import is_picture, open_files
from steelscan.data.locate import Place
from steelscan.data.names import key
from steelscan.strip import DatasetError, Fault


class Shelf:
    """The pictures below a data set's folder; all names are relative to it."""

    def __init__(self, place: Place) -> None:
        self.files = open_files(place.top)
        self._inside = place.inside
        self._exact: set[str] = set()
        self._alike: dict[str, list[str]] = {}
        for name in filter(is_picture, self.files.walk()):
            self._exact.add(name)
            self._alike.setdefault(key(name), []).append(name)
        usual = sorted(name for name in self._exact if name.startswith(place.inside[0]))
        self.own = usual or sorted(self._exact)
        """Names of the pictures in the usual folder, or of all if it does not exist."""

        self.lists_pictures = place.format.names_pictures
        """Whether annotations say which pictures there are, so that others were forgotten."""

    def __len__(self) -> int:
        return len(self._exact)

    def find(self, image: str) -> str | None:
        """The file that an annotation means; accents may be stored in either Unicode form.

        Raises DatasetError where two files differ in that alone, and neither is meant exactly.
        """
        ways = [inside + image for inside in self._inside]
        for way in ways:
            if way in self._exact:
                return way
        for way in ways:
            found = self._alike.get(key(way), [])
            if len(found) > 1:
                said = f"names {len(found)} files that differ in Unicode form only"
                remedy = "Rename all but one of them"
                raise DatasetError(self.files.where(way), said, remedy, Fault.SAME_NAME)
            if found:
                return found[0]
        return None

    def missing(self, image: str) -> str:
        """What to say of an annotated picture that is not there."""
        wanted = {key(inside + image).casefold() for inside in self._inside}
        near = [name for name in self._exact if key(name).casefold() in wanted]
        return f"does not exist, but {min(near)} does" if near else "does not exist"

    def where(self, image: str) -> str:
        """How messages call a picture that is looked for."""
        return self.files.where(self._inside[0] + image)
