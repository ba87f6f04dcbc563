"""Frozen dataclasses ↔ what JSON can hold: dicts, lists, strings, numbers, true, false, null."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

from unseen.errors import ModelError

KIND = "kind"  # the key that says of which class of a table an object is


def to_plain(value: Any) -> Any:
    """A dataclass, with all that is in it, as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: to_plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def from_plain(cls: Any, plain: Any, where: str = "model") -> Any:
    """What `to_plain` gave, as `cls` again. Raises ModelError, with the place, for anything else.

    `cls` is a dataclass or the type of one of its fields: a scalar, an enum, a tuple, a dict, one
    of these or None, or Any, which is taken as it is.
    """
    origin, arguments = typing.get_origin(cls), typing.get_args(cls)
    if cls is Any or dataclasses.is_dataclass(plain):  # made already, by a table of kinds
        return plain
    if origin in (typing.Union, types.UnionType):
        if plain is None and type(None) in arguments:
            return None
        (other,) = (argument for argument in arguments if argument is not type(None))
        return from_plain(other, plain, where)
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, plain, where)
    if origin is tuple and isinstance(plain, (list, tuple)):
        kinds = arguments[:1] * len(plain) if arguments[-1] is ... else arguments
        if len(kinds) == len(plain):
            pairs = enumerate(zip(kinds, plain, strict=True))
            return tuple(from_plain(k, item, f"{where}[{i}]") for i, (k, item) in pairs)
    elif origin in (dict, Mapping, typing.get_origin(Mapping[str, Any])):
        if isinstance(plain, Mapping):
            items = plain.items()
            return {key: from_plain(arguments[1], item, f"{where}.{key}") for key, item in items}
    elif isinstance(cls, type) and issubclass(cls, Enum):
        if plain in [member.value for member in cls]:
            return cls(plain)
    elif type(plain) is cls or (cls is float and type(plain) is int):
        return plain  # an int stays one: what is read back must also print the same
    raise ModelError(f"{where} is {plain!r:.80}; expected {getattr(cls, '__name__', cls)}.")


def _dataclass(cls: Any, plain: Any, where: str) -> Any:
    if not isinstance(plain, Mapping):
        raise ModelError(f"{where} is {plain!r:.80}; expected an object.")
    types_of = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if unknown := set(plain) - set(fields):
        raise ModelError(f"{where} has an unknown key {min(unknown)!r}.")
    missing = (
        name
        for name, field in fields.items()
        if name not in plain
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    )
    if (name := next(missing, None)) is not None:
        raise ModelError(f"{where} has no {name!r}.")
    return cls(
        **{key: from_plain(types_of[key], item, f"{where}.{key}") for key, item in plain.items()}
    )


def tagged(value: Any, kinds: Mapping[str, type[Any]]) -> dict[str, Any]:
    """An object of one of the classes of a table: its fields, and its kind."""
    kind = next(kind for kind, cls in kinds.items() if type(value) is cls)
    plain: dict[str, Any] = to_plain(value)
    return {KIND: kind, **plain}


def untagged(plain: Any, kinds: Mapping[str, type[Any]], where: str = "model") -> Any:
    """What `tagged` gave. Raises ModelError for anything else."""
    if not isinstance(plain, Mapping) or plain.get(KIND) not in kinds:
        raise ModelError(f"{where} is of an unknown kind; choose one of: {', '.join(kinds)}.")
    fields = {key: item for key, item in plain.items() if key != KIND}
    return from_plain(kinds[plain[KIND]], fields, where)


class PickledFields:
    """A dataclass that is pickled as its fields alone: what it has opened stays in the process."""

    def __getstate__(self) -> dict[str, Any]:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {field.name: getattr(self, field.name) for field in fields}
