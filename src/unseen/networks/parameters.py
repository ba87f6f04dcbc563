"""Which named parameters a network uses: what can be trained, and saved under its own name."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unseen.networks.network import Network, Parameters
from unseen.networks.operations import Array, as_float32


class NamedParameters(Mapping[str, Array]):
    """Parameters that remember which array was read under which name.

    Each is given as contiguous float32, so that an operation receives the very array that was read
    here. What is computed from one (a folded normalisation, a slice) is another array, and has no
    name. Arrays are not kept alive.

    Parameters
    ----------
    parameters : mapping of str to array
        Those of a network, `Network.parameters`.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._read: dict[int, tuple[weakref.ref[Array], str]] = {}

    def __getitem__(self, name: str) -> Array:
        array = as_float32(self._parameters[name])
        self._read[id(array)] = weakref.ref(array), name
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __contains__(self, name: object) -> bool:  # without reading it, as the default does
        return name in self._parameters

    def name_of(self, array: Array) -> str | None:
        """The name under which this array was read; None for any other array."""
        reference, name = self._read.get(id(array), (None, None))
        # An id is used again once its array is gone: the reference tells.
        return name if reference is not None and reference() is array else None


def used_parameters(
    network: Network[Any], outputs: Sequence[str] | None = None
) -> dict[str, tuple[int, ...]]:
    """The parameters that reach an operation as they are, in the order of their first use.

    Nothing is computed; parameters are read one at a time. Those that a network folds into others
    before it uses them, as the image towers do with the normalisation of pixels, are not among
    them.

    Parameters
    ----------
    network : Network
        Any network.
    outputs : sequence of str, optional
        The requested outputs; the primary one by default.

    Returns
    -------
    dict of str to tuple of int
        Their names, as the network calls them, and their shapes. `stored_names` of
        models/weights/names.py says what a checkpoint calls them.

    Examples
    --------
    >>> import numpy as np
    >>> from unseen.networks.network import Input; from unseen.networks.network import single_output
    >>> def body(ops, p, ids):
    ...     return ops.linear(ops.embedding(p["tokens"], ids), p["weight"] * 2)
    >>> parameters = {"tokens": np.ones((9, 4)), "weight": np.ones((3, 4))}
    >>> ids = Input("ids", "int64", (None,))
    >>> used_parameters(single_output("text", (ids,), body, (None, 3), parameters=parameters))
    {'tokens': (9, 4)}
    """
    named = NamedParameters(network.parameters)
    listener = _Listener(named)
    operations: Any = listener  # it has every operation, and computes none
    replace(network, parameters=named).apply(operations, *network.inputs, outputs=outputs)
    return listener.shapes


class _Listener:
    """Operations that compute nothing and note which parameters they are given."""

    def __init__(self, named: NamedParameters) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._named = named

    def __getattr__(self, operation: str) -> Callable[..., object]:
        def note(*arguments: Any, **options: Any) -> object:
            for argument in (*arguments, *options.values()):
                name = self._named.name_of(argument) if isinstance(argument, np.ndarray) else None
                if name is not None:
                    self.shapes.setdefault(name, argument.shape)
            return self

        return note
