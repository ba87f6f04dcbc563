"""Our names of parameters → what a checkpoint stores, as data: a name, or a rule that computes.

A rule is a small frozen object, so that a tower can be written to JSON and read back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unseen.models.serialization import tagged, untagged
from unseen.networks.network import Network
from unseen.networks.parameters import used_parameters

Array = NDArray[Any]


class Rule(Protocol):
    """How one parameter is computed from what is stored."""

    def __call__(self, weights: Mapping[str, Array]) -> Array: ...


Names = Mapping[str, str | Rule]  # our name → the stored name of an equal array, or a rule


class Renamed(Mapping[str, Array]):
    """Weights under our names; an array is read, or computed, when it is asked for."""

    def __init__(self, weights: Mapping[str, Array], names: Names) -> None:
        self._weights = weights
        self._names = names

    def __getitem__(self, name: str) -> Array:
        rule = self._names[name]
        return self._weights[rule] if isinstance(rule, str) else rule(self._weights)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:  # without reading it, as the default does
        return name in self._names

    def stored_name(self, name: str) -> str | None:
        """What the checkpoint calls the weight `name`; None if it is not stored as it is."""
        rule = self._names[name]
        return rule if isinstance(rule, str) else None

    def rule(self, name: str) -> str | Rule:
        """The stored name of the weight `name`, or the rule that computes it."""
        return self._names[name]

    @property
    def stored(self) -> Mapping[str, Array]:
        """The weights as the checkpoint has them."""
        return self._weights


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


@dataclass(frozen=True)
class Dequantised:
    """A weight as float32: float16 is widened, the rows of int8 are multiplied by `scale`."""

    name: str
    scale: str | None = None

    def __call__(self, weights: Mapping[str, Array]) -> NDArray[np.float32]:
        array = weights[self.name].astype(np.float32)
        if self.scale is not None:
            array *= weights[self.scale].astype(np.float32)[:, None]
        return array


@cache
def _rules() -> dict[str, type[Any]]:
    """Kind → class, of every rule."""
    from unseen.models.weights import convolutions, rules  # noqa: PLC0415 - few models are written

    return {
        "part": rules.Part,
        "rotary_rows": rules.RotaryRows,
        "transposed": rules.Transposed,
        "times": rules.Times,
        "sinusoids": rules.Sinusoids,
        "last_axes": rules.LastAxes,
        "positions_of_patches": rules.PositionsOfPatches,
        "stretched_positions": rules.StretchedPositions,
        "folded_batch_norm": rules.FoldedBatchNorm,
        "dequantised": Dequantised,
        "scaled": rules.Scaled,
        "branches": convolutions.Branches,
        "mixer": convolutions.Mixer,
        "normed_input": convolutions.NormedInput,
        "plus_input": convolutions.PlusInput,
    }


def names_to_plain(names: Names) -> dict[str, Any]:
    """As JSON has it: a string, or an object with the rule's kind and its fields."""
    return {
        ours: rule if isinstance(rule, str) else tagged(rule, _rules())
        for ours, rule in names.items()
    }


def names_from_plain(plain: Mapping[str, Any], where: str) -> dict[str, str | Rule]:
    """What `names_to_plain` gave. Raises ModelError for anything else."""
    return {
        ours: rule if isinstance(rule, str) else untagged(rule, _rules(), f"{where}.{ours}")
        for ours, rule in plain.items()
    }
