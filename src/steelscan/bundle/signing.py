"""Signatures of bundles by ed25519: who made one, and that nobody changed it. No torch here."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError

from steelscan.strip import (
    BundleError,
    InputError,
    MissingPartError,
    OutputError,
    Spec,
    cannot_write,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

REQUIRED = "STEELSCAN_REQUIRE_SIGNATURE"
"""Environment variable: a file with the public key that must have signed every bundle."""

_PURPOSE = b"steelscan bundle\n"
"""Stands before what is signed, so that a signature serves for nothing else."""


class Signature(Spec):
    """A signature of a certificate, and the public key that it can be checked with, in hex."""

    public: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    signature: Annotated[str, Field(pattern="^[0-9a-f]{128}$")]


def make_keys(name: Path) -> tuple[Path, Path]:
    """Write a new key pair: ``NAME.private.pem``, for the owner alone, and ``NAME.public.pem``.

    Raises OutputError where either is there already, MissingPartError.
    """
    _check_part()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = (name.with_name(f"{name.name}.{part}.pem") for part in ("private", "public"))
    for path in (private, public):
        if path.exists():
            raise OutputError(path, "is there already", "Name another one: no key is overwritten")
    key, pem = Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    known = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(private, secret, 0o600)
    _write_new(public, known, 0o644)
    return private, public


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def private_key(path: Path) -> "Ed25519PrivateKey":
    """Read a key to sign with. Raises InputError, MissingPartError."""
    _check_part()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(_read(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        found = "is no private ed25519 key in PEM without a password"
        raise InputError(path, found, "Make one with steelscan keygen")
    return key


def signed(certificate: bytes, key: "Ed25519PrivateKey") -> bytes:
    """The signature of a certificate, as it stands in a bundle."""
    signature = Signature(
        public=key.public_key().public_bytes_raw().hex(),
        signature=key.sign(_PURPOSE + certificate).hex(),
    )
    return (signature.model_dump_json(indent=2) + "\n").encode()


def check_signature(
    bundle: Path, certificate: bytes, signature: bytes | None, public: Path
) -> None:
    """Refuse a bundle whose certificate was not signed by a key.

    Raises BundleError, InputError for a file that is no public key, MissingPartError.
    """
    _check_part()
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_pem_public_key(_read(public))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        found = "is no public ed25519 key in PEM"
        raise InputError(public, found, "Give the .public.pem that steelscan keygen wrote")
    remedy = f"Do not use it: ask for the bundle that the owner of {public} signed"
    if signature is None:
        raise BundleError(bundle, "is not signed, and a signature is required", remedy)
    try:
        found_signature = Signature.model_validate_json(signature)
    except ValidationError:
        raise BundleError(bundle, "has a broken signature", remedy) from None
    if found_signature.public != key.public_bytes_raw().hex():
        raise BundleError(bundle, "is signed by another key than is required", remedy)
    try:
        key.verify(bytes.fromhex(found_signature.signature), _PURPOSE + certificate)
    except InvalidSignature:
        found = "was changed after it was signed: its signature does not fit"
        raise BundleError(bundle, found, remedy) from None


def required_keys(asked: Path | None) -> list[Path]:
    """The public keys that must have signed a bundle: what is asked for, and what is set here."""
    always = os.environ.get(REQUIRED)
    return [*([] if asked is None else [asked]), *([Path(always)] if always else [])]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
        raise InputError(path, found, "Name a key that steelscan keygen wrote") from None


def _check_part() -> None:
    """Raise MissingPartError where what signs is not installed."""
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError:
        found = "need cryptography, which is not installed"
        raise MissingPartError("signatures", found, "Run: pip install 'steelscan[sign]'") from None
