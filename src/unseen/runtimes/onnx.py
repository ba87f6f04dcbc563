"""Compiles a network into ONNX files, once, and runs it with ONNX Runtime: the default runtime.

`compile_network` writes two files: `NAME.onnx`, the graph, and `NAME.bin`, its large parameters,
which ONNX Runtime maps into memory instead of copying.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError
from unseen.networks.network import Input, Network, single_output
from unseen.networks.operations import Array
from unseen.runtimes.graph import CompiledOperations, OnnxOperations, Value, build
from unseen.system.cpu import restricted

if TYPE_CHECKING:
    import onnxruntime

# What ONNX Runtime says when a batch is too large for the memory that is left.
OUT_OF_MEMORY = ("Failed to allocate memory", "out of memory", "bad allocation")


def compile_network(
    network: Network[Value],
    folder: Path,
    recorder: Callable[[IO[bytes]], CompiledOperations] = CompiledOperations,
    outputs: Sequence[str] | None = None,
) -> Path:
    """Write `network` into `folder`.

    Parameters
    ----------
    network : Network
        What is compiled.
    folder : Path
        Where the two files go.
    recorder : callable
        Called with the open file of parameters; says in which precision they are written.
    outputs : sequence of str, optional
        The outputs that are compiled, in this order; the primary one by default.

    Returns
    -------
    Path
        The .onnx file.
    """
    path = folder / f"{network.name}.onnx"
    with path.with_suffix(".bin").open("wb") as parameters:
        model = build(network, recorder(parameters), outputs)
    path.write_bytes(model.SerializeToString())
    return path


class OnnxNetwork:
    """A compiled network in an ONNX Runtime session; may be called from several threads."""

    def __init__(
        self,
        path: Path,
        *,
        outputs: Sequence[str] | None = None,
        provider: str = "CPUExecutionProvider",
        number: int = 0,
        threads: int | None = None,
        prepacked: bool = True,
        optimised: bool = True,
        arena: bool = True,
    ) -> None:
        """Load a compiled network.

        Parameters
        ----------
        path : Path
            The .onnx file.
        outputs : sequence of str, optional
            The names of its outputs, in the order in which they were compiled; by default those
            in the file.
        provider : str
            The execution provider; what it cannot compute, the CPU does.
        number : int
            Which of the provider's devices.
        threads : int, optional
            How many threads a call uses on a CPU; by default one a core, or as many as this
            process may use.
        prepacked : bool
            Whether weights are rearranged now, for the processor, in memory of their own. Else each
            run does it as it goes, from the mapped file: of a B/32 in fp32 the first picture then
            takes 0.07 s more, after 0.35 s less. The last bit of a number may differ.
        optimised : bool
            Whether ONNX Runtime may rewrite the graph. Of a B/32 that takes 0.03 s, and saves less
            of one picture; of a net of convolutions 0.02 s, and halves its time.

        arena : bool
            Whether ONNX Runtime keeps the memory of a run for the next. Shared by several threads
            whose inputs all differ in their shapes, what it keeps is spread so far that the caches
            miss it: of prompts in int8 two threads then gave 880 to 920 a second, and 1,150 to
            1,370 without.

        Raises
        ------
        ModelError
            If ONNX Runtime cannot load the file.
        """
        library = _library()
        options = library.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or restricted() or 0
        # Spinning threads would take the cores from the threads that decode pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # It plans one block for all of a run, anew for each shape: batches of many sizes then need
        # a third more memory (660 MB for 490, after 400 requests), and are 2 to 4 % faster.
        options.enable_mem_pattern = False
        options.enable_cpu_mem_arena = arena
        if not prepacked:
            options.add_session_config_entry("session.disable_prepacking", "1")
        if not optimised:
            options.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
        providers: list[Any] = ["CPUExecutionProvider"]
        if provider != providers[0]:
            settings = {"device_id": str(number)} if number else {}
            providers.insert(0, (provider, settings))
        try:
            self._session: onnxruntime.InferenceSession = library.InferenceSession(
                str(path), options, providers=providers
            )
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise ModelError(
                f"{path}: ONNX Runtime cannot load this compiled network: {error}"
            ) from None
        self._inputs = [i.name for i in self._session.get_inputs()]
        self._outputs = outputs or [o.name for o in self._session.get_outputs()]

    def __call__(self, *inputs: Array) -> NDArray[np.float32]:
        """Arrays in the order of the network's inputs → the first output, float32."""
        return next(iter(self.run(*inputs).values()))

    def run(self, *inputs: Array) -> dict[str, NDArray[np.float32]]:
        """Arrays in the order of the network's inputs → every output by name, float32."""
        feed = dict(zip(self._inputs, inputs, strict=True))
        try:
            values = self._session.run(None, feed)
        except Exception as error:  # ONNX Runtime's own errors share no base class
            half = len(inputs[0]) // 2
            if half == 0 or not any(sign in str(error) for sign in OUT_OF_MEMORY):
                raise ModelError(f"ONNX Runtime cannot run this network: {error}") from None
            first = self.run(*(i[:half] for i in inputs))
            second = self.run(*(i[half:] for i in inputs))
            return {name: np.concatenate([first[name], second[name]]) for name in first}
        return dict(zip(self._outputs, values, strict=True))


HALF_PRODUCTS = "half_products.onnx"


def write_half_products(folder: Path) -> None:
    """Write the graph of `HalfProducts` into `folder`."""

    def body(ops: OnnxOperations, _: object, rows: Value, queries: Value) -> Value:
        return ops.matmul(ops.emit("Cast", rows, to=1), queries)

    inputs = (Input("rows", "float16", (None, None)), Input("queries", "float32", (None, None)))
    name = HALF_PRODUCTS.removesuffix(".onnx")
    compile_network(single_output(name, inputs, body, (None, None), output="products"), folder)


class HalfProducts:
    """float16 (n, d) times float32 (d, q) → float32 (n, q), without a wide copy of the rows.

    numpy widens 16-bit floats one at a time, which takes 15 times as long as the product itself.
    """

    BLOCK = 2048  # rows: what is widened stays in the processor's cache

    def __init__(self, path: Path) -> None:
        """`path`: what `write_half_products` wrote."""
        self._network = OnnxNetwork(path)

    def __call__(self, rows: Array, queries: Array) -> Iterator[NDArray[np.float32]]:
        """The products of some rows after the other, in order."""
        for start in range(0, len(rows), self.BLOCK):
            yield self._network(rows[start : start + self.BLOCK], queries)


def _library() -> Any:
    """ONNX Runtime without telemetry: 1.31 would write a device id and a usage log, meant for its
    maker, into the user's home."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported
    import onnxruntime  # noqa: PLC0415 - 0.15 s, and only needed to run

    return onnxruntime


def version() -> str:
    """The release of ONNX Runtime."""
    release: str = _library().__version__
    return release


def available_providers() -> list[str]:
    """The execution providers that ONNX Runtime offers here."""
    providers: list[str] = _library().get_available_providers()
    return providers
