"""A checkpoint's weights as named arrays, read one at a time and never run: safetensors, sharded
or not, and torch archives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray
from safetensors import SafetensorError

from unseen.errors import ModelError
from unseen.models.weights.safetensors_file import SafetensorsFile
from unseen.system.regular_file import open_regular, read_text

if TYPE_CHECKING:
    from unseen.models.weights.torch_archive import TorchFile

Array = NDArray[Any]

# Where weights may lie in a folder; the first that is there is read.
FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class Weights(Mapping[str, Array]):
    """Arrays by name; a file is read when, and as far as, an array is asked for."""

    def __init__(self, name: str, readers: Mapping[str, Reader]) -> None:
        self._name = name
        self._readers = readers

    def __getitem__(self, name: str) -> Array:
        reader = self._reader(name)
        try:
            return reader.read(name)
        except (OSError, ValueError, SafetensorError) as error:  # it was whole when it was opened
            raise ModelError(f"{self._name}: {name!r} can no longer be read ({error}).") from None

    def shape(self, name: str, axes: int | None = None) -> tuple[int, ...]:
        """The shape of an array that is not read. ModelError where it has not so many axes."""
        shape = self._reader(name).shape(name)
        if axes is not None and len(shape) != axes:
            raise ModelError(
                f"{self._name}: the weight {name!r} has the shape {shape}, in place of {axes} axes."
            )
        return shape

    @property
    def bfloat16(self) -> set[str]:
        """The names of the arrays that are stored in 16 bits of that kind, and read as float32."""
        readers = {id(reader): reader for reader in self._readers.values()}
        return {name for reader in readers.values() for name in reader.bfloat16}

    def _reader(self, name: str) -> Reader:
        if name not in self._readers:
            import difflib  # noqa: PLC0415 - for a mistake alone

            similar = difflib.get_close_matches(name, self._readers, 3, 0.6)
            hint = f" Similar names: {', '.join(similar)}." if similar else ""
            raise ModelError(f"{self._name}: there is no weight {name!r} in it.{hint}")
        return self._readers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __contains__(self, name: object) -> bool:
        return name in self._readers


class LoadedArrays:
    """Arrays that are in memory, read as those of a file are."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = arrays
        self.names = list(arrays)
        self.bfloat16: set[str] = set()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._arrays[name].shape

    def read(self, name: str) -> Array:
        return self._arrays[name]


Reader: TypeAlias = "SafetensorsFile | TorchFile | LoadedArrays"


def _torch_file(path: Path) -> Reader:
    from unseen.models.weights.torch_archive import TorchFile  # noqa: PLC0415 - few checkpoints need it

    return TorchFile(path)


READERS: dict[str, Callable[[Path], Reader]] = {
    ".safetensors": SafetensorsFile,
    ".bin": _torch_file,
    ".pt": _torch_file,
    ".pth": _torch_file,
}


def weight_files(folder: Path, names: Sequence[str] = FILES) -> list[Path]:
    """The files that hold the weights of a folder, shards in order; ModelError when none do."""
    for name in names:
        path = folder / name
        if path.is_file():
            return _shards(path) if name.endswith(".index.json") else [path]
    raise ModelError(f"{folder}: no weights in it; looked for {', '.join(names)}.")


def open_weights(folder: Path, names: Sequence[str] = FILES) -> Weights:
    """The weights of a checkpoint folder. Raises ModelError."""
    return open_files(weight_files(folder, names), str(folder))


def open_files(paths: list[Path], name: str) -> Weights:
    """The weights in these files, under one roof. Raises ModelError, also for an unknown suffix."""
    readers: dict[str, Reader] = {}
    for path in paths:
        if path.suffix not in READERS:
            raise ModelError(f"{path}: weights are read from {', '.join(READERS)} files.")
        _refuse_pointer(path)
        reader = READERS[path.suffix](path)
        for weight in reader.names:
            if weight in readers:
                raise ModelError(f"{name}: the weight {weight!r} is in two of its files.")
            readers[weight] = reader
    return Weights(name, readers)


def in_memory(arrays: Mapping[str, Array], name: str) -> Weights:
    """Arrays that were read already, as `Weights`."""
    reader = LoadedArrays(arrays)
    return Weights(name, dict.fromkeys(reader.names, reader))


def _refuse_pointer(path: Path) -> None:
    """What `git clone` leaves without Git LFS: 130 bytes that say where the weights would be."""
    try:
        with open_regular(path) as file:
            start = file.read(len(LFS_POINTER))
    except OSError as error:
        raise ModelError(f"{path}: this file cannot be read: {error.strerror}.") from None
    if start == LFS_POINTER:
        raise ModelError(
            f"{path}: this is a Git LFS pointer, not the weights: run `git lfs pull` there."
        )


def _shards(index: Path) -> list[Path]:
    try:
        names = set(json.loads(read_text(index))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{index}: this index of shards is damaged: {error!r}.") from None
    if not names:
        raise ModelError(f"{index}: this index of shards lists no files.")
    for name in names:  # a shard lies beside its index, and nowhere else
        plain = isinstance(name, str) and Path(name).name == name and "\\" not in name
        if not plain or Path(name).suffix not in READERS:
            raise ModelError(f"{index}: it names {name!r}, which is not a weight file beside it.")
        if not (index.parent / name).is_file():
            raise ModelError(f"{index}: the shard {name} is missing; download it again.")
    return [index.parent / name for name in sorted(names)]
