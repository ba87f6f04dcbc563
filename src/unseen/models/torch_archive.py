"""Reads the tensors of a torch archive without torch, and without ever executing its pickle.

A pickle is a program. This file does not run it: it walks over the opcodes that `pickletools`
lists and understands just those that a state dict is written with. Names of functions become
inert `Name` objects; five of them, in `BUILDERS`, are answered by functions of this file, and any
other, as any other opcode, is refused with its name. Nothing is imported, called, set or looked up
because the file said so.

Both layouts are read: the zip of torch ≥ 1.6 (a pickle and one stored entry a storage) and the
older one (five pickles, then the storages one after the other).
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
MAX_PICKLE_BYTES = 64 << 20  # a state dict of 10,000 tensors has 2 MB

# torch's storage classes → numpy's types; bfloat16 is read as its 16 bits and widened.
STORAGES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "bf16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class RefusedError(Exception):
    """A fact about the archive; `open_archive` adds which file it is about."""


@dataclass(frozen=True)
class Name:
    """A global that the pickle mentions: only ever its two names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Storage:
    """A run of numbers somewhere in the file."""

    dtype: str
    key: str
    numel: int

    @property
    def nbytes(self) -> int:
        return self.numel * (2 if self.dtype == "bf16" else np.dtype(self.dtype).itemsize)


@dataclass(frozen=True)
class Tensor:
    """A view of a storage, in elements; not read yet."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


# what a state dict's pickle may build


def _dict(*pairs: Any) -> dict[Any, Any]:
    return dict(*pairs)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *ignored: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise RefusedError("a tensor without a storage")
    sizes = (offset, *shape, *stride)
    if len(shape) != len(stride) or not all(isinstance(i, int) and i >= 0 for i in sizes):
        raise RefusedError("a tensor with an impossible shape")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if math.prod(shape) > 0 and (last >= storage.numel or math.prod(shape) > storage.numel):
        raise RefusedError("a tensor that reaches past its storage")
    return Tensor(storage, offset, tuple(shape), tuple(stride))


def _parameter(data: Any, *ignored: Any) -> Any:
    return data


def _size(values: Any) -> tuple[Any, ...]:
    return tuple(values)


BUILDERS: dict[Name, Callable[..., Any]] = {
    Name("collections", "OrderedDict"): _dict,
    Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Name("torch._utils", "_rebuild_tensor"): _tensor,
    Name("torch._utils", "_rebuild_parameter"): _parameter,
    Name("torch", "Size"): _size,
}
STORAGE_NAMES = {Name("torch", name) for name in STORAGES}

# the opcodes

_MARK = object()


class _Stack:
    """The pickle machine's stack and memo, and nothing else of it."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def pop(self) -> Any:
        if not self.items or self.items[-1] is _MARK:
            raise RefusedError("a damaged pickle")
        return self.items.pop()

    def pop_to_mark(self) -> list[Any]:
        for at in range(len(self.items) - 1, -1, -1):
            if self.items[at] is _MARK:
                taken = self.items[at + 1 :]
                del self.items[at:]
                return taken
        raise RefusedError("a damaged pickle")

    def tuple_of(self, count: int) -> None:
        taken = [self.pop() for _ in range(count)]
        self.items.append(tuple(reversed(taken)))

    def set_items(self, pairs: list[Any]) -> None:
        target = self.items[-1] if self.items else None
        if not isinstance(target, dict) or len(pairs) % 2:
            raise RefusedError("a damaged pickle")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, (str, int)):
                raise RefusedError("a dict whose keys are neither text nor numbers")
            target[key] = value

    def append(self, values: list[Any]) -> None:
        target = self.items[-1] if self.items else None
        if not isinstance(target, list):
            raise RefusedError("a damaged pickle")
        target.extend(values)

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or function not in BUILDERS:
            raise RefusedError(f"it wants to call {function}")
        if not isinstance(arguments, tuple):
            raise RefusedError("a damaged pickle")
        self.items.append(BUILDERS[function](*arguments))

    def build(self) -> None:
        """`__setstate__`: torch sets `_metadata` of a state dict, which is not needed."""
        self.pop()
        if not self.items or not isinstance(self.items[-1], dict):
            raise RefusedError("it wants to set the state of an object")

    def name(self, module: Any, name: Any) -> None:
        found = Name(str(module), str(name))
        if found not in BUILDERS and found not in STORAGE_NAMES:
            raise RefusedError(f"it asks for {found}")
        self.items.append(found)

    def storage(self) -> None:
        """A persistent id: ("storage", type, key, location, count[, view])."""
        given = self.pop()
        if not isinstance(given, tuple) or len(given) < 5 or given[0] != "storage":
            raise RefusedError("a persistent id that is no storage")
        kind, key, numel = given[1], given[2], given[4]
        if kind not in STORAGE_NAMES or not isinstance(numel, int) or numel < 0:
            raise RefusedError("a storage of an unknown type")
        if len(given) > 5 and given[5] is not None:
            raise RefusedError("a storage that is a view of another")
        storage = Storage(STORAGES[kind.name], str(key), numel)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise RefusedError("two storages of one name")
        self.items.append(storage)

    def put(self, index: Any) -> None:
        if not self.items:
            raise RefusedError("a damaged pickle")
        self.memo[int(index)] = self.items[-1]

    def get(self, index: Any) -> None:
        self.items.append(self.memo[int(index)])


