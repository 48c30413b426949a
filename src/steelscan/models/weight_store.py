"""The store of pretrained weights: a folder that can be copied to a machine without a network.

Each encoder has a file of tensors (safetensors) and a record (JSON), which names it by its hash.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from platformdirs import user_data_path
from pydantic import ValidationError
from safetensors.torch import load_file, save
from torch import Tensor

from steelscan.models.weight_files import fit_encoder, read_tensors
from steelscan.models.weight_record import EncoderWeights, WeightRecord, file_sha256
from steelscan.strip.errors import InputError
from steelscan.strip.files import output_folder, write_bytes, write_text, writing

VARIABLE = "STEELSCAN_WEIGHTS"
"""The variable of the environment that names the folder of the store."""


@dataclass(frozen=True)
class WeightStore:
    """A folder of weights, which need not exist."""

    folder: Path

    @classmethod
    def at(cls, folder: Path | None = None) -> "WeightStore":
        """Return the store in a folder, in $STEELSCAN_WEIGHTS, or in the user's data folder."""
        named = os.environ.get(VARIABLE)
        default = user_data_path("steelscan", appauthor=False) / "weights"
        return cls(folder or (Path(named).expanduser() if named else default))

    def find(self, encoder: str) -> EncoderWeights | None:
        """Return the weights of an encoder, or None if there are none.

        Raises InputError if the store is not a folder, if the record cannot be read, or if the
        file is missing or cut.
        """
        path = self._record(encoder)
        remedy = f"Replace it: steelscan weights fetch {encoder}, or weights add {encoder} FILE"
        try:
            record = WeightRecord.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            remedy = f"Name a folder with --weights-dir or ${VARIABLE}"
            raise InputError(self.folder, "is not a folder", remedy) from None
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})", remedy) from None
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "file"
            problem = f"is no record of weights ({field}: {first['msg']})"
            raise InputError(path, problem, remedy) from None
        file = self._tensors(encoder, record.sha256)
        weights = EncoderWeights(record, "store", file, load_file, remedy)
        weights.check_size()
        return weights

    def add(
        self, encoder: str, tensors: Mapping[str, Tensor], source: str, licence: str
    ) -> WeightRecord:
        """Write the tensors of an encoder, in timm's names, and their record.

        Weights of the same encoder are replaced. Waits while another process adds weights. Raises
        OutputError.
        """
        content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
        sha256 = hashlib.sha256(content).hexdigest()
        record = WeightRecord(
            encoder=encoder,
            source=source,
            licence=licence,
            sha256=sha256,
            size=len(content),
            added=f"{datetime.now(UTC):%Y-%m-%d}",
        )
        file = self._tensors(encoder, sha256)
        with writing(self.folder), FileLock(output_folder(self.folder) / ".lock"):
            write_bytes(file, content)  # `save_file` makes files that other users cannot read
            write_text(self._record(encoder), record.model_dump_json(indent=2) + "\n")
            for other in self.folder.glob(f"{encoder}-*.safetensors"):
                if other != file:
                    other.unlink()
        return record

    def add_file(self, encoder: str, path: Path, licence: str) -> WeightRecord:
        """Add a file of weights. Raises InputError if it does not fit the encoder, OutputError."""
        tensors = fit_encoder(encoder, read_tensors(path), path)
        source = f"file {path.name} (sha256 {file_sha256(path)[:12]})"
        return self.add(encoder, tensors, source, licence)

    def _record(self, encoder: str) -> Path:
        return self.folder / f"{encoder}.json"

    def _tensors(self, encoder: str, sha256: str) -> Path:
        return self.folder / f"{encoder}-{sha256[:8]}.safetensors"
