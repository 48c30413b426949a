"""The certificate of a bundle: what was held against what, and what came of it. No torch here."""

from collections.abc import Mapping

from pydantic import JsonValue, NonNegativeInt

from steelscan.bundle.proof import Limits, Parity
from steelscan.bundle.spec import EarlyExit, Manifest, Precision, Sha256
from steelscan.strip import Spec


class Certificate(Spec):
    """What vouches for a bundle: by which code it was made of what, and what its proof found.

    ``manifest`` is the SHA-256 of the manifest as it stands in the bundle, which holds those of all
    other files; a signature of the certificate is one of the whole bundle. ``brought`` strips lie
    in it. ``limits`` are what it was held to when it was made; what it is held to afterwards is up
    to the program.
    """

    manifest: Sha256 = "0" * 64
    made: str
    steelscan: str
    code: str
    run: str
    data: str
    weights: Mapping[str, str]
    runtime: Mapping[str, str]
    precision: Precision
    limits: Limits
    parity: Parity
    included: NonNegativeInt
    early: EarlyExit | None = None
    quantized: Mapping[str, JsonValue] | None = None

    def contradicts(self, manifest: Manifest) -> str | None:
        """What a manifest says otherwise than was certified; None where it says the same."""
        if manifest.precision != self.precision:
            return f"is in {manifest.precision}, and was proven in {self.precision}"
        measured = None if self.early is None else self.early.value
        if manifest.early_exit != measured:
            return f"has an early exit at {manifest.early_exit}, and {measured} was measured"
        return None
