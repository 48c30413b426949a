"""Keep the tensors that autograd saves for the backward pass in files, to save memory.

The step is the same to the last bit: each saved tensor is read back as it was written. Tensors that
share memory share a file, which is removed with the last of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from weakref import WeakValueDictionary, finalize

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

SMALL = 1 << 20
"""Tensors with fewer bytes stay in memory."""


class _File:
    """The content of one storage."""

    def __init__(self, path: Path, version: int, storage: torch.UntypedStorage) -> None:
        self.path, self.version, self.size = path, version, storage.nbytes()
        self._source = StorageWeakRef(storage)
        torch.empty(0, dtype=torch.uint8).set_(storage).numpy().tofile(path)

    def holds(self, tensor: Tensor) -> bool:
        """Return whether the storage still exists and is unchanged."""
        return not self._source.expired() and self.version == tensor._version


class _View(NamedTuple):
    """The position of a tensor in the storage that a file holds."""

    file: _File
    dtype: torch.dtype
    offset: int
    size: torch.Size
    stride: tuple[int, ...]


class Spilled:
    """Files of the tensors that autograd saves: their bytes ``now``, and the ``most`` so far."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._names = folder, count()
        self._files: WeakValueDictionary[int, _File] = WeakValueDictionary()
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> Tensor | _View:
        """Write a tensor, except a small one or a parameter."""
        storage = tensor.untyped_storage()
        if (tensor.is_leaf and tensor.requires_grad) or storage.nbytes() < SMALL:
            return tensor.detach()
        file = self._files.get(storage.data_ptr())
        if file is None or not file.holds(tensor):
            file = self._write(tensor, storage)
        return _View(file, tensor.dtype, tensor.storage_offset(), tensor.size(), tensor.stride())

    def unpack(self, saved: Tensor | _View) -> Tensor:
        """Read the tensor."""
        if isinstance(saved, Tensor):
            return saved
        storage = torch.from_numpy(np.fromfile(saved.file.path, np.uint8)).untyped_storage()
        return torch.empty(0, dtype=saved.dtype).set_(
            storage, saved.offset, saved.size, saved.stride
        )

    def _write(self, tensor: Tensor, storage: torch.UntypedStorage) -> _File:
        file = _File(self._folder / str(next(self._names)), tensor._version, storage)
        self._files[storage.data_ptr()] = file
        self.now += file.size
        self.most = max(self.most, self.now)
        finalize(file, self._drop, file.path, file.size)
        return file

    def _drop(self, path: Path, size: int) -> None:
        path.unlink(missing_ok=True)  # the folder may already be removed
        self.now -= size


@contextmanager
def spilling(folder: Path) -> Iterator[Spilled]:
    """Let autograd save its tensors in files, in a new folder below ``folder``."""
    with TemporaryDirectory(dir=folder, prefix="spilled") as inner:
        spilled = Spilled(Path(inner))
        with torch.autograd.graph.saved_tensors_hooks(spilled.pack, spilled.unpack):
            yield spilled
