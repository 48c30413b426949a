"""The certificate of a bundle: how it was made and proven."""

from collections.abc import Mapping

from pydantic import JsonValue, NonNegativeInt

from steelscan.bundle.proof import Limits, Parity
from steelscan.bundle.spec import EarlyExit, Manifest, Precision, Sha256
from steelscan.strip import Spec


class Certificate(Spec):
    """How a bundle was made, and the result of its proof.

    Attributes:
        manifest: SHA-256 of the manifest, which has those of all other files; so a signature of
            the certificate covers the whole bundle.
        limits: the limits when it was made; later proofs use those of the program.
        included_strips: number of strips of the proof that are in the bundle.
        early: measured effect of the early exit; None if there is none.
        quantized: how its precision was reduced; None if it was not.
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
    included_strips: NonNegativeInt
    early: EarlyExit | None = None
    quantized: Mapping[str, JsonValue] | None = None

    def difference(self, manifest: Manifest) -> str | None:
        """Describe what a manifest has that was not certified; None if there is nothing."""
        if manifest.precision != self.precision:
            return f"is in {manifest.precision}, but was proven in {self.precision}"
        measured = None if self.early is None else self.early.value
        if manifest.early_exit != measured:
            return f"has an early exit at {manifest.early_exit}, but {measured} was measured"
        return None