Step = Callable[[_Stack, Any], Any]

NUMBERS_AND_TEXTS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES"),
}


def _push(stack: _Stack, value: Any) -> None:
    stack.items.append(value)


OPCODES: dict[str, Step] = {
    "PROTO": lambda s, a: None,
    "FRAME": lambda s, a: None,
    "MARK": lambda s, a: _push(s, _MARK),
    "POP": lambda s, a: s.items.pop(),
    "NONE": lambda s, a: _push(s, None),
    "NEWTRUE": lambda s, a: _push(s, True),
    "NEWFALSE": lambda s, a: _push(s, False),
    "EMPTY_DICT": lambda s, a: _push(s, {}),
    "EMPTY_LIST": lambda s, a: _push(s, []),
    "EMPTY_TUPLE": lambda s, a: _push(s, ()),
    "TUPLE": lambda s, a: _push(s, tuple(s.pop_to_mark())),
    "TUPLE1": lambda s, a: s.tuple_of(1),
    "TUPLE2": lambda s, a: s.tuple_of(2),
    "TUPLE3": lambda s, a: s.tuple_of(3),
    "SETITEM": lambda s, a: s.set_items([*reversed([s.pop(), s.pop()])]),
    "SETITEMS": lambda s, a: s.set_items(s.pop_to_mark()),
    "APPEND": lambda s, a: s.append([s.pop()]),
    "APPENDS": lambda s, a: s.append(s.pop_to_mark()),
    "GLOBAL": lambda s, a: s.name(*a.split(" ", 1)),
    "STACK_GLOBAL": lambda s, a: s.name(*reversed([s.pop(), s.pop()])),
    "REDUCE": lambda s, a: s.reduce(),
    "BUILD": lambda s, a: s.build(),
    "BINPERSID": lambda s, a: s.storage(),
    "MEMOIZE": lambda s, a: s.put(len(s.memo)),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda s, a: s.put(a)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda s, a: s.get(a)),
    **dict.fromkeys(
        NUMBERS_AND_TEXTS,
        _push,
    ),
}


def read_pickle(file: IO[bytes] | bytes) -> tuple[Any, dict[str, Storage]]:
    """What a pickle would build, as plain data and `Tensor`s, and the storages it mentions.

    Raises `RefusedError`; runs nothing.
    """
    stack = _Stack()
    try:
        for opcode, argument, at in pickletools.genops(file):
            if opcode.name == "STOP":
                return stack.pop(), stack.storages
            if opcode.name not in OPCODES:
                raise RefusedError(f"its pickle uses the opcode {opcode.name}")
            if at is not None and at > MAX_PICKLE_BYTES:
                raise RefusedError("its pickle is too large")
            OPCODES[opcode.name](stack, argument)
    except RefusedError:
        raise
    except Exception as error:  # whatever a damaged pickle makes of the steps above
        raise RefusedError(f"its pickle is damaged ({type(error).__name__}: {error})") from None
    raise RefusedError("its pickle has no end")


# the two layouts


