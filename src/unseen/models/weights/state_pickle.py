"""Reads a state dict's pickle without ever executing it.

A pickle is a program. This file does not run it: it walks over the opcodes that `pickletools`
lists and understands just those that a state dict is written with. Names of functions become
inert `Name` objects; five of them, in `BUILDERS`, are answered by functions of this file, and any
other, as any other opcode, is refused with its name. Nothing is imported, called, set or looked up
because the file said so. (An `Unpickler` with a strict `find_class` would do for most of this; the
machine here has no opcode at all that could reach an attribute, and its work can be metered.)

A pickle is also a cheap way to ask for much: a tuple of itself, forty times over, takes 200 bytes
to write and for ever to hash or print. So no value is hashed, compared or made text before its
type is known to be small; opcodes and copies are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

MAX_PICKLE_BYTES = 64 << 20  # a state dict of 10,000 tensors has 2 MB
MAX_STEPS = 3_000_000  # of the pickle machine: 300,000 for those 10,000 tensors, about 2 µs each
MAX_DIMENSIONS = 32
MAX_EXPANDED = 1 << 24  # elements of a tensor that repeats its storage (torch's `expand`)

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
    """A fact about the archive; `TorchArchive` adds which file it is about."""


@dataclass(frozen=True)
class Name:
    """A global that the pickle mentions: only ever its two names."""

    module: str
    name: str

    def __str__(self) -> str:
        return shown(f"{self.module}.{self.name}")


def shown(text: str) -> str:
    """A stranger's text, fit for one line of a message."""
    text = text[:100]
    return text if text.isprintable() else ascii(text)


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


def _is_key(value: Any) -> bool:
    return isinstance(value, (str, int))  # all that is ever hashed


def _dict(stack: _Stack, pairs: Any = ()) -> dict[Any, Any]:
    if not isinstance(pairs, (list, tuple)):
        raise RefusedError("a dict that is made of something else than pairs")
    stack.spend(len(pairs))
    built = {}
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not _is_key(pair[0]):
            raise RefusedError("a dict whose keys are neither text nor numbers")
        built[pair[0]] = pair[1]
    return built


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, (list, tuple)) or len(values) > MAX_DIMENSIONS:
        raise RefusedError("a tensor with an impossible shape")
    if not all(isinstance(n, int) and 0 <= n < 1 << 48 for n in values):
        raise RefusedError("a tensor with an impossible shape")
    return tuple(values)


def _tensor(_: _Stack, storage: Any, offset: Any, shape: Any, stride: Any, *ignored: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise RefusedError("a tensor without a storage")
    (offset,), shape, stride = _sizes((offset,)), _sizes(shape), _sizes(stride)
    if len(shape) != len(stride):
        raise RefusedError("a tensor with an impossible shape")
    count = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if count > 0 and (last >= storage.numel or count > max(storage.numel, MAX_EXPANDED)):
        raise RefusedError("a tensor that reaches past its storage")
    return Tensor(storage, offset, shape, stride)


def _parameter(_: _Stack, data: Any, *ignored: Any) -> Any:
    return data


def _size(_: _Stack, values: Any) -> tuple[int, ...]:
    return _sizes(values)


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
        self.steps = 0

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise RefusedError("its pickle needs more steps than any state dict")

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
            if not _is_key(key):
                raise RefusedError("a dict whose keys are neither text nor numbers")
            target[key] = value

    def append(self, values: list[Any]) -> None:
        target = self.items[-1] if self.items else None
        if not isinstance(target, list):
            raise RefusedError("a damaged pickle")
        target.extend(values)

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise RefusedError("it wants to call something that is not a function")
        if function not in BUILDERS:
            raise RefusedError(f"it wants to call {function}")
        self.spend(len(arguments))
        self.items.append(BUILDERS[function](self, *arguments))

    def build(self) -> None:
        """`__setstate__`: torch sets `_metadata` of a state dict, which is not needed."""
        self.pop()
        if not self.items or not isinstance(self.items[-1], dict):
            raise RefusedError("it wants to set the state of an object")

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise RefusedError("a damaged pickle")
        symbol = Name(module, name)
        if symbol not in BUILDERS and symbol not in STORAGE_NAMES:
            raise RefusedError(f"it asks for {symbol}")
        self.items.append(symbol)

    def storage(self) -> None:
        """A persistent id: ("storage", type, key, location, count[, view])."""
        given = self.pop()
        if not isinstance(given, tuple) or len(given) < 5 or given[0] != "storage":
            raise RefusedError("a persistent id that is not a storage")
        kind, key, numel = given[1], given[2], given[4]
        if not isinstance(kind, Name) or kind not in STORAGE_NAMES or not isinstance(key, str):
            raise RefusedError("a storage of an unknown type")
        if len(given) > 5 and given[5] is not None:
            raise RefusedError("a storage that is a view of another")
        storage = Storage(STORAGES[kind.name], key, *_sizes((numel,)))
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
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
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
    **dict.fromkeys(NUMBERS_AND_TEXTS, _push),
}


def read_pickle(file: IO[bytes] | bytes) -> tuple[Any, dict[str, Storage]]:
    """What a pickle would build, as plain data and `Tensor`s, and the storages it mentions.

    Raises `RefusedError`; runs nothing.
    """
    import pickletools  # noqa: PLC0415 - as few checkpoints are pickles

    stack = _Stack()
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                return stack.pop(), stack.storages
            if opcode.name not in OPCODES:
                symbol = f" for {shown(str(argument))}" if opcode.name == "INST" else ""
                raise RefusedError(f"its pickle uses the opcode {opcode.name}{symbol}")
            stack.spend(1)
            OPCODES[opcode.name](stack, argument)
    except RefusedError:
        raise
    except Exception as error:  # whatever a damaged pickle makes of the steps above
        raise RefusedError(
            f"its pickle is damaged ({type(error).__name__}: {shown(str(error))})"
        ) from None
    raise RefusedError("its pickle has no end")
