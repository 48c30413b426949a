"""A bundle as a file: one zip, read into memory and never unpacked.

The file may come from a stranger: sizes are checked before anything is read, and all contents are
checked against their hashes. The manifest has the hashes of all other files, the certificate the
hash of the manifest, and the signature is of the certificate.
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
from steelscan.strip import Spec
from steelscan.strip.errors import BundleError
from steelscan.strip.files import FileKind, replacing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MANIFEST = "manifest.json"
BUNDLE_KIND = FileKind.zip("bundle", MANIFEST)
CERTIFICATE = "certificate.json"
SIGNATURE = "signature.json"
_UNLISTED = (CERTIFICATE, SIGNATURE)
"""Files that depend on the manifest, which therefore cannot list them."""

_LARGEST = 8 * 2**30
"""Bytes of all files of a bundle."""
_LARGEST_TEXT = 2**20
"""Bytes of a manifest, a certificate or a signature."""
_MOST_FILES = 10_000
_NAME = "Name a file that steelscan export wrote"
_AGAIN = "Copy it again, or export it anew"
_DISTRUST = "Do not use it: it was damaged or changed. Export it anew"

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Package:
    """The contents of a bundle: the manifest, and every other file by its name."""

    manifest: Manifest
    contents: Mapping[str, bytes]

    @property
    def certificate(self) -> Certificate:
        """The certificate. Raises BundleError if it is missing or broken."""
        return _spec("the bundle", Certificate, CERTIFICATE, self.contents.get(CERTIFICATE, b""))

    @property
    def signed(self) -> bool:
        """Whether it has a signature, valid or not."""
        return SIGNATURE in self.contents

    @property
    def sha256(self) -> str:
        """The SHA-256 of the manifest, which has the hashes of all other files."""
        return _sha256(manifest_bytes(self.manifest))


def write_package(path: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Package:
    """Write a bundle, whole or not at all; equal contents give equal bytes.

    Raises OutputError.
    """
    manifest = listing(manifest, contents)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in {MANIFEST: manifest_bytes(manifest), **contents}.items():
            member = zipfile.ZipInfo(name)  # with a fixed date
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    return Package(manifest, contents)


def listing(manifest: Manifest, contents: Mapping[str, bytes]) -> Manifest:
    """Return the manifest with these files in its list."""
    files = {
        name: File(bytes=len(content), sha256=_sha256(content))
        for name, content in contents.items()
        if name not in _UNLISTED
    }
    return manifest.but(files=files)


def certified(
    manifest: Manifest,
    contents: Mapping[str, bytes],
    certificate: Certificate,
    key: "Ed25519PrivateKey | None" = None,
) -> dict[str, bytes]:
    """Return the files with a certificate of all of them, and a signature if a key is given."""
    digest = _sha256(manifest_bytes(listing(manifest, contents)))
    text = (certificate.but(manifest=digest).model_dump_json(indent=2) + "\n").encode()
    files = {name: content for name, content in contents.items() if name not in _UNLISTED}
    files[CERTIFICATE] = text
    if key is not None:
        files[SIGNATURE] = signed(text, key)
    return files


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return a manifest as a file of the bundle."""
    return (manifest.model_dump_json(indent=2) + "\n").encode()


def read_package(path: Path, signed_by: Path | None = None) -> Package:
    """Read a bundle. Raises BundleError if the file is no bundle, is broken, or could do harm.

    ``signed_by`` is a public key that must have signed it, besides the one that the environment
    variable `steelscan.bundle.signing.REQUIRED` names.
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
        # RuntimeError: a version of zip files that zipfile does not support
        raise BundleError(path, f"is no bundle, or a broken one ({error})", _AGAIN) from None


def _read(path: Path, archive: zipfile.ZipFile, keys: list[Path]) -> Package:
    _check_members(path, archive.infolist())
    names = set(archive.namelist())
    if missing := {MANIFEST, CERTIFICATE} - names:
        raise BundleError(path, f"is no bundle: it has no {max(missing)}", _NAME)
    text = {
        name: _content(path, archive, name, _LARGEST_TEXT)
        for name in (MANIFEST, *_UNLISTED)
        if name in names
    }
    for key in keys:
        check_signature(path, text[CERTIFICATE], text.get(SIGNATURE), key)
    digest = _sha256(text[MANIFEST])
    manifest = _manifest(path, text.pop(MANIFEST))
    if names != {MANIFEST, *text, *manifest.files}:
        raise BundleError(path, "has other files than its manifest lists", _AGAIN)
    contents = {}
    for name, file in manifest.files.items():
        content = _content(path, archive, name, file.bytes)
        if _sha256(content) != file.sha256:
            raise BundleError(f"{path}: {name}", "does not match its hash in the manifest", _AGAIN)
        contents[name] = content
    missing = {graph.file for _, graph in manifest.graphs} - contents.keys()
    if missing:
        raise BundleError(path, f"lacks its network {min(missing)}", _AGAIN)
    _check_certificate(path, manifest, digest, text[CERTIFICATE])
    return Package(manifest, contents | text)


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise BundleError for a zip that would need more memory than disk space."""
    names = {member.filename for member in members}
    if len(names) < len(members) or len(members) > _MOST_FILES:
        raise BundleError(path, "has a file twice, or too many files", _AGAIN)
    if any(each.compress_type != zipfile.ZIP_STORED or each.flag_bits & 1 for each in members):
        problem = "is no bundle, or a broken one (bundles are neither compressed nor encrypted)"
        raise BundleError(path, problem, _AGAIN)
    if sum(member.file_size for member in members) > min(_LARGEST, path.stat().st_size):
        problem = f"would need over {_LARGEST >> 30} GiB, or more bytes than it has"
        raise BundleError(path, problem, "Do not use it")


def _check_certificate(path: Path, manifest: Manifest, digest: str, text: bytes) -> None:
    """Raise BundleError if the manifest is not the certified one."""
    certificate = _spec(path, Certificate, CERTIFICATE, text)
    where = f"{path}: {MANIFEST}"
    if certificate.manifest != digest:
        raise BundleError(where, "is not the one that was certified", _DISTRUST)
    if difference := certificate.difference(manifest):
        raise BundleError(where, difference, _DISTRUST)


def _content(path: Path, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Read a file of the zip. Raises BundleError if it is larger than allowed."""
    if archive.getinfo(name).file_size > most:
        raise BundleError(f"{path}: {name}", "is larger than allowed", "Do not use it")
    return archive.read(name)


class _Versioned(BaseModel):
    """The field that manifests of all versions have."""

    format: Any = None


def _manifest(path: Path, content: bytes) -> Manifest:
    try:
        version = _Versioned.model_validate_json(content).format
    except ValidationError:
        raise BundleError(f"{path}: {MANIFEST}", "is no manifest", _AGAIN) from None
    if version != 3:
        problem = f"has format {str(version)[:20]}; this program reads format 3"
        raise BundleError(
            path, problem, "Export it anew, or install the version of steelscan that wrote it"
        )
    return _spec(path, Manifest, MANIFEST, content)


def _spec(path: object, spec: type[S], name: str, content: bytes) -> S:
    try:
        return spec.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))[:100]
        problem = f"is broken{f' at {field}' if field else ''} ({first['msg'][:200]})"
        raise BundleError(f"{path}: {name}", problem, _AGAIN) from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
