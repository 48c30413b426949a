"""A bundle as a file: one zip, read into memory and never unpacked. No torch here.

Whoever made it is not trusted: sizes are checked before anything is read, and all that is read is
held against its hash. The manifest holds the hashes of all files, the certificate that of the
manifest, and a signature vouches for the certificate.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from steelscan.bundle.certificate import Certificate
from steelscan.bundle.signing import check_signature, required_keys, signed
from steelscan.bundle.spec import File, Manifest
from steelscan.strip import BundleError, Spec, replacing, zip_kind

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MANIFEST = "manifest.json"
BUNDLE_KIND = zip_kind("bundle", MANIFEST)
CERTIFICATE = "certificate.json"
SIGNATURE = "signature.json"
_VOUCHING = (CERTIFICATE, SIGNATURE)
"""Files that vouch for the manifest, which therefore does not list them."""

_LARGEST = 8 * 2**30
"""Bytes of a bundle, all its files together."""
_LARGEST_TEXT = 2**20
"""Bytes of a manifest, a certificate or a signature."""
_MOST_FILES = 10_000
_NAME = "Name a file that steelscan export wrote"
_AGAIN = "Ask for it again, or export it anew"
_DISTRUST = "Do not use it: it was damaged or tampered with. Export it anew"

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Package:
    """What is in a bundle: the manifest, and every other file by its name."""

    manifest: Manifest
    contents: Mapping[str, bytes]

    @property
    def certificate(self) -> Certificate:
        """What vouches for it. Raises BundleError where it is missing or broken."""
        return _spec("the bundle", Certificate, CERTIFICATE, self.contents.get(CERTIFICATE, b""))

    @property
    def signed(self) -> bool:
        """Whether it bears a signature, be it checked or not."""
        return SIGNATURE in self.contents

    @property
    def sha256(self) -> str:
        """What names this very bundle: the hash of its manifest, which holds all other hashes."""
        return _sha256(manifest_bytes(self.manifest))


def write_package(path: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Package:
    """Write a bundle whole or not at all; its bytes depend on its contents alone.

    Raises OutputError.
    """
    manifest = listing(manifest, contents)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in {MANIFEST: manifest_bytes(manifest), **contents}.items():
            member = zipfile.ZipInfo(name)  # of 1980, as all others
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    return Package(manifest, contents)


def listing(manifest: Manifest, contents: Mapping[str, bytes]) -> Manifest:
    """The manifest that lists these files."""
    files = {
        name: File(bytes=len(content), sha256=_sha256(content))
        for name, content in contents.items()
        if name not in _VOUCHING
    }
    return manifest.but(files=files)


def certified(
    manifest: Manifest,
    contents: Mapping[str, bytes],
    certificate: Certificate,
    key: "Ed25519PrivateKey | None" = None,
) -> dict[str, bytes]:
    """The files of a bundle with a certificate for all of it, signed with a key if there is one."""
    mark = _sha256(manifest_bytes(listing(manifest, contents)))
    text = (certificate.but(manifest=mark).model_dump_json(indent=2) + "\n").encode()
    files = {name: content for name, content in contents.items() if name not in _VOUCHING}
    files[CERTIFICATE] = text
    if key is not None:
        files[SIGNATURE] = signed(text, key)
    return files


def manifest_bytes(manifest: Manifest) -> bytes:
    """A manifest as it stands in a bundle."""
    return (manifest.model_dump_json(indent=2) + "\n").encode()


def read_package(path: Path, signed_by: Path | None = None) -> Package:
    """Read a bundle whole. Raises BundleError for a file that is none, is broken, or may harm.

    ``signed_by`` is a file with the public key that must have signed it; None: nobody must, save
    what `steelscan.bundle.signing.REQUIRED` names.
    """
    if path.exists() and not path.is_file():
        raise BundleError(path, "cannot be read (it is no regular file)", _NAME)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive, required_keys(signed_by))
    except BundleError:
        raise
    except OSError as error:
        raise BundleError(path, f"cannot be read ({error.strerror or error})", _NAME) from None
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, MemoryError) as error:
        # a RuntimeError: a version of zip files that zipfile does not know
        raise BundleError(path, f"is no bundle, or a broken one ({error})", _AGAIN) from None


def _read(path: Path, archive: zipfile.ZipFile, keys: list[Path]) -> Package:
    _check_members(path, archive.infolist())
    names = set(archive.namelist())
    if missing := {MANIFEST, CERTIFICATE} - names:
        raise BundleError(path, f"is no bundle: it holds no {max(missing)}", _NAME)
    text = {
        name: _content(path, archive, name, _LARGEST_TEXT)
        for name in (MANIFEST, *_VOUCHING)
        if name in names
    }
    for key in keys:
        check_signature(path, text[CERTIFICATE], text.get(SIGNATURE), key)
    mark = _sha256(text[MANIFEST])
    manifest = _manifest(path, text.pop(MANIFEST))
    if names != {MANIFEST, *text, *manifest.files}:
        raise BundleError(path, "holds other files than its manifest names", _AGAIN)
    contents = {}
    for name, file in manifest.files.items():
        content = _content(path, archive, name, file.bytes)
        if _sha256(content) != file.sha256:
            raise BundleError(f"{path}: {name}", "is not what its manifest says", _AGAIN)
        contents[name] = content
    missing = {graph.file for _, graph in manifest.graphs} - contents.keys()
    if missing:
        raise BundleError(path, f"lacks its network {min(missing)}", _AGAIN)
    _check_certificate(path, manifest, mark, text[CERTIFICATE])
    return Package(manifest, contents | text)


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse a zip that would take more memory than it takes disk."""
    names = {member.filename for member in members}
    if len(names) < len(members) or len(members) > _MOST_FILES:
        raise BundleError(path, "holds a file twice, or too many files", _AGAIN)
    if any(each.compress_type != zipfile.ZIP_STORED or each.flag_bits & 1 for each in members):
        found = "is no bundle, or a broken one (bundles are not compressed, nor encrypted)"
        raise BundleError(path, found, _AGAIN)
    if sum(member.file_size for member in members) > min(_LARGEST, path.stat().st_size):
        found = f"would take over {_LARGEST >> 30} GiB, or more than it has bytes"
        raise BundleError(path, found, "Do not use it")


def _check_certificate(path: Path, manifest: Manifest, mark: str, text: bytes) -> None:
    """Refuse a manifest other than the certified one."""
    certificate = _spec(path, Certificate, CERTIFICATE, text)
    where = f"{path}: {MANIFEST}"
    if certificate.manifest != mark:
        raise BundleError(where, "is not the one that was certified", _DISTRUST)
    if contradiction := certificate.contradicts(manifest):
        raise BundleError(where, contradiction, _DISTRUST)


def _content(path: Path, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file of the zip, of which no more is read than it may be."""
    if archive.getinfo(name).file_size > most:
        raise BundleError(f"{path}: {name}", "is larger than it may be", "Do not use it")
    return archive.read(name)


class _Versioned(BaseModel):
    """As much as every manifest says, whatever its version."""

    format: Any = None


def _manifest(path: Path, content: bytes) -> Manifest:
    try:
        version = _Versioned.model_validate_json(content).format
    except ValidationError:
        raise BundleError(f"{path}: {MANIFEST}", "is no manifest", _AGAIN) from None
    if version != 3:
        found = f"is of format {str(version)[:20]}; this program reads 3"
        raise BundleError(path, found, "Export it anew, or install the steelscan that made it")
    return _spec(path, Manifest, MANIFEST, content)


def _spec(path: object, spec: type[S], name: str, content: bytes) -> S:
    try:
        return spec.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        found = f"is broken{f' at {place}' if place else ''} ({first['msg'][:200]})"
        raise BundleError(f"{path}: {name}", found, _AGAIN) from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
