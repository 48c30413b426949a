"""A bundle as a file: one zip, read into memory and never unpacked. No torch here.

Whoever made it is not trusted: sizes are checked before anything is read, all that is read is
held against its hash, and nothing in it is run but the operators of its graphs.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from steelscan.bundle.specs import File, Manifest
from steelscan.strip import BundleError, replacing, zip_kind

MANIFEST = "manifest.json"
BUNDLE_KIND = zip_kind("bundle", MANIFEST)

_LARGEST = 8 * 2**30
"""Bytes of a bundle, all its files together."""
_LARGEST_MANIFEST = 16 * 2**20
_MOST_FILES = 10_000
_NAME = "Name a file that steelscan export wrote"
_AGAIN = "Ask for it again, or export it anew"


@dataclass(frozen=True)
class Package:
    """What is in a bundle: the manifest, and every other file by its name."""

    manifest: Manifest
    contents: Mapping[str, bytes]

    def json(self, name: str) -> Any:
        """A JSON file of the bundle; None where it is not there."""
        return json.loads(self.contents[name]) if name in self.contents else None

    @property
    def sha256(self) -> str:
        """What names this very bundle: the hash of its manifest, which holds all other hashes."""
        return hashlib.sha256(manifest_bytes(self.manifest)).hexdigest()


def write_package(path: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Package:
    """Write a bundle whole or not at all; its bytes depend on its contents alone.

    Raises OutputError.
    """
    files = {
        name: File(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    }
    manifest = manifest.but(files=files)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in {MANIFEST: manifest_bytes(manifest), **contents}.items():
            member = zipfile.ZipInfo(name)  # of 1980, as all others
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    return Package(manifest, contents)


def manifest_bytes(manifest: Manifest) -> bytes:
    """A manifest as it stands in a bundle."""
    return (manifest.model_dump_json(indent=2) + "\n").encode()


def read_package(path: Path) -> Package:
    """Read a bundle whole. Raises BundleError for a file that is none, is broken, or may harm."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except OSError as error:
        raise BundleError(path, f"cannot be read ({error.strerror})", _NAME) from None
    except (zipfile.BadZipFile, RuntimeError, EOFError, zlib.error) as error:
        # a RuntimeError: a password, or a compression or a version that zipfile does not know
        raise BundleError(path, f"is no bundle, or a broken one ({error})", _AGAIN) from None


def _read(path: Path, archive: zipfile.ZipFile) -> Package:
    members = archive.infolist()
    names = [member.filename for member in members]
    if MANIFEST not in names:
        raise BundleError(path, f"is no bundle: it holds no {MANIFEST}", _NAME)
    if len(set(names)) < len(names) or len(names) > _MOST_FILES:
        raise BundleError(path, "holds a file twice, or too many files", _AGAIN)
    if sum(member.file_size for member in members) > _LARGEST:
        raise BundleError(path, f"would take over {_LARGEST >> 30} GiB", "Do not use it")
    manifest = _manifest(path, _content(path, archive, MANIFEST, _LARGEST_MANIFEST))
    if set(names) != {MANIFEST, *manifest.files}:
        raise BundleError(path, "holds other files than its manifest names", _AGAIN)
    contents = {}
    for name, file in manifest.files.items():
        content = _content(path, archive, name, file.bytes)
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise BundleError(f"{path}: {name}", "is not what its manifest says", _AGAIN)
        contents[name] = content
    missing = {graph.file for step in manifest.steps for graph in step.graphs} - contents.keys()
    if missing:
        raise BundleError(path, f"lacks its network {min(missing)}", _AGAIN)
    return Package(manifest, contents)


def _content(path: Path, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file of the zip, of which no more is unpacked than it may be."""
    if archive.getinfo(name).file_size > most:
        raise BundleError(f"{path}: {name}", "is larger than it may be", "Do not use it")
    with archive.open(name) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise BundleError(f"{path}: {name}", "is larger than it says", "Do not use it")
    return content


def _manifest(path: Path, content: bytes) -> Manifest:
    try:
        version = json.loads(content).get("format")
    except (ValueError, AttributeError):
        raise BundleError(f"{path}: {MANIFEST}", "is no manifest", _AGAIN) from None
    if version != 1:
        found = f"is of format {version!r}; this program reads 1"
        raise BundleError(path, found, "Install the version of steelscan that made it")
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        found = f"is broken at {place} ({error.errors()[0]['msg']})"
        raise BundleError(f"{path}: {MANIFEST}", found, _AGAIN) from None
