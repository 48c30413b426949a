"""Ed25519 signatures: they show who made a bundle, and that it was not changed since."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError

from steelscan.strip import Spec
from steelscan.strip.errors import BundleError, InputError, MissingPartError, OutputError
from steelscan.strip.files import writing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

REQUIRED = "STEELSCAN_REQUIRE_SIGNATURE"
"""Environment variable: the file of a public key that must have signed every bundle."""

_PURPOSE = b"steelscan bundle\n"
"""Prefix of the signed bytes, so that a signature is valid for bundles only."""


class Signature(Spec):
    """The signature of a certificate and the public key to check it with, in hex."""

    public: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    signature: Annotated[str, Field(pattern="^[0-9a-f]{128}$")]


def make_keys(name: Path) -> tuple[Path, Path]:
    """Write a new key pair: ``NAME.private.pem`` and ``NAME.public.pem``.

    Only its owner can read the private key. Raises OutputError if either file exists,
    MissingPartError.
    """
    _check_part()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = (name.with_name(f"{name.name}.{part}.pem") for part in ("private", "public"))
    for path in (private, public):
        if path.exists():
            raise OutputError(path, "exists already", "Choose another name: no key is overwritten")
    key, pem = Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    shared = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(private, secret, 0o600)
    _write_new(public, shared, 0o644)
    return private, public


def _write_new(path: Path, content: bytes, mode: int) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)


def private_key(path: Path) -> "Ed25519PrivateKey":
    """Read a private key. Raises InputError, MissingPartError."""
    _check_part()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(_read(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        problem = "is no private ed25519 key in PEM without a password"
        raise InputError(path, problem, "Make one with steelscan keygen")
    return key


def signed(certificate: bytes, key: "Ed25519PrivateKey") -> bytes:
    """Return the signature of a certificate, as a file of the bundle."""
    signature = Signature(
        public=key.public_key().public_bytes_raw().hex(),
        signature=key.sign(_PURPOSE + certificate).hex(),
    )
    return (signature.model_dump_json(indent=2) + "\n").encode()


def check_signature(
    bundle: Path, certificate: bytes, signature: bytes | None, public: Path
) -> None:
    """Raise BundleError if the certificate of a bundle was not signed with a key.

    Raises InputError if ``public`` is no public key, MissingPartError.
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
        problem = "is no public ed25519 key in PEM"
        raise InputError(public, problem, "Give the .public.pem that steelscan keygen wrote")
    remedy = f"Do not use it. Get the bundle that the owner of {public} signed"
    if signature is None:
        raise BundleError(bundle, "is not signed, and a signature is required", remedy)
    try:
        parsed = Signature.model_validate_json(signature)
    except ValidationError:
        raise BundleError(bundle, "has a broken signature", remedy) from None
    if parsed.public != key.public_bytes_raw().hex():
        raise BundleError(bundle, "is signed with another key than the required one", remedy)
    try:
        key.verify(bytes.fromhex(parsed.signature), _PURPOSE + certificate)
    except InvalidSignature:
        problem = "was changed after it was signed: its signature does not match"
        raise BundleError(bundle, problem, remedy) from None


def required_keys(given: Path | None) -> list[Path]:
    """Return the public keys that must have signed a bundle: one given, one of the environment."""
    always = os.environ.get(REQUIRED)
    return [*([] if given is None else [given]), *([Path(always)] if always else [])]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise InputError(path, problem, "Name a key that steelscan keygen wrote") from None


def _check_part() -> None:
    """Raise MissingPartError if cryptography is not installed."""
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError:
        problem = "need cryptography, which is not installed"
        remedy = "Run: pip install 'steelscan[sign]'"
        raise MissingPartError("signatures", problem, remedy) from None
