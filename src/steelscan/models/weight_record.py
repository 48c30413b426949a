"""Pretrained weights of one encoder: what is recorded of them, and their tensors."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from steelscan.strip import Spec
from steelscan.strip.errors import InputError

NOT_STATED = "not stated"
"""The licence of weights whose source states none."""


class WeightRecord(Spec):
    """The source of an encoder's weights, and how to check their file.

    ``encoder`` is a name of timm, as in a recipe; ``size`` is in bytes; ``added`` is a day.
    """

    encoder: str
    source: str
    licence: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, Field(gt=0)]
    added: str | None = None

    @property
    def sentence(self) -> str:
        """Source, first digits of the SHA-256, and licence."""
        return f"{self.source}, sha256 {self.sha256[:12]}, licence {self.licence}"


@dataclass(frozen=True)
class EncoderWeights:
    """Weights that are on this machine.

    ``read`` returns the tensors of the file at ``path`` in timm's names, for three colours, with
    or without the last layer of the classifier. ``remedy`` replaces a damaged file.
    """

    record: WeightRecord
    where: Literal["store", "package"]
    path: Path
    read: Callable[[Path], dict[str, Tensor]]
    remedy: str

    @property
    def source(self) -> str:
        """Where the weights come from, their hash and licence."""
        return self.record.sentence

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The tensors. Raises InputError if the file does not have the recorded SHA-256."""
        self.check_size()
        found = file_sha256(self.path)
        if found != self.record.sha256:
            problem = f"has the SHA-256 {found[:12]}, not {self.record.sha256[:12]} as recorded"
            raise InputError(self.path, f"{problem}: it was changed", self.remedy)
        return self.read(self.path)

    def check_size(self) -> None:
        """Raise InputError if the file is gone or does not have the recorded size."""
        try:
            size = self.path.stat().st_size
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
            raise InputError(self.path, problem, self.remedy) from None
        if size != self.record.size:
            problem = f"has {size} bytes, not {self.record.size} as recorded: it was cut or changed"
            raise InputError(self.path, problem, self.remedy)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