class TorchArchive:
    """The tensors of one file: `tensors` by name, read one at a time by `read`."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError when the file is damaged, or holds anything but plain tensors."""
        self.path = path
        self._places: dict[str, int] = {}  # storage key → offset in the file
        self._order = "<"
        try:
            content = self._open_zip() if zipfile.is_zipfile(path) else self._open_legacy()
            self.tensors = _state_dict(content)
            for tensor in self.tensors.values():
                self._check(tensor.storage)
        except RefusedError as error:
            raise ModelError(
                f"{path}: refused, because {error}. Only plain tensors are read from torch "
                "archives, and nothing in them is executed; a .safetensors file is the way out."
            ) from None
        except (OSError, zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
            raise ModelError(f"{path}: this torch archive is damaged: {error}.") from None

    def read(self, name: str) -> NDArray[Any]:
        """One tensor, mapped where it lies; bfloat16 becomes float32."""
        tensor = self.tensors[name]
        kind = tensor.storage.dtype
        dtype = np.dtype(self._order + ("u2" if kind == "bf16" else kind))
        if math.prod(tensor.shape) == 0:
            return np.zeros(tensor.shape, np.float32 if kind == "bf16" else dtype)
        storage = np.memmap(
            self.path,
            dtype=dtype,
            mode="r",
            offset=self._places[tensor.storage.key],
            shape=(tensor.storage.numel,),
        )
        view = np.lib.stride_tricks.as_strided(
            storage[tensor.offset :],
            tensor.shape,
            [step * dtype.itemsize for step in tensor.stride],
            writeable=False,
        )
        return widen(view) if kind == "bf16" else view

    def _check(self, storage: Storage) -> None:
        start = self._places.get(storage.key)
        if start is None:
            raise RefusedError(f"the storage {storage.key[:40]!r} is missing")
        if start + storage.nbytes > self.path.stat().st_size:
            raise RefusedError("it is cut short")

    def _open_zip(self) -> Any:
        with zipfile.ZipFile(self.path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            pickles = [name for name in entries if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise RefusedError("it is a zip file, and not one that torch wrote")
            prefix = pickles[0].removesuffix("data.pkl")
            for name, info in entries.items():
                if info.compress_type != zipfile.ZIP_STORED and name.startswith(prefix):
                    raise RefusedError("its entries are compressed, which torch never does")
            if entries[pickles[0]].file_size > MAX_PICKLE_BYTES:
                raise RefusedError("its pickle is too large")
            order = prefix + "byteorder"
            if order in entries and archive.read(order).strip() == b"big":
                self._order = ">"
            content, _ = read_pickle(archive.read(pickles[0]))
            with self.path.open("rb") as file:
                for name, info in entries.items():
                    if name.startswith(prefix + "data/"):
                        key = name.removeprefix(prefix + "data/")
                        self._places[key] = _content_offset(file, info)
        return content

    def _open_legacy(self) -> Any:
        with self.path.open("rb") as file:
            if read_pickle(file)[0] != LEGACY_MAGIC:
                raise RefusedError("it is no torch archive")
            read_pickle(file)  # the protocol version
            system, _ = read_pickle(file)
            if isinstance(system, dict) and system.get("little_endian") is False:
                self._order = ">"
            content, storages = read_pickle(file)
            keys, _ = read_pickle(file)
            if not isinstance(keys, list):
                raise RefusedError("it has no list of storages")
            for key in map(str, keys):
                storage = storages.get(key)
                if storage is None:
                    raise RefusedError("it has a storage of no tensor")
                count = int.from_bytes(file.read(8), "little" if self._order == "<" else "big")
                if count != storage.numel:
                    raise RefusedError("a storage of another size than its tensor says")
                self._places[key] = file.tell()
                file.seek(storage.nbytes, 1)
        return content


def _content_offset(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where a stored entry's bytes begin: behind its local header, which has its own lengths."""
    file.seek(info.header_offset)
    header = file.read(30)
    if header[:4] != b"PK\3\4":
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


def widen(bits: NDArray[Any]) -> NDArray[np.float32]:
    """bfloat16, given as its 16 bits, to float32: the upper half of one."""
    wide = bits.astype(np.uint32) << np.uint32(16)
    return np.asarray(wide.view(np.float32))
