"""A checkpoint's weights as named arrays, read one at a time and never run: safetensors, sharded
or not, and torch archives."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from unseen.errors import ModelError
from unseen.models.torch_archive import TorchArchive, widen
from unseen.networks.network import Network
from unseen.networks.parameters import used_parameters
from unseen.networks.resnet import BATCH_NORM_EPSILON, fold_batch_norm

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
PLAIN_DTYPES = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U8", "BOOL"}


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

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array that is not read."""
        return self._reader(name).shape(name)

    def _reader(self, name: str) -> Reader:
        if name not in self._readers:
            near = difflib.get_close_matches(name, self._readers, 3, 0.6)
            hint = f" Near it: {', '.join(near)}." if near else ""
            raise ModelError(f"{self._name}: there is no weight {name!r} in it.{hint}")
        return self._readers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __contains__(self, name: object) -> bool:
        return name in self._readers


# How a parameter is made of what is stored: a part of it, its transpose, two of them folded.
Made = Callable[[Mapping[str, Array]], Array]


class Renamed(Mapping[str, Array]):
    """Weights under our names: `names` says for each which one it is in the checkpoint, or how it
    is made of those that are."""

    def __init__(self, weights: Mapping[str, Array], names: Mapping[str, str | Made]) -> None:
        self._weights = weights
        self._names = names

    def __getitem__(self, name: str) -> Array:
        made = self._names[name]
        return self._weights[made] if isinstance(made, str) else made(self._weights)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:  # without reading it, as the default does
        return name in self._names

    def stored_name(self, name: str) -> str | None:
        """What the checkpoint calls the weight `name`; None if it is not stored as it is."""
        stored = self._names[name]
        return stored if isinstance(stored, str) else None


def stored_names(network: Network[Any], outputs: Sequence[str] | None = None) -> dict[str, str]:
    """The weights of a checkpoint that a network uses as they are stored.

    Weights that are folded, split, stretched or otherwise changed before they are used belong to
    none of the network's parameters, and are not among them: training could not save them.

    Parameters
    ----------
    network : Network
        A network whose parameters are `Renamed` weights.
    outputs : sequence of str, optional
        The requested outputs; the primary one by default.

    Returns
    -------
    dict of str to str
        The network's name of each → the checkpoint's, in the order of their first use.
    """
    if not isinstance(network.parameters, Renamed):
        return {}
    names = {n: network.parameters.stored_name(n) for n in used_parameters(network, outputs)}
    return {name: stored for name, stored in names.items() if stored is not None}


def part(name: str, index: int, of: int) -> Made:
    """Part `index` of a weight that is stored as one with others, along its first axis."""
    return lambda weights: np.split(weights[name], of)[index]


def transposed(name: str) -> Made:
    """A projection that is stored (in, out)."""
    return lambda weights: weights[name].T


def without_leading_axes(name: str, ndim: int) -> Made:
    """The last `ndim` axes of a weight whose others have the length 1."""
    return lambda weights: weights[name].reshape(weights[name].shape[-ndim:])


def folded(
    ours: str, conv: str, norm: str, epsilon: float = BATCH_NORM_EPSILON
) -> dict[str, str | Made]:
    """`ours`.weight and .bias: a convolution without bias and its batch norm as one with."""

    def make(index: int) -> Made:
        def made(weights: Mapping[str, Array]) -> Array:
            statistics = ("weight", "bias", "running_mean", "running_var")
            stored = (weights[f"{norm}.{name}"] for name in statistics)
            return fold_batch_norm(weights[f"{conv}.weight"], *stored, epsilon=epsilon)[index]

        return made

    return {f"{ours}.{kind}": make(index) for index, kind in enumerate(("weight", "bias"))}


class SafetensorsFile:
    """One .safetensors file. The library checks the header, and reads all but bfloat16."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError when the header and the file do not agree."""
        self.path = path
        try:
            with self._opened() as file:
                names = list(file.keys())
                self._shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(
                f"{path}: this safetensors file is damaged ({error}); download it again."
            ) from None

        self.names = list(self._shapes)

    def _opened(self) -> Any:  # the library is not typed
        return safe_open(self.path, framework="numpy")

    def shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def read(self, name: str) -> Array:
        # Opened anew each time: pages of the mapped file would stay in memory until it is closed.
        with self._opened() as file:
            dtype = file.get_slice(name).get_dtype()
            if dtype in PLAIN_DTYPES:
                array: Array = file.get_tensor(name)
                return array
        if dtype == "BF16":
            return self._read_bfloat16(name)
        raise ModelError(f"{self.path}: {name!r} is of the type {dtype}, which is not read.")

    def _read_bfloat16(self, name: str) -> Array:
        """numpy has no bfloat16, so the library does not read it: the header says where it lies."""
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            facts = json.loads(file.read(length))[name]
        start, stop = facts["data_offsets"]
        bits = np.fromfile(self.path, "<u2", (stop - start) // 2, offset=8 + length + start)
        return np.asarray(widen(bits).reshape(facts["shape"]))


class TorchFile:
    """One torch archive, zip or older."""

    def __init__(self, path: Path) -> None:
        self._archive = TorchArchive(path)
        self.names = list(self._archive.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._archive.tensors[name].shape

    def read(self, name: str) -> Array:
        return self._archive.read(name)


Reader = SafetensorsFile | TorchFile

READERS: dict[str, Callable[[Path], Reader]] = {
    ".safetensors": SafetensorsFile,
    ".bin": TorchFile,
    ".pt": TorchFile,
    ".pth": TorchFile,
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


def _refuse_pointer(path: Path) -> None:
    """What `git clone` leaves without Git LFS: 130 bytes that say where the weights would be."""
    try:
        with path.open("rb") as file:
            start = file.read(len(LFS_POINTER))
    except OSError as error:
        raise ModelError(f"{path}: this file cannot be read: {error.strerror}.") from None
    if start == LFS_POINTER:
        raise ModelError(
            f"{path}: this is a Git LFS pointer, not the weights: run `git lfs pull` there."
        )


def _shards(index: Path) -> list[Path]:
    try:
        names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{index}: this index of shards is damaged: {error!r}.") from None
    if not names:
        raise ModelError(f"{index}: this index of shards names none.")
    for name in names:  # a shard lies beside its index, and nowhere else
        plain = isinstance(name, str) and Path(name).name == name and "\\" not in name
        if not plain or Path(name).suffix not in READERS:
            raise ModelError(f"{index}: it names {name!r}, which is no weight file beside it.")
        if not (index.parent / name).is_file():
            raise ModelError(f"{index}: the shard {name} is missing; download it again.")
    return [index.parent / name for name in sorted(names)]
