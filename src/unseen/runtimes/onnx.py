"""Records a network as an ONNX graph, once, and runs it with ONNX Runtime: the default runtime.

`compile_network` writes two files: `NAME.onnx`, the graph, and `NAME.bin`, its large parameters,
which ONNX Runtime maps into memory instead of copying. Parameters are written one at a time, so
that compiling needs no more memory than the largest of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError
from unseen.networks.operations import Array, Network, as_float32
from unseen.system.cpu import restricted

if TYPE_CHECKING:
    import onnx
    import onnxruntime

OPSET = 20  # the first with Gelu
IR_VERSION = 10  # what ONNX Runtime 1.20, our floor, reads
INLINE_BYTES = 1024  # smaller parameters stay in the graph
ALIGNMENT = 4096  # a page, so that parameters can be mapped

# What ONNX Runtime says when a batch is too large for the memory that is left.
OUT_OF_MEMORY = ("Failed to allocate memory", "out of memory", "bad allocation")

Value = str  # a tensor, while a graph is recorded, is the name of a value in it


def compile_network(
    network: Network[Value],
    folder: Path,
    recorder: Callable[[IO[bytes]], OnnxOperations] | None = None,
) -> Path:
    """Write `network` into `folder` → the path of its .onnx file.

    `recorder` says in which precision; float32 by default.
    """
    import onnx  # noqa: PLC0415 - 0.2 s, and only needed to compile
    from onnx import helper  # noqa: PLC0415

    path = folder / f"{network.name}.onnx"
    with path.with_suffix(".bin").open("wb") as parameters:
        operations = (recorder or OnnxOperations)(parameters)
        values = [
            helper.make_tensor_value_info(
                i.name,
                helper.np_dtype_to_tensor_dtype(np.dtype(i.dtype)),
                [f"{i.name}_{axis}" if size is None else size for axis, size in enumerate(i.shape)],
            )
            for i in network.inputs
        ]
        output = network.body(operations, *(i.name for i in network.inputs))
    result = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ["n", network.dimension])
    graph = helper.make_graph(
        operations.nodes, network.name, values, [result], initializer=operations.initializers
    )
    model = helper.make_model(
        graph,
        producer_name="unseen",
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)],
        ir_version=IR_VERSION,
    )
    path.write_bytes(model.SerializeToString())
    return path


class OnnxNetwork:
    """A compiled network in an ONNX Runtime session; may be called from several threads."""

    def __init__(
        self,
        path: Path,
        *,
        provider: str = "CPUExecutionProvider",
        number: int = 0,
        threads: int | None = None,
    ) -> None:
        """`threads`: how many a call uses on a CPU; None: one a core, or as many as may be used.

        `provider`: who computes; what it cannot do the CPU does. `number`: of its device.
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
        self._names = [i.name for i in self._session.get_inputs()]

    def __call__(self, *inputs: Array) -> NDArray[np.float32]:
        """Arrays in the order of the network's inputs → float32 (n, dimension)."""
        feed = dict(zip(self._names, inputs, strict=True))
        try:
            output: NDArray[np.float32] = self._session.run(None, feed)[0]
        except Exception as error:  # ONNX Runtime's own errors share no base class
            half = len(inputs[0]) // 2
            if half == 0 or not any(sign in str(error) for sign in OUT_OF_MEMORY):
                raise ModelError(f"ONNX Runtime cannot run this network: {error}") from None
            parts = [[i[:half] for i in inputs], [i[half:] for i in inputs]]
            return np.concatenate([self(*part) for part in parts])
        return output


HALF_PRODUCTS = "half_products.onnx"


