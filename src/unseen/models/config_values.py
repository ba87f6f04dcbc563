"""JSON files of a stranger's checkpoint → values of the types and ranges that a reader expects."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.errors import ModelError
from unseen.system.regular_file import read_text

# Bytes of a config. Those that were published have less than 100 kB.
LARGEST_CONFIG = 1 << 22


@dataclass(frozen=True)
class Kind:
    """What a value may be: in words, and as a test that takes any value."""

    allowed: str
    holds: Callable[[Any], bool]


def whole(low: int, high: int) -> Kind:
    """A whole number; true and false are none."""
    return Kind(
        f"a whole number from {low} to {high}", lambda v: type(v) is int and low <= v <= high
    )


def number(low: float, high: float) -> Kind:
    """A number; no comparison holds for NaN."""
    return Kind(
        f"a number from {low:g} to {high:g}",
        lambda v: type(v) in (int, float) and low <= v <= high,
    )


def several(count: int | tuple[int, int], kind: Kind) -> Kind:
    """A list of `count` values, or of a number of them from … to …, all of one kind."""
    low, high = (count, count) if isinstance(count, int) else count
    many = str(low) if low == high else f"{low} to {high}"
    return Kind(
        f"a list of {many} values, each {kind.allowed}",
        lambda v: (
            isinstance(v, (list, tuple)) and low <= len(v) <= high and all(map(kind.holds, v))
        ),
    )


def either(*kinds: Kind) -> Kind:
    """A value of any of these kinds."""
    return Kind(
        " or ".join(kind.allowed for kind in kinds), lambda v: any(k.holds(v) for k in kinds)
    )


def optional(kind: Kind) -> Kind:
    """A value of this kind, or null."""
    return Kind(f"{kind.allowed} or null", lambda v: v is None or kind.holds(v))


FLAG = Kind("true or false", lambda v: isinstance(v, bool))
TEXT = Kind("a text of at most 1,000 characters", lambda v: isinstance(v, str) and len(v) <= 1000)
OBJECT = Kind("an object", lambda v: isinstance(v, Mapping))
# What several families have, with room above the largest that were published.
SIDE = whole(1, 4096)  # of a picture or a patch, in pixels
WIDTH = whole(1, 65_536)
LAYERS = whole(1, 1000)
TOKENS = whole(1, 65_536)  # of a text
TOKEN_ID = whole(0, 9_999_999)


def checked(values: Any, kinds: Mapping[str, Kind], where: str) -> dict[str, Any]:
    """The values of `kinds`' keys, each of its kind; other keys are left out.

    Parameters
    ----------
    values : mapping
        As a JSON file has them; defaults are in it already.
    kinds : mapping of str to Kind
        What each key may say.
    where : str
        The file, and the place in it, for errors.

    Returns
    -------
    dict

    Raises
    ------
    ModelError
        When `values` is no object, lacks a key, or has a value that is not allowed; it says where,
        what was given and what is allowed.
    """
    if not isinstance(values, Mapping):
        raise ModelError(f"{where} is {shown(values)}; allowed is {OBJECT.allowed}.")
    for key, kind in kinds.items():
        if key not in values:
            raise ModelError(f"{where} has no {key}; allowed is {kind.allowed}.")
        if not kind.holds(values[key]):
            raise ModelError(f"{where}: {key} is {shown(values[key])}; allowed is {kind.allowed}.")
    return {key: values[key] for key in kinds}


def value(values: Mapping[str, Any], key: str, default: Any, kind: Kind, where: str) -> Any:
    """One value, or the default where the key is missing. Raises ModelError as `checked`."""
    return checked({key: values.get(key, default)}, {key: kind}, where)[key]


def one_of(names: Iterable[str]) -> Kind:
    """One of a few texts."""
    known = tuple(names)
    return Kind(
        f"one of {', '.join(map(repr, known))}", lambda v: isinstance(v, str) and v in known
    )


def shown(value: Any) -> str:
    """A value of any size and depth, on one short line."""
    return reprlib.repr(value)


def read_json(path: Path, largest: int = LARGEST_CONFIG) -> Any:
    """What a JSON file holds. ModelError where it is too large, too deep or not JSON.

    FileNotFoundError is left to the caller, who knows what the file is for.
    """
    try:
        size = path.stat().st_size
        if size > largest:
            raise ModelError(f"{path}: it has {size} bytes; at most {largest} are read.")
        return json.loads(read_text(path))
    except FileNotFoundError:
        raise
    except RecursionError:
        raise ModelError(f"{path}: this JSON is nested too deeply.") from None
    except (OSError, ValueError) as error:  # an integer of 5,000 digits is a ValueError, too
        raise ModelError(f"{path}: this is not readable JSON: {error}.") from None
