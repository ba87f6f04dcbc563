"""Records a network as a list of torch calls, once, and replays it on a GPU.

Imported only when a device other than the processor was asked for: importing torch takes seconds.
`TorchNetwork` runs a network's body once, with operations that note what is to be done; parameters
are read there, one at a time, and go to the device. Every call replays the notes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError
from unseen.networks.network import Network
from unseen.networks.operations import Array

try:
    import torch

    from unseen.runtimes.torch_operations import Step, TorchOperations, Value
except ImportError as error:
    raise ModelError(
        f'A GPU needs torch, which cannot be imported here ({error}): pip install "unseen[gpu]", '
        'or device="cpu", which needs none.'
    ) from error

R = TypeVar("R")

# What a device without memory left says, in whichever words: torch has no one class for it.
OUT_OF_MEMORY = ("out of memory", "not enough memory", "ALLOC_FAILED")

DEVICES = '"auto", "cpu", "cuda", "cuda:0" (any number), "mps"'


class OutOfMemory(Exception):  # noqa: N818 - an event that is handled, not an error to report
    """The device has too little memory for what was asked; what was cached there is freed."""


def device_for(device: str) -> str | None:
    """The torch device that is meant, checked; None for the processor, ONNX Runtime's.

    "auto" is the best GPU there is. Raises ModelError for a device that is not here.
    """
    kind, _, number = device.partition(":")
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else None
    if device == "cpu":
        return None
    if kind == "cuda" and (device == "cuda" or (number.isascii() and number.isdecimal())):
        _check_cuda(device, int(number or 0))
        return f"cuda:{int(number)}" if number else "cuda"  # torch refuses "cuda:01"
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise ModelError(
                'device="mps": torch finds no Apple GPU here (it needs an Apple chip, macOS 12.3 '
                'and a torch for it); use device="cpu".'
            )
        return device
    raise ModelError(f"unknown device {device!r}; choose one of: {DEVICES}")


def _check_cuda(device: str, number: int) -> None:
    if torch.version.cuda is None and torch.version.hip is None:
        raise ModelError(
            f"device={device!r}: the installed torch {torch.__version__} is built without CUDA; "
            'install one with it (https://pytorch.org/get-started/locally/), or use device="cpu".'
        )
    if not torch.cuda.is_available():
        raise ModelError(
            f"device={device!r}: torch finds no CUDA device here; see whether `nvidia-smi` lists "
            'one and whether its driver is new enough, or use device="cpu".'
        )
    count = torch.cuda.device_count()
    if number >= count:
        raise ModelError(
            f"device={device!r}: there is no such device, torch finds {count}, counted from 0; "
            f'use "cuda:{count - 1}" or a lower number.'
        )


def default_dtype(device: str) -> torch.dtype:
    """The fastest type that keeps the rankings: bfloat16 or float16 on a GPU, float32 elsewhere."""
    kind = torch.device(device).type
    if kind == "cuda":
        # Older cards than Ampere only emulate bfloat16, though torch says that they support it.
        modern = torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8
        return torch.bfloat16 if modern else torch.float16
    return torch.float16 if kind == "mps" else torch.float32


def half_precision(device: str) -> str | None:
    """The name of the 16-bit type that `default_dtype` takes; None where it takes float32."""
    names = {torch.bfloat16: "bf16", torch.float16: "fp16"}
    return names.get(default_dtype(device))


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def version() -> str:
    """The release of torch."""
    return str(torch.__version__)


def tensor(array: NDArray[Any]) -> torch.Tensor:
    """The same numbers as a tensor of the processor."""
    return torch.from_numpy(array)


class TorchNetwork:
    """A network on a device; may be called from several threads.

    A batch that the device has no memory for is run in parts, and so is every later one of its
    size.
    """

    def __init__(
        self,
        network: Network[Value],
        device: str,
        dtype: torch.dtype | None = None,
        outputs: Sequence[str] | None = None,
    ) -> None:
        """Record a network and put its parameters on a device.

        Parameters
        ----------
        network : Network
            What is recorded.
        device : str
            A torch device.
        dtype : torch.dtype, optional
            The type of parameters and values; `default_dtype` of the device by default.
        outputs : sequence of str, optional
            The outputs that are computed; the primary one by default.

        Raises
        ------
        ModelError
            If the device has too little memory for the parameters.
        """
        self._name = network.name
        self._device = torch.device(device)
        self._inputs = len(network.inputs)
        recorder = TorchOperations(
            self._device, default_dtype(device) if dtype is None else dtype, self._inputs
        )
        try:
            self._outputs: dict[str, Value] = self._guarded(
                lambda: network.apply(recorder, *range(self._inputs), outputs=outputs)
            )
        except OutOfMemory as error:
            raise ModelError(
                f"{device}: the weights of the {self._name} network do not fit into the memory "
                f'that is free there; use device="cpu". ({error})'
            ) from None
        self._empty = {  # what a batch of no items gives
            output.name: np.zeros([size or 0 for size in output.shape], np.float32)
            for output in network.select(outputs)
        }
        self._steps = recorder.steps
        self._last = _last_uses(self._steps, self._inputs, set(self._outputs.values()))
        # Threads may lower this at the same time; what is lost then costs one more attempt.
        self._most: int | None = None  # rows in a batch, once a larger one did not fit

    def __call__(self, *inputs: Array) -> NDArray[np.float32]:
        """Arrays in the order of the network's inputs → the first output, float32."""
        return next(iter(self.run(*inputs).values()))

    def run(self, *inputs: Array) -> dict[str, NDArray[np.float32]]:
        """Arrays in the order of the network's inputs → every output by name, float32."""
        if len(inputs) != self._inputs:
            raise ValueError(f"{len(inputs)} inputs to a network of {self._inputs}")
        count, start = len(inputs[0]), 0
        parts: list[dict[str, NDArray[np.float32]]] = []
        while start < count:
            size = min(count - start, self._most or count)
            batch = inputs  # in one go; those of a prefix tree differ in their first axis
            if size < count:
                batch = tuple(array[start : start + size] for array in inputs)
            try:
                parts.append(self._guarded(self._replay, *batch))
            except OutOfMemory as error:
                if size <= 1:
                    raise ModelError(
                        f"{self._device}: out of memory with a batch of one; this device is too "
                        f"small for the {self._name} network, or too full: use "
                        f'device="cpu". ({error})'
                    ) from None
                self._most = min(size // 2, self._most or count)
            else:
                start += size
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return self._empty
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    @torch.inference_mode()
    def _replay(self, *inputs: Array) -> dict[str, NDArray[np.float32]]:
        """One batch, in one go. A value is let go after the last step that reads it."""
        values: dict[Value, torch.Tensor] = {
            number: self._to_device(array) for number, array in enumerate(inputs)
        }
        for number, ((call, arguments), last) in enumerate(
            zip(self._steps, self._last, strict=True), self._inputs
        ):
            values[number] = call(*(values[i] for i in arguments))
            for i in last:
                del values[i]
        return {name: values[i].float().cpu().numpy() for name, i in self._outputs.items()}

    def _to_device(self, array: Array) -> torch.Tensor:
        host = torch.from_numpy(np.require(array, requirements=["C", "W"]))
        if self._device.type != "cuda":
            return host.to(self._device)
        return host.pin_memory().to(self._device, non_blocking=True)

    def _guarded(self, work: Callable[..., R], *arguments: Any) -> R:
        """`work(*arguments)`; OutOfMemory where that is what it dies of."""
        try:
            return work(*arguments)
        except RuntimeError as error:
            reason = str(error)
            if not any(sign in reason for sign in OUT_OF_MEMORY):
                raise
        # The error is gone here, and with its frames the tensors that they held.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        elif self._device.type == "mps":
            torch.mps.empty_cache()
        raise OutOfMemory(reason)


def _last_uses(steps: Sequence[Step], inputs: int, outputs: set[Value]) -> list[tuple[Value, ...]]:
    """For each step the values that nothing reads after it; the outputs are read at the end."""
    last: list[tuple[Value, ...]] = []
    needed = set(outputs)
    for index in range(len(steps) - 1, -1, -1):
        _, arguments = steps[index]
        result = inputs + index  # also let go at once when nothing reads it
        done = {*arguments, result} - needed
        needed |= done
        last.append(tuple(done))
    return last[::-1]
