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
from unseen.networks.layers import BATCH_NORM_EPSILON
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
class Part:
    """Part `index` of a weight that is stored as one with others, along its first axis."""

    name: str
    index: int
    of: int

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        part: Array = np.split(weights[self.name], self.of)[self.index]
        return part


@dataclass(frozen=True)
class RotaryRows:
    """As `Part`, the rows of each head in another order: the first of each pair, then the second.

    So that `networks.transformer` turns halves of a head where the checkpoint turns neighbours.
    """

    name: str
    heads: int
    index: int = 0
    of: int = 1

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        part = np.split(weights[self.name], self.of)[self.index]
        pairs = part.reshape(self.heads, -1, 2, *part.shape[1:])
        rows: Array = np.moveaxis(pairs, 2, 1).reshape(part.shape)
        return rows


@dataclass(frozen=True)
class Transposed:
    """A projection that is stored (in, out)."""

    name: str

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        transpose: Array = weights[self.name].T
        return transpose


@dataclass(frozen=True)
class Times:
    """A weight times a number."""

    name: str
    factor: float

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        product: Array = weights[self.name] * np.float32(self.factor)
        return product


@dataclass(frozen=True)
class Sinusoids:
    """Positions that no checkpoint stores: all sines, then all cosines, of `width` / 2 frequencies
    from 1 down to 1 / 10,000 (Vaswani et al. 2017, as tensor2tensor has them)."""

    length: int
    width: int

    def __call__(self, weights: Mapping[str, Array]) -> NDArray[np.float32]:
        half = self.width // 2
        frequencies = np.exp(-np.log(1e4) * np.arange(half) / max(half - 1, 1))
        angles = np.outer(np.arange(self.length), frequencies)
        table = np.zeros((self.length, self.width), dtype=np.float32)  # an odd last one stays 0
        table[:, :half], table[:, half : 2 * half] = np.sin(angles), np.cos(angles)
        return table


@dataclass(frozen=True)
class LastAxes:
    """The last `ndim` axes of a weight whose other axes have the length 1."""

    name: str
    ndim: int

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        array = weights[self.name]
        return array.reshape(array.shape[-self.ndim :])


@dataclass(frozen=True)
class PositionsOfPatches:
    """Positions of patches alone, (1, n, width) → (1 + n, width): that of the class token is 0."""

    name: str

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        (patches,) = weights[self.name]
        return np.concatenate([np.zeros_like(patches[:1]), patches])


@dataclass(frozen=True)
class StretchedPositions:
    """Positions of a class token and a grid (height, width), for a grid of another size."""

    name: str
    grid: tuple[int, int]
    new_grid: tuple[int, int]

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        from unseen.networks.vit import stretch_positions  # noqa: PLC0415 - few models have a ViT

        return stretch_positions(weights[self.name], self.grid, self.new_grid)


@dataclass(frozen=True)
class FoldedBatchNorm:
    """The "weight" or the "bias" of a convolution without bias and the batch norm after it."""

    conv: str
    norm: str
    parameter: str
    epsilon: float

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        from unseen.networks.resnet import fold_batch_norm  # noqa: PLC0415 - few models need it

        statistics = ("weight", "bias", "running_mean", "running_var")
        stored = (weights[f"{self.norm}.{name}"] for name in statistics)
        weight, bias = fold_batch_norm(
            weights[f"{self.conv}.weight"], *stored, epsilon=self.epsilon
        )
        return weight if self.parameter == "weight" else bias


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


@dataclass(frozen=True)
class Scaled:
    """The weight or bias of a layer whose outputs are then multiplied by `scale`, one each."""

    name: str
    scale: str

    def __call__(self, weights: Mapping[str, Array]) -> NDArray[np.float32]:
        array, scale = weights[self.name], weights[self.scale].astype(np.float32)
        scaled: NDArray[np.float32] = array * scale.reshape(-1, *[1] * (array.ndim - 1))
        return scaled


@cache
def _rules() -> dict[str, type[Any]]:
    """Kind → class, of every rule."""
    from unseen.models.weights import convolutions  # noqa: PLC0415 - few models are written

    return {
        "part": Part,
        "rotary_rows": RotaryRows,
        "transposed": Transposed,
        "times": Times,
        "sinusoids": Sinusoids,
        "last_axes": LastAxes,
        "positions_of_patches": PositionsOfPatches,
        "stretched_positions": StretchedPositions,
        "folded_batch_norm": FoldedBatchNorm,
        "dequantised": Dequantised,
        "scaled": Scaled,
        "branches": convolutions.Branches,
        "mixer": convolutions.Mixer,
        "normed_input": convolutions.NormedInput,
        "plus_input": convolutions.PlusInput,
    }


def folded(
    ours: str, conv: str, norm: str, epsilon: float = BATCH_NORM_EPSILON
) -> dict[str, str | Rule]:
    """`ours`.weight and .bias, made of a convolution and its batch norm."""
    return {
        f"{ours}.{kind}": FoldedBatchNorm(conv, norm, kind, epsilon) for kind in ("weight", "bias")
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
