"""Changes of a network's parameters → changes of what a checkpoint stores, under its own names.

Training changes parameters under our names; a folder that others read has theirs. Every rule here
is linear in what it is given, so that a change of nothing is a change of nothing: weights that were
not trained stay the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unseen.models.weights.files import Weights
from unseen.models.weights.names import Array, Renamed
from unseen.models.weights.rules import (
    FoldedBatchNorm,
    LastAxes,
    Part,
    RotaryRows,
    Scaled,
    Times,
    Transposed,
)
from unseen.models.weights.safetensors_file import narrow, widen
from unseen.networks.network import Network
from unseen.networks.parameters import used_parameters
from unseen.networks.resnet import fold_batch_norm

Changes: TypeAlias = "dict[str, NDArray[np.float32]]"
# A rule, the change of what it gives, and the weights that it reads → the weight that is changed,
# and by what.
Back = Callable[[Any, Array, Mapping[str, Array]], tuple[str, Array]]


def _part(rule: Part, change: Array, weights: Mapping[str, Array]) -> tuple[str, Array]:
    whole = np.zeros(weights[rule.name].shape, np.float32)
    np.split(whole, rule.of)[rule.index][...] = change
    return rule.name, whole


def _rotary(rule: RotaryRows, change: Array, weights: Mapping[str, Array]) -> tuple[str, Array]:
    halves = change.reshape(rule.heads, 2, -1, *change.shape[1:])
    rows = np.moveaxis(halves, 1, 2).reshape(change.shape)
    return _part(Part(rule.name, rule.index, rule.of), rows, weights)


def _transposed(rule: Transposed, change: Array, weights: Mapping[str, Array]) -> tuple[str, Array]:
    return rule.name, change.T


def _reshaped(rule: LastAxes, change: Array, weights: Mapping[str, Array]) -> tuple[str, Array]:
    return rule.name, change.reshape(weights[rule.name].shape)


def _times(rule: Times, change: Array, weights: Mapping[str, Array]) -> tuple[str, Array]:
    return rule.name, change / np.float32(rule.factor)


def _scaled(rule: Scaled, change: Array, weights: Mapping[str, Array]) -> tuple[str, Array]:
    scale = weights[rule.scale].astype(np.float32).reshape(-1, *[1] * (change.ndim - 1))
    return rule.name, np.divide(change, scale, out=np.zeros_like(change), where=scale != 0)


def _batch_norm(
    rule: FoldedBatchNorm, change: Array, weights: Mapping[str, Array]
) -> tuple[str, Array]:
    """Its statistics and scale stay: the kernel takes the change, the shift that of the bias."""
    if rule.parameter == "bias":
        return f"{rule.norm}.bias", change
    statistics = ("weight", "bias", "running_mean", "running_var")
    stored = [weights[f"{rule.norm}.{name}"] for name in statistics]
    ones = np.ones((len(change), 1, 1, 1), np.float32)
    factor, _ = fold_batch_norm(ones, *stored, epsilon=rule.epsilon)
    kernel = np.divide(change, factor, out=np.zeros_like(change), where=factor != 0)
    return f"{rule.conv}.weight", kernel


BACK: dict[type[Any], Back] = {
    Part: _part,
    RotaryRows: _rotary,
    Transposed: _transposed,
    LastAxes: _reshaped,
    Times: _times,
    Scaled: _scaled,
    FoldedBatchNorm: _batch_norm,
}


def trainable(network: Network[Any]) -> dict[str, tuple[int, ...]]:
    """The parameters that can be trained and saved under the checkpoint's own names.

    Parameters
    ----------
    network : Network
        A network whose parameters are `Renamed` weights.

    Returns
    -------
    dict of str to tuple of int
        The network's name of each, and its shape, in the order of their first use. Those that are
        folded into others or stretched before they are used are not among them.
    """
    renamed = network.parameters
    if not isinstance(renamed, Renamed):
        return {}
    return {
        name: shape
        for name, shape in used_parameters(network).items()
        if isinstance(renamed.rule(name), str) or type(renamed.rule(name)) in BACK
    }


def stored_changes(network: Network[Any], changes: Mapping[str, Array]) -> Changes:
    """Changes under the network's names → under the checkpoint's.

    Parameters
    ----------
    network : Network
        A network whose parameters are `Renamed` weights.
    changes : mapping of str to float array
        By the names of `trainable`: what training added to each.

    Returns
    -------
    dict of str to float32 array
        What is to be added to each stored weight, in its own shape.
    """
    renamed = network.parameters
    if not isinstance(renamed, Renamed):
        raise TypeError("the parameters of this network have no names in a checkpoint.")
    whole: Changes = {}
    for name, change in changes.items():
        rule, change = renamed.rule(name), np.asarray(change, dtype=np.float32)
        stored, part = name, change
        if isinstance(rule, str):
            stored, part = rule, change.reshape(renamed.stored[rule].shape)
        else:
            stored, part = BACK[type(rule)](rule, change, renamed.stored)
        part = np.ascontiguousarray(part, dtype=np.float32)
        whole[stored] = whole[stored] + part if stored in whole else part
    return whole


class Changed(Mapping[str, Array]):
    """Weights of a checkpoint with changes added, each in the type that it is stored in."""

    def __init__(self, weights: Weights, changes: Mapping[str, Array], share: float = 1.0) -> None:
        """`share`: how much of each change is added (Wortsman et al. 2022, arXiv:2109.01903)."""
        self._weights = weights
        self._changes = changes
        self._share = np.float32(share)
        self.bfloat16 = weights.bfloat16

    def __getitem__(self, name: str) -> Array:
        array = self._weights[name]
        if name not in self._changes or not self._share:
            return array
        changed: Array = array.astype(np.float32) + self._share * self._changes[name]
        if name in self.bfloat16:  # numpy has none: rounded as it is written, and widened again
            return widen(narrow(changed))
        return changed.astype(array.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __contains__(self, name: object) -> bool:  # without reading it, as the default does
        return name in self._weights
