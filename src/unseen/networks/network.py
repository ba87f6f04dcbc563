"""What a network is: named inputs, named outputs of any shape, parameters, and a function of them.

A `Network` is data and one function, its body. The body is written against `Operations`
(networks/operations.py), so every runtime can carry it out: numpy computes it, the ONNX and torch
runtimes record it once and run the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from unseen.networks.operations import Array, Operations

T = TypeVar("T")
Parameters = Mapping[str, Array]

EMBEDDING = "embedding"  # (n, dimension), the vector by which pictures and texts are compared
PROJECTED = "projected"  # (n, dimension), the embedding before it is brought to length 1
FEATURES = "features"  # (n, width), what the embedding is computed from


@dataclass(frozen=True)
class Input:
    """An input of a network: its dtype ("uint8", "int64", …), and its shape (None: any size)."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Output:
    """An output of a network, float32: its shape has None where any size goes.

    The first axis is always the batch, as in the inputs.
    """

    name: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Network(Generic[T]):
    """One network, ready for any runtime.

    Parameters
    ----------
    name : str
        "image" or "text"; compiled files have this name.
    inputs : tuple of Input
        What the body is given, in this order.
    outputs : tuple of Output
        What may be asked for. The first is the primary one, which callers get who ask for none.
    body : callable
        ``body(operations, parameters, requested, *tensors)`` returns a mapping from names of
        outputs to tensors. `requested` is the set of names that are needed; the body computes
        nothing that serves none of them.
    parameters : mapping of str to array
        The weights under the names that the body uses; a weight is read when it is looked up.
    """

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    body: Callable[..., Mapping[str, Any]] = field(repr=False)
    parameters: Parameters = field(repr=False, default_factory=dict)

    def select(self, names: Sequence[str] | None = None) -> tuple[Output, ...]:
        """The outputs of these names, in this order; the primary one for None.

        Raises
        ------
        ValueError
            For a name that the network does not have, for a repeated one, and for no names.
        """
        if names is None:
            return self.outputs[:1]
        known = {output.name: output for output in self.outputs}
        for name in names:
            if name not in known:
                raise ValueError(
                    f"the {self.name} network has no output {name!r}; choose from: "
                    f"{', '.join(known)}"
                )
        if not names or len(set(names)) < len(names):
            raise ValueError(f"outputs={list(names)}: give one name or several different ones")
        return tuple(known[name] for name in names)

    def apply(
        self, operations: Operations[T], *tensors: T, outputs: Sequence[str] | None = None
    ) -> dict[str, T]:
        """Carry the body out, or record it: the requested outputs by name, in that order.

        Parameters
        ----------
        operations : Operations
            A runtime's operations.
        *tensors
            The runtime's own tensors, one for each input.
        outputs : sequence of str, optional
            Names of outputs; the primary one by default.

        Returns
        -------
        dict of str to tensor
        """
        names = [output.name for output in self.select(outputs)]
        values = self.body(operations, self.parameters, frozenset(names), *tensors)
        return {name: values[name] for name in names}


def single_output(
    name: str,
    inputs: tuple[Input, ...],
    body: Callable[..., Any],
    shape: tuple[int | None, ...],
    *,
    output: str = EMBEDDING,
    parameters: Parameters | None = None,
) -> Network[Any]:
    """A network with one output. `body(operations, parameters, *tensors)` returns its tensor."""

    def mapping(
        ops: Operations[T], p: Parameters, requested: frozenset[str], *tensors: T
    ) -> dict[str, T]:
        return {output: body(ops, p, *tensors)}

    return Network(name, inputs, (Output(output, shape),), mapping, parameters or {})
