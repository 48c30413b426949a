"""What autograd keeps for the way back, in files: a step larger than the memory runs all the same.

The step is the same to the last bit: the numbers of each kept tensor are read back as they were
written. Tensors that share their memory share a file, which goes when the last of them does.
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
"""Bytes below which memory is kept where it is."""


class _File:
    """The numbers of one piece of memory."""

    def __init__(self, path: Path, version: int, storage: torch.UntypedStorage) -> None:
        self.path, self.version, self.size = path, version, storage.nbytes()
        self._source = StorageWeakRef(storage)
        torch.empty(0, dtype=torch.uint8).set_(storage).numpy().tofile(path)

    def holds(self, tensor: Tensor) -> bool:
        """Whether the memory still lives that was written, and was not changed since."""
        return not self._source.expired() and self.version == tensor._version


class _Place(NamedTuple):
    """Where a tensor lies in the memory that a file holds."""

    file: _File
    dtype: torch.dtype
    offset: int
    size: torch.Size
    stride: tuple[int, ...]


class Spilled:
    """Files of the tensors that autograd keeps: what they hold ``now``, and the ``most`` ever."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._names = folder, count()
        self._files: WeakValueDictionary[int, _File] = WeakValueDictionary()
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> Tensor | _Place:
        """Write a tensor, unless it is small or a parameter."""
        storage = tensor.untyped_storage()
        if (tensor.is_leaf and tensor.requires_grad) or storage.nbytes() < SMALL:
            return tensor.detach()
        file = self._files.get(storage.data_ptr())
        if file is None or not file.holds(tensor):
            file = self._write(tensor, storage)
        return _Place(file, tensor.dtype, tensor.storage_offset(), tensor.size(), tensor.stride())

    def unpack(self, kept: Tensor | _Place) -> Tensor:
        """The tensor again."""
        if isinstance(kept, Tensor):
            return kept
        storage = torch.from_numpy(np.fromfile(kept.file.path, np.uint8)).untyped_storage()
        return torch.empty(0, dtype=kept.dtype).set_(storage, kept.offset, kept.size, kept.stride)

    def _write(self, tensor: Tensor, storage: torch.UntypedStorage) -> _File:
        file = _File(self._folder / str(next(self._names)), tensor._version, storage)
        self._files[storage.data_ptr()] = file
        self.now += file.size
        self.most = max(self.most, self.now)
        finalize(file, self._drop, file.path, file.size)
        return file

    def _drop(self, path: Path, size: int) -> None:
        path.unlink(missing_ok=True)  # the folder may have gone before
        self.now -= size


@contextmanager
def spilling(folder: Path) -> Iterator[Spilled]:
    """Within it autograd keeps its tensors in files, in a new folder below ``folder``."""
    with TemporaryDirectory(dir=folder, prefix="spilled") as inner:
        spilled = Spilled(Path(inner))
        with torch.autograd.graph.saved_tensors_hooks(spilled.pack, spilled.unpack):
            yield spilled