def write_half_products(folder: Path) -> None:
    """Write the graph of `HalfProducts` into `folder`."""
    from onnx import TensorProto, helper  # noqa: PLC0415

    half, single = TensorProto.FLOAT16, TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["rows"], ["wide"], to=single),
            helper.make_node("MatMul", ["wide", "queries"], ["products"]),
        ],
        "half_products",
        [
            helper.make_tensor_value_info("rows", half, ["n", "d"]),
            helper.make_tensor_value_info("queries", single, ["d", "q"]),
        ],
        [helper.make_tensor_value_info("products", single, ["n", "q"])],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    (folder / HALF_PRODUCTS).write_bytes(model.SerializeToString())


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
    """ONNX Runtime, silenced: 1.31 would write a device's id and a log of use into the user's home,
    for its maker."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported
    import onnxruntime  # noqa: PLC0415 - 0.15 s, and only needed to run

    return onnxruntime


def version() -> str:
    """The release of ONNX Runtime."""
    found: str = _library().__version__
    return found


def available_providers() -> list[str]:
    """The execution providers that ONNX Runtime offers here."""
    found: list[str] = _library().get_available_providers()
    return found


class OnnxOperations:
    """`Operations[str]`: each operation adds nodes to a graph and returns the name of its value."""

    def __init__(self, parameters: IO[bytes]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._parameters = parameters

    def emit(self, operator: str, *inputs: Value, **attributes: Any) -> Value:
        """Add one node with one output."""
        from onnx import helper  # noqa: PLC0415

        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, value: Array) -> Value:
        from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

        name = f"p{len(self.initializers)}"
        value = np.asarray(value, order="C")  # ascontiguousarray would make a scalar a row
        if value.nbytes < INLINE_BYTES:
            tensor = numpy_helper.from_array(value, name)
        else:
            self._parameters.write(b"\0" * (-self._parameters.tell() % ALIGNMENT))
            place = {
                "location": Path(self._parameters.name).name,
                "offset": str(self._parameters.tell()),
                "length": str(value.nbytes),
            }
            tensor = TensorProto(
                name=name,
                dims=value.shape,
                data_type=helper.np_dtype_to_tensor_dtype(value.dtype),
                data_location=TensorProto.EXTERNAL,
            )
            for key, text in place.items():
                tensor.external_data.add(key=key, value=text)
            self._parameters.write(value.data)
        self.initializers.append(tensor)
        return name

    def _integers(self, *values: int) -> Value:
        return self.constant(np.array(values, dtype=np.int64))

    def _number(self, value: float) -> Value:
        return self.constant(np.array(value, dtype=np.float32))

    def _size(self, x: Value, axis: int) -> Value:
        return self.emit("Shape", x, start=axis, end=axis + 1)

    def pixels(self, x: Value) -> Value:
        channels_first = self.emit("Transpose", x, perm=[0, 3, 1, 2])  # still a byte a value
        return self.emit("Cast", channels_first, to=1)

    def embedding(self, table: Array, ids: Value) -> Value:
        return self.emit("Gather", self.constant(as_float32(table)), ids)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        return self.emit("Reshape", x, self._integers(*shape))

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        return self.emit("Transpose", x, perm=list(axes))

    def concat(self, xs: Sequence[Value], axis: int) -> Value:
        return self.emit("Concat", *xs, axis=axis)

    def slice(self, x: Value, axis: int, start: int, stop: int | None) -> Value:
        end = np.iinfo(np.int64).max if stop is None else stop
        return self.emit(
            "Slice", x, self._integers(start), self._integers(end), self._integers(axis)
        )

    def first_token(self, row: Array, like: Value) -> Value:
        shape = self.emit("Concat", self._size(like, 0), self._integers(1, row.size), axis=0)
        return self.emit("Expand", self.constant(as_float32(row).reshape(1, 1, -1)), shape)

    def positions(self, table: Array, like: Value) -> Value:
        rows = self.constant(as_float32(table))
        return self.emit("Slice", rows, self._integers(0), self._size(like, 1), self._integers(0))

    def take_token(self, x: Value, index: Value) -> Value:
        column = self.emit("Unsqueeze", index, self._integers(1))
        return self.emit("GatherND", x, column, batch_dims=1)

    def add(self, a: Value, b: Value) -> Value:
        return self.emit("Add", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        return self.emit("Mul", a, b)

    def linear(self, x: Value, weight: Array, bias: Array | None = None) -> Value:
        y = self.emit("MatMul", x, self.constant(as_float32(weight.T)))
        return y if bias is None else self.add(y, self.constant(as_float32(bias)))

    def conv(
        self,
        x: Value,
        weight: Array,
        bias: Array | None = None,
        *,
        stride: int = 1,
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        groups: int = 1,
    ) -> Value:
        parameters = [weight] if bias is None else [weight, bias]
        return self.emit(
            "Conv",
            x,
            *(self.constant(as_float32(p)) for p in parameters),
            strides=[stride, stride],
            pads=list(padding),
            group=groups,
        )

    def avg_pool(self, x: Value, size: int) -> Value:
        return self.emit("AveragePool", x, kernel_shape=[size, size], strides=[size, size])

    def attention(
        self,
        q: Value,
        k: Value,
        v: Value,
        heads: int,
        *,
        causal: bool = False,
        mask: Value | None = None,
    ) -> Value:
        def split(x: Value, axes: list[int]) -> Value:  # (n, t, width) → heads first
            return self.emit("Transpose", self.reshape(x, (0, 0, heads, -1)), perm=axes)

        queries = split(q, [0, 2, 1, 3])
        # √d is taken from the shape, which ONNX Runtime folds into a constant.
        size = self.emit("Cast", self._size(queries, 3), to=1)
        scores = self.emit(
            "Div",
            self.emit("MatMul", queries, split(k, [0, 2, 3, 1])),
            self.emit("Sqrt", size),
        )
        nothing, everything = self._number(0), self._number(float(np.finfo(np.float32).min))
        if causal:
            scalar = self.emit("Squeeze", self._size(q, 1))
            zero, one = (self.constant(np.array(i, dtype=np.int64)) for i in (0, 1))
            tokens = self.emit("Range", zero, scalar, one)
            seen = self.emit(
                "GreaterOrEqual", self.emit("Unsqueeze", tokens, self._integers(1)), tokens
            )
            scores = self.add(scores, self.emit("Where", seen, nothing, everything))
        if mask is not None:
            seen = self.emit("Cast", self.emit("Unsqueeze", mask, self._integers(1, 2)), to=9)
            scores = self.emit("Where", seen, scores, everything)
        y = self.emit("MatMul", self.softmax(scores), split(v, [0, 2, 1, 3]))
        joined = self.emit("Transpose", y, perm=[0, 2, 1, 3])
        return self.emit("Reshape", joined, self.emit("Shape", q))

    def layer_norm(self, x: Value, weight: Array, bias: Array, epsilon: float) -> Value:
        parameters = (self.constant(as_float32(p)) for p in (weight, bias))
        return self.emit("LayerNormalization", x, *parameters, axis=-1, epsilon=epsilon)

    def activation(self, x: Value, name: str) -> Value:
        if name == "quick_gelu":
            return self.mul(x, self.emit("Sigmoid", self.mul(x, self._number(1.702))))
        if name == "silu":
            return self.mul(x, self.emit("Sigmoid", x))
        if name == "relu6":
            return self.emit("Clip", x, self._number(0), self._number(6))
        operator, attributes = _ACTIVATIONS[name]
        return self.emit(operator, x, **attributes)

    def softmax(self, x: Value) -> Value:
        return self.emit("Softmax", x, axis=-1)

    def keep_top(self, x: Value, k: int) -> Value:
        from onnx import helper  # noqa: PLC0415

        largest = f"TopK_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node("TopK", [x, self._integers(k)], [largest, f"{largest}_at"], axis=-1)
        )
        kth = self.slice(largest, 1, k - 1, k)
        kept = self.emit("GreaterOrEqual", x, kth)
        return self.emit("Where", kept, x, self._number(0))

    def mean(self, x: Value, axes: Sequence[int]) -> Value:
        return self.emit("ReduceMean", x, self._integers(*axes), keepdims=0)

    def masked_mean(self, x: Value, mask: Value) -> Value:
        weights = self.emit("Unsqueeze", self.emit("Cast", mask, to=1), self._integers(2))
        one = self._integers(1)
        total = self.emit("ReduceSum", self.mul(x, weights), one, keepdims=0)
        count = self.emit("ReduceSum", weights, one, keepdims=0)
        return self.emit("Div", total, self.emit("Max", count, self._number(1e-9)))

    def l2_normalise(self, x: Value) -> Value:
        length = self.emit("ReduceL2", x, self._integers(-1), keepdims=1)
        return self.emit("Div", x, self.emit("Max", length, self._number(1e-12)))

    def complete(self, x: Value) -> Value:
        length, one = self.emit("ReduceL2", x, self._integers(-1), keepdims=1), self._number(1)
        short = self.emit("Min", length, one)
        left = self.emit("Sqrt", self.emit("Sub", one, self.mul(short, short)))
        return self.concat([self.emit("Div", x, self.emit("Max", length, one)), left], -1)


class HalfOperations(OnnxOperations):
    """Stores the large parameters in float16, and computes in float32 all the same."""

    def constant(self, value: Array) -> Value:
        if value.dtype != np.float32 or value.nbytes < INLINE_BYTES:
            return super().constant(value)
        largest = np.finfo(np.float16).max
        half = np.clip(value, -largest, largest).astype(np.float16)
        return self.emit("Cast", super().constant(half), to=1)


_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "gelu": ("Gelu", {}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
}
