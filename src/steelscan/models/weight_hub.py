"""Download the weights that timm names, only when a user requests it."""

from collections.abc import Callable
from dataclasses import dataclass
from logging import ERROR, getLogger
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import timm
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from torch.hub import HASH_REGEX, download_url_to_file

from steelscan.models.weight_files import fit_encoder, read_tensors
from steelscan.models.weight_record import NOT_STATED, WeightRecord
from steelscan.models.weight_store import WeightStore
from steelscan.strip.errors import InputError, MissingPartError

_TAGS_OF_2019 = ("tv_in1k", "aa_in1k", "in1k", "gluon_in1k")
"""timm's tags of weights that the participants of 2019 could have, the preferred first.

timm's own choice is often newer, such as EfficientNets that were trained on 300 million more
pictures.
"""

_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class RemoteWeights:
    """Weights that timm can get: from the Hugging Face hub, or else from ``url``."""

    name: str
    hub: str | None
    files: tuple[str, ...]
    url: str
    licence: str

    @property
    def source(self) -> str:
        """Where they are, in words."""
        return f"Hugging Face hub, {self.hub}" if self.hub else urlsplit(self.url).netloc


def remote_weights(encoder: str) -> RemoteWeights | None:
    """Return where timm gets ImageNet weights of an encoder, or None. Uses no network.

    If the name has no tag, these are weights of 2019 where timm has them, else timm's own choice.
    """
    config = timm.get_pretrained_cfg(encoder)
    if config is None:
        return None
    tagged = [f"{encoder}.{tag}" for tag in _TAGS_OF_2019 if "." not in encoder]
    for older in map(timm.get_pretrained_cfg, filter(timm.is_model_pretrained, tagged)):
        if (older.mean, older.std) == (config.mean, config.std):  # as networks normalise
            config = older
            break
    if not (config.hf_hub_id or config.url):
        return None
    name = f"{config.architecture}.{config.tag}"
    files = (config.hf_hub_filename,) if config.hf_hub_filename else _FILES
    licence = config.license or NOT_STATED
    return RemoteWeights(name, config.hf_hub_id, files, config.url or "", licence)


def encoder_bytes(encoder: str) -> int:
    """Return the bytes of an encoder's parameters, which is about the size of its file."""
    with torch.device("meta"):
        network = timm.create_model(encoder)
    return sum(parameter.numel() * 4 for parameter in network.parameters())


def fetch_weights(encoder: str, store: WeightStore, report: Callable[[str], None]) -> WeightRecord:
    """Download the weights of an encoder into the store; ``report`` first gets licence and size.

    Raises MissingPartError if there are none or if they cannot be downloaded, InputError if the
    file is damaged, OutputError if the store cannot be written.
    """
    remote = remote_weights(encoder)
    if remote is None:
        remedy = f"Add a file: steelscan weights add {encoder} FILE"
        raise MissingPartError(encoder, "timm names no weights of it to download", remedy)
    with TemporaryDirectory() as folder:
        try:
            if remote.hub:
                path, source = _from_hub(remote, report)
            else:
                path, source = _from_url(remote, Path(folder), encoder_bytes(encoder), report)
        except (OSError, EntryNotFoundError) as error:
            raise _unreachable(encoder, remote, error) from None
        tensors = fit_encoder(encoder, read_tensors(path), path)
    return store.add(encoder, tensors, f"ImageNet, {source}", remote.licence)


def _from_hub(remote: RemoteWeights, report: Callable[[str], None]) -> tuple[Path, str]:
    """Return the file in the cache of the Hugging Face hub, and its source with its revision."""
    assert remote.hub is not None
    repository, _, revision = remote.hub.partition("@")
    getLogger("huggingface_hub").setLevel(ERROR)  # no lines on each of its retries
    unreachable = False
    for file in remote.files:
        try:
            info = hf_hub_download(
                repository,
                file,
                revision=revision or None,
                dry_run=True,
                local_files_only=unreachable,
            )
        except LocalEntryNotFoundError:  # no network: the other file may still be in the cache
            unreachable = True
            if file == remote.files[-1]:
                raise
            continue
        except EntryNotFoundError:
            continue
        report(_announced(remote, f"{(info.file_size or 0) / 1e6:.1f} MB"))
        path = hf_hub_download(repository, file, revision=info.commit_hash)
        return Path(path), f"{remote.source}, revision {info.commit_hash[:12]}"
    raise EntryNotFoundError(f"{repository} has no file {' or '.join(remote.files)}")


def _from_url(
    remote: RemoteWeights, folder: Path, size: int, report: Callable[[str], None]
) -> tuple[Path, str]:
    """Download a file, whose name holds the beginning of its SHA-256; return it and its source."""
    report(_announced(remote, f"about {size / 1e6:.0f} MB"))
    path = folder / PurePosixPath(urlsplit(remote.url).path).name
    sha256 = HASH_REGEX.search(path.name)
    try:
        download_url_to_file(remote.url, str(path), sha256 and sha256[1])
    except RuntimeError as error:
        raise InputError(remote.url, str(error), "Repeat the command") from None
    return path, remote.url


def _announced(remote: RemoteWeights, size: str) -> str:
    return f"{remote.name}: {size} from {remote.source}, licence {remote.licence}"


def _unreachable(encoder: str, remote: RemoteWeights, error: Exception) -> MissingPartError:
    place = f"https://huggingface.co/{remote.hub}" if remote.hub else remote.url
    offline = isinstance(error, LocalEntryNotFoundError)
    reason = "the hub cannot be reached" if offline else " ".join(str(error).split())[:120]
    remedy = (
        f"Repeat it on a machine with a network and copy the store, or get {place} there and run: "
        f"steelscan weights add {encoder} FILE"
    )
    return MissingPartError(encoder, f"its weights cannot be downloaded ({reason})", remedy)
