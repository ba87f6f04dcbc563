"""Networks some of whose parameters are trained: the same functions, recorded with torch's leaves.

A network is recorded once (`torch_operations`), and its steps fall into two parts: those that no
trained parameter has a say in, whose values of a picture are always the same and may be kept, and
those after them, which are replayed with gradients.

LoRA (Hu et al. 2021, arXiv:2106.09685): of a matrix W that stays only B·A is trained, of low rank.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everyone writes it
from numpy.typing import NDArray

from unseen.networks.network import Network
from unseen.networks.operations import Array
from unseen.networks.parameters import NamedParameters
from unseen.runtimes.torch_operations import Call, TorchOperations, Value

# Of the operations that change a value in place, which gradients cannot follow.
_ACTIVATIONS: dict[str, Call] = {"quick_gelu": lambda x: x * torch.sigmoid(1.702 * x)}
DOWN, UP = "lora_a", "lora_b"
HALF_LARGEST = 65504.0  # of float16


class TrainingOperations(TorchOperations):
    """As `TorchOperations`; the parameters of `names` are leaves that gradients reach.

    `trained`: the values that depend on one of them.
    """

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype,
        inputs: int,
        named: NamedParameters,
        names: Collection[str],
        low_rank: LowRank | None = None,
    ) -> None:
        super().__init__(device, dtype, inputs)
        self.leaves: dict[str, torch.Tensor] = {}
        self.trained: set[Value] = set()
        self._named = named
        self._names = frozenset(names)
        self._low_rank = low_rank
        self._touched = False

    def _step(self, call: Call, *arguments: Value) -> Value:
        value = super()._step(call, *arguments)
        if self._touched or any(argument in self.trained for argument in arguments):
            self.trained.add(value)
        self._touched = False
        return value

    def _trained_name(self, array: Array) -> str | None:
        name = self._named.name_of(array)
        return name if name in self._names else None

    def _leaf(self, name: str, array: Array) -> torch.Tensor:
        self._touched = True
        if name not in self.leaves:
            host = torch.from_numpy(np.array(array, order="C"))
            self.leaves[name] = host.to(self._device, self._dtype).requires_grad_()
        return self.leaves[name]

    def _parameter(self, array: Array) -> torch.Tensor:
        name = self._trained_name(array)
        if name is None or self._low_rank is not None:
            return super()._parameter(array)
        return self._leaf(name, array)

    def constant(self, value: Array) -> Value:
        name = self._trained_name(value)
        if name is None or self._low_rank is not None:
            return super().constant(value)
        leaf = self._leaf(name, value)
        return self._step(lambda: leaf)

    def linear(self, x: Value, weight: Array, bias: Array | None = None) -> Value:
        name = self._trained_name(weight)
        if name is None or self._low_rank is None:
            return super().linear(x, weight, bias)
        fixed = super()._parameter(weight)
        offset = None if bias is None else super()._parameter(bias)
        down, up = (
            self._leaf(f"{name}.{kind}", array)
            for kind, array in self._low_rank.start(name, weight.shape).items()
        )
        return self._step(lambda x: F.linear(x.to(fixed.dtype), fixed + up @ down, offset), x)

    def _patches(self, x: Value, weight: Array, bias: Array | None) -> Value:
        if self._trained_name(weight) is None or self._low_rank is not None:
            return super()._patches(x, weight, bias)
        kernel, size = self._parameter(weight), weight.shape[2]
        offset = None if bias is None else self._parameter(bias)
        return self._step(lambda x: F.conv2d(x.to(kernel.dtype), kernel, offset, size), x)

    def activation(self, x: Value, name: str) -> Value:
        call = _ACTIVATIONS.get(name)
        return super().activation(x, name) if call is None else self._step(call, x)


class LowRank:
    """What LoRA starts from: A at random, B of zeros, so that the first step changes nothing."""

    def __init__(self, rank: int, seed: int) -> None:
        self.rank = rank
        self._seed = seed

    def start(self, name: str, shape: tuple[int, ...]) -> dict[str, Array]:
        """A (rank, in) and B (out, rank) of a matrix (out, in)."""
        rng = np.random.default_rng((self._seed, zlib.crc32(name.encode())))
        bound = 1 / np.sqrt(shape[1])  # as torch starts a linear layer
        down = rng.uniform(-bound, bound, (self.rank, shape[1]))
        return {DOWN: down.astype(np.float32), UP: np.zeros((shape[0], self.rank), np.float32)}


class TrainableNetwork:
    """A network on a device whose parameters of some names are trained.

    Parameters
    ----------
    network : Network
        With its parameters as they are now.
    device : str
        A torch device.
    names : collection of str
        Which parameters: some that reach an operation as they are (`used_parameters`).
    rank : int, optional
        Of LoRA, for which each name is that of a linear layer's matrix. None: the parameters
        themselves are trained.
    seed : int
        Of what LoRA starts from.
    dtype : torch.dtype
        Of the parameters.
    autocast : torch.dtype, optional
        Of the products, where they are computed in 16 bits.
    output : str, optional
        Which output; the primary one by default.
    """

    def __init__(
        self,
        network: Network[Any],
        device: str,
        names: Collection[str],
        *,
        rank: int | None = None,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        autocast: torch.dtype | None = None,
        output: str | None = None,
    ) -> None:
        self.device = torch.device(device)
        self._dtype = dtype
        self._autocast = autocast
        self._inputs = len(network.inputs)
        self._rank = rank
        named = NamedParameters(network.parameters)
        operations = TrainingOperations(
            self.device,
            dtype,
            self._inputs,
            named,
            names,
            None if rank is None else LowRank(rank, seed),
        )
        outputs = None if output is None else [output]
        (self._result,) = (
            replace(network, parameters=named)
            .apply(operations, *range(self._inputs), outputs=outputs)
            .values()
        )
        self.leaves = operations.leaves
        self._start = {name: leaf.detach().clone() for name, leaf in self.leaves.items()}
        self._plan(operations)

    def _plan(self, operations: TrainingOperations) -> None:
        """Which steps come before the trained ones, and which values these take from them."""
        steps = list(enumerate(operations.steps, self._inputs))
        trained = operations.trained
        if self._result not in trained:
            raise ValueError("no trained parameter has a say in this output of the network")
        self._upper = [(number, step) for number, step in steps if number in trained]
        taken = {a for _, (_, arguments) in self._upper for a in arguments} - trained
        of_input = set(range(self._inputs))
        for number, (_, arguments) in steps:
            if any(argument in of_input for argument in arguments):
                of_input.add(number)
        self._cut = sorted(taken & of_input)  # one row for each item of a batch
        fixed = sorted(taken - of_input)
        needed = {*self._cut, *fixed}
        for number, (_, arguments) in reversed(steps):
            if number in needed and number not in trained:
                needed.update(arguments)
        self._lower = [(n, s) for n, s in steps if n in needed and n not in trained]
        self._fixed: dict[Value, torch.Tensor] = {}
        if fixed:
            values: dict[Value, torch.Tensor] = {}
            for number, (call, arguments) in self._lower:
                if number not in of_input:
                    values[number] = call(*(values[a] for a in arguments))
            self._fixed = {number: values[number] for number in fixed}

    @property
    def trained_values(self) -> int:
        """How many numbers are trained."""
        return sum(leaf.numel() for leaf in self.leaves.values())

    @torch.no_grad()
    def lower(self, *inputs: Array) -> tuple[Array, ...]:
        """What the steps before the trained ones give for a batch; floats in 16 bits."""
        values: dict[Value, torch.Tensor] = dict(enumerate(map(self._tensor, inputs)))
        with self._mixed():
            for number, (call, arguments) in self._lower:
                values[number] = call(*(values[a] for a in arguments))
        return tuple(_half(values[number]) for number in self._cut)

    def upper(self, *values: torch.Tensor) -> torch.Tensor:
        """What `lower` gave → the output of the network, with gradients."""
        known = self._fixed | dict(zip(self._cut, values, strict=True))
        with self._mixed():
            for number, (call, arguments) in self._upper:
                known[number] = call(*(known[a] for a in arguments))
        result: torch.Tensor = known[self._result]
        return result

    def tensors(self, values: Sequence[Array]) -> list[torch.Tensor]:
        """Rows of what `lower` gave, on the device."""
        return [self._tensor(array) for array in values]

    def whole(self, *inputs: Array) -> torch.Tensor:
        """A batch through the whole network, nothing kept and nothing rounded."""
        known: dict[Value, torch.Tensor] = dict(enumerate(map(self._tensor, inputs))) | self._fixed
        with self._mixed():
            for number, (call, arguments) in (*self._lower, *self._upper):
                if number not in known:
                    known[number] = call(*(known[a] for a in arguments))
        result: torch.Tensor = known[self._result]
        return result

    @torch.no_grad()
    def embed(self, *inputs: Array) -> NDArray[np.float32]:
        """A batch through the net as it is now, in float32."""
        rows: NDArray[np.float32] = self.whole(*inputs).float().cpu().numpy()
        return rows

    @torch.no_grad()
    def changes(self) -> dict[str, NDArray[np.float32]]:
        """What training has added to each parameter."""
        if self._rank is None:
            return {
                name: (leaf - self._start[name]).float().cpu().numpy()
                for name, leaf in self.leaves.items()
            }
        names = {name.rpartition(".")[0] for name in self.leaves}
        return {
            name: (self.leaves[f"{name}.{UP}"] @ self.leaves[f"{name}.{DOWN}"]).cpu().numpy()
            for name in sorted(names)
        }

    def _mixed(self) -> AbstractContextManager[Any]:
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, self._autocast)

    def _tensor(self, array: Array) -> torch.Tensor:
        host = torch.from_numpy(np.require(array, requirements=["C", "W"]))
        tensor = host.to(self.device)
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor


def _half(value: torch.Tensor) -> Array:
    """On the processor: floats as float16, which holds no more than `HALF_LARGEST`."""
    if value.is_floating_point():
        value = value.clamp(-HALF_LARGEST, HALF_LARGEST).half()
    array: Array = value.cpu().numpy()
    return array
