"""Reads the tensors of a torch archive without torch, and without ever executing its pickle.

Both layouts are read: the zip of torch ≥ 1.6 (a pickle and one stored entry a storage) and the
older one (five pickles, then the storages one after the other). The pickles are `state_pickle`'s
matter; here sizes are checked against the file before a number is read, and the names of zip
entries are keys of a dict that never become a path.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError
from unseen.models.weights.safetensors_file import widen
from unseen.models.weights.state_pickle import (
    MAX_PICKLE_BYTES,
    RefusedError,
    Storage,
    Tensor,
    read_pickle,
    shown,
)

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
ZIP_MAGIC = b"PK\3\4"


class TorchArchive:
    """The tensors of one file: `tensors` by name, read one at a time by `read`."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError when the file is damaged, or holds anything but plain tensors."""
        self.path = path
        self._extents: dict[str, tuple[int, int]] = {}  # storage key → first byte, and behind last
        self._order = "<"
        try:
            with path.open("rb") as file:
                is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC  # as torch tells them apart
                file.seek(0)
                content = self._open_zip(file) if is_zip else self._open_legacy(file)
                size = file.seek(0, 2)
            self.tensors = _state_dict(content)
            for tensor in self.tensors.values():
                self._check(tensor.storage, size)
        except RefusedError as error:
            raise ModelError(
                f"{path}: refused, because {error}. Only plain tensors are read from torch "
                "archives, and nothing in them is executed; a .safetensors file is the way out."
            ) from None
        except Exception as error:  # zipfile has many ways to say that bytes are not a zip
            raise ModelError(f"{path}: this torch archive is damaged: {error!r}.") from None

    def read(self, name: str) -> NDArray[Any]:
        """One tensor, mapped where it lies; bfloat16 becomes float32, big-endian is swapped."""
        tensor = self.tensors[name]
        kind = tensor.storage.dtype
        dtype = np.dtype(self._order + ("u2" if kind == "bf16" else kind))
        if math.prod(tensor.shape) == 0:
            return np.zeros(tensor.shape, np.float32 if kind == "bf16" else dtype.newbyteorder("="))
        storage = np.memmap(
            self.path,
            dtype=dtype,
            mode="r",
            offset=self._extents[tensor.storage.key][0],
            shape=(tensor.storage.numel,),
        )
        view = np.lib.stride_tricks.as_strided(
            storage[tensor.offset :],
            tensor.shape,
            [step * dtype.itemsize for step in tensor.stride],
            writeable=False,
        )
        if kind == "bf16":
            return widen(view)
        return view if dtype.isnative else view.astype(dtype.newbyteorder("="))

    def _check(self, storage: Storage, size: int) -> None:
        if storage.key not in self._extents:
            raise RefusedError(f"the storage {shown(storage.key)!r} is missing")
        start, stop = self._extents[storage.key]
        if start + storage.nbytes > min(stop, size):
            raise RefusedError("it is cut short")

    def _open_zip(self, file: IO[bytes]) -> Any:
        with zipfile.ZipFile(file) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            if len(entries) != len(archive.infolist()):
                raise RefusedError("it has two entries of one name")
            pickles = [name for name in entries if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise RefusedError("it is a zip file, and not one that torch wrote")
            prefix = pickles[0].removesuffix("data.pkl")
            for name, info in entries.items():
                if info.compress_type != zipfile.ZIP_STORED and name.startswith(prefix):
                    raise RefusedError("its entries are compressed, which torch never does")
            if entries[pickles[0]].file_size > MAX_PICKLE_BYTES:
                raise RefusedError("its pickle is too large")
            order = entries.get(prefix + "byteorder")
            if order and order.file_size == len(b"big") and archive.read(order) == b"big":
                self._order = ">"
            content, _ = read_pickle(archive.read(pickles[0]))
        for name, info in entries.items():
            if name.startswith(prefix + "data/"):
                start = _content_offset(file, info)
                self._extents[name.removeprefix(prefix + "data/")] = start, start + info.file_size
        return content

    def _open_legacy(self, file: IO[bytes]) -> Any:
        head = io.BytesIO(file.read(MAX_PICKLE_BYTES))  # no opcode may read further
        if read_pickle(head)[0] != LEGACY_MAGIC:
            raise RefusedError("it is not a torch archive")
        read_pickle(head)  # the protocol version
        system, _ = read_pickle(head)
        if isinstance(system, dict) and system.get("little_endian") is False:
            self._order = ">"
        content, storages = read_pickle(head)
        keys, _ = read_pickle(head)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise RefusedError("it has no list of storages")
        file.seek(head.tell())
        for key in keys:
            if key not in storages:
                raise RefusedError("it has a storage of no tensor")
            count = int.from_bytes(file.read(8), "little" if self._order == "<" else "big")
            if count != storages[key].numel:
                raise RefusedError("a storage of another size than its tensor says")
            start = file.tell()
            self._extents[key] = start, start + storages[key].nbytes
            file.seek(storages[key].nbytes, 1)
        return content


class TorchFile:
    """A `TorchArchive` as `Weights` reads it."""

    def __init__(self, path: Path) -> None:
        self._archive = TorchArchive(path)
        self.names = list(self._archive.tensors)
        kinds = {name: tensor.storage.dtype for name, tensor in self._archive.tensors.items()}
        self.bfloat16 = {name for name, kind in kinds.items() if kind == "bf16"}

    def shape(self, name: str) -> tuple[int, ...]:
        return self._archive.tensors[name].shape

    def read(self, name: str) -> NDArray[Any]:
        return self._archive.read(name)


def _content_offset(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where a stored entry's bytes begin: behind its local header, which has its own lengths."""
    file.seek(info.header_offset)
    header = file.read(30)
    if header[:4] != ZIP_MAGIC:
        raise RefusedError("a damaged zip entry")
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return info.header_offset + 30 + lengths


def _state_dict(content: Any) -> dict[str, Tensor]:
    """The tensors of a state dict, also of one inside {"state_dict": …}."""
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise RefusedError("it holds no state dict")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise RefusedError("it holds no tensors")
    if all(name.startswith("module.") for name in tensors):  # saved by DataParallel
        return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors
