"""Records a network as an ONNX graph: the one builder of every ONNX model that is written here.

`OnnxOperations` records operations as nodes; its subclasses differ in how they store parameters.
`build` makes a model of a network and such a recorder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np

from unseen.networks.network import Network
from unseen.networks.operations import Array, as_float16, as_float32

if TYPE_CHECKING:
    import onnx

OPSET = 20  # the first with Gelu
IR_VERSION = 10  # what ONNX Runtime 1.20, our floor, reads
INLINE_BYTES = 1024  # smaller parameters stay in the graph, and in float32
ALIGNMENT = 4096  # a page, so that parameters can be mapped
CONTRIBUTED = "com.microsoft"  # ONNX Runtime's own operators

Value = str  # a tensor, while a graph is recorded, is the name of a value in it


def build(
    network: Network[Value],
    operations: OnnxOperations,
    outputs: Sequence[str] | None = None,
    *,
    named: bool = False,
) -> onnx.ModelProto:
    """Record `network` with `operations` → an ONNX model.

    Parameters
    ----------
    network : Network
        What is recorded.
    operations : OnnxOperations
        A new recorder, which says how parameters are stored.
    outputs : sequence of str, optional
        The names of the outputs, in the order of the model's; the primary one by default.
    named : bool
        Whether the model's outputs have these names, for readers who do not know the order, which
        takes one more node for each.
    """
    import onnx  # noqa: PLC0415 - 0.2 s, and only needed to write
    from onnx import helper  # noqa: PLC0415

    values = network.apply(operations, *(i.name for i in network.inputs), outputs=outputs)
    results: dict[Value, onnx.ValueInfoProto] = {}
    for output in network.select(outputs):
        value = values[output.name]
        if named:
            operations.nodes.append(helper.make_node("Identity", [value], [output.name]))
            value = output.name
        elif value in results:  # a value cannot be an output twice
            value = operations.emit("Identity", value)
        sizes = _sizes(output.name, output.shape, "n")
        results[value] = helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, sizes)
    nodes = _needed(operations.nodes, results)
    graph = helper.make_graph(
        nodes,
        network.name,
        [
            helper.make_tensor_value_info(
                i.name,
                helper.np_dtype_to_tensor_dtype(np.dtype(i.dtype)),
                _sizes(i.name, i.shape, "n" if named else f"{i.name}_0"),
            )
            for i in network.inputs
        ],
        list(results.values()),
        initializer=_read(operations.initializers, nodes),
    )
    return _model(graph, operations.domains)


def assemble(
    operations: OnnxOperations,
    inputs: Mapping[str, tuple[str, Sequence[int | str]]],
    outputs: Mapping[str, tuple[Value, Sequence[int | str]]],
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """What was recorded → an ONNX model.

    Parameters
    ----------
    operations : OnnxOperations
        The recorder.
    inputs : mapping of str to (str, sizes)
        The dtype and the shape of each input; a size may be a name.
    outputs : mapping of str to (Value, sizes)
        Which value each output is, and its shape; all are float32.
    metadata : mapping of str to str
        Facts that are stored with it.
    """
    from onnx import TensorProto, helper  # noqa: PLC0415

    for name, (value, _) in outputs.items():
        operations.nodes.append(helper.make_node("Identity", [value], [name]))
    nodes = _needed(operations.nodes, outputs)
    for node in nodes:
        if node.op_type == "Conv":  # the default, which ONNX Runtime's WebGPU does not know
            node.attribute.append(helper.make_attribute("dilations", [1, 1]))
    graph = helper.make_graph(
        nodes,
        "unseen",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), sizes
            )
            for name, (dtype, sizes) in inputs.items()
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
            for name, (_, sizes) in outputs.items()
        ],
        initializer=_read(operations.initializers, nodes),
    )
    # Other runtimes need not know ONNX Runtime's own operators, where none is used.
    used = {node.domain for node in nodes}
    model = _model(graph, {d: v for d, v in operations.domains.items() if d in used})
    helper.set_model_props(model, dict(metadata))
    return model


def _needed(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes of which some output depends, in their order."""
    read, needed = set(outputs), []
    for node in reversed(nodes):
        if read.intersection(node.output):
            needed.append(node)
            read.update(_inputs([node]))
    return needed[::-1]


def _read(
    initializers: Iterable[onnx.TensorProto], nodes: Iterable[onnx.NodeProto]
) -> list[onnx.TensorProto]:
    """Those that a node reads: ONNX Runtime warns of each that is stored for nothing."""
    read = set(_inputs(nodes))
    return [value for value in initializers if value.name in read]


def _inputs(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """The names of all values that nodes read, those of branches too."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            yield from _inputs(attribute.g.node)


def _model(graph: onnx.GraphProto, domains: Mapping[str, int]) -> onnx.ModelProto:
    from onnx import helper  # noqa: PLC0415

    return helper.make_model(
        graph,
        producer_name="unseen",
        opset_imports=[helper.make_opsetid(*item) for item in domains.items()],
        ir_version=IR_VERSION,
    )


def _sizes(name: str, shape: Sequence[int | None], batch: str) -> list[int | str]:
    """A shape with a name for each unknown size; `batch` is that of the first axis."""
    return [
        (f"{name}_{axis}" if axis else batch) if size is None else size
        for axis, size in enumerate(shape)
    ]


class OnnxOperations:
    """`Operations[str]`: each operation adds nodes to a graph and returns the name of its value.

    Parameters are stored in the graph itself.
    """

    domains: ClassVar[Mapping[str, int]] = {"": OPSET}

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._in_branches = 0  # nodes that are in the graph of a branch

    def emit(self, operator: str, *inputs: Value, **attributes: Any) -> Value:
        """Add one node with one output."""
        from onnx import helper  # noqa: PLC0415

        output = f"{operator}_{len(self.nodes) + self._in_branches}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def branch(self, condition: Value, yes: Callable[[], Value], no: Callable[[], Value]) -> Value:
        """One of two values, of which only that one is computed: bool (1,) says which."""
        from onnx import helper  # noqa: PLC0415

        graphs = {}
        for name, record in (("then_branch", yes), ("else_branch", no)):
            start = len(self.nodes)
            value = record()
            nodes = self.nodes[start:]
            del self.nodes[start:]
            self._in_branches += len(nodes)
            graphs[name] = helper.make_graph(
                nodes, name, [], [helper.make_empty_tensor_value_info(value)]
            )
        return self.emit("If", condition, **graphs)

    def constant(self, value: Array) -> Value:
        return self.store(f"p{len(self.initializers)}", value)

    def store(self, name: str, value: Array) -> Value:
        """Add an array to the graph under a name."""
        from onnx import numpy_helper  # noqa: PLC0415

        # ascontiguousarray would make a scalar a row
        self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def _integers(self, *values: int) -> Value:
        return self.constant(np.array(values, dtype=np.int64))

    def _number(self, value: float) -> Value:
        return self.constant(np.array(value, dtype=np.float32))

    def _filled(self, shape: Value, value: Array) -> Value:
        """One value, (1,), in every place of a shape."""
        from onnx import numpy_helper  # noqa: PLC0415

        return self.emit("ConstantOfShape", shape, value=numpy_helper.from_array(value))

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

    def take(self, x: Value, index: Value, axis: int) -> Value:
        return self.emit("Gather", x, index, axis=axis)

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
        weights = self.attention_weights(q, k, heads, causal=causal, mask=mask)
        y = self.emit("MatMul", weights, self._split(v, heads, [0, 2, 1, 3]))
        joined = self.emit("Transpose", y, perm=[0, 2, 1, 3])
        return self.emit("Reshape", joined, self.emit("Shape", q))

    def tree_attention(
        self, q: Value, k: Value, v: Value, heads: int, queries: Value, keys: Value, bias: Value
    ) -> Value:
        size = self.emit("Cast", self._size(self._split(q, heads, [0, 1, 2, 3]), 3), to=1)
        q = self.emit("Div", q, self.emit("Sqrt", size))
        scores = self._tree_scores(q, k, heads, queries, keys, bias)
        return self._tree_values(self.softmax(scores), v, heads, keys)

    def _tree_scores(
        self, q: Value, k: Value, heads: int, queries: Value, keys: Value, bias: Value
    ) -> Value:
        """Products of queries and keys, which are scaled already: (1, heads, s, t, k)."""
        q = self.take(self._split(q, heads, [0, 2, 1, 3]), queries, 2)
        k = self.take(self._split(k, heads, [0, 2, 1, 3]), keys, 2)
        k = self.emit("Transpose", k, perm=[0, 1, 2, 4, 3])
        return self.add(self.matmul(q, k), bias)

    def _tree_values(self, weights: Value, v: Value, heads: int, keys: Value) -> Value:
        values = self.take(self._split(v, heads, [0, 2, 1, 3]), keys, 2)
        y = self.emit("Transpose", self.matmul(weights, values), perm=[0, 2, 3, 1, 4])
        shape = self.emit("Concat", self._integers(1, -1), self._size(v, 2), axis=0)
        return self.emit("Reshape", y, shape)

    def attention_weights(
        self, q: Value, k: Value, heads: int, *, causal: bool = False, mask: Value | None = None
    ) -> Value:
        queries = self._split(q, heads, [0, 2, 1, 3])
        # √d is taken from the shape, which ONNX Runtime folds into a constant.
        size = self.emit("Cast", self._size(queries, 3), to=1)
        scores = self.emit(
            "Div",
            self.emit("MatMul", queries, self._split(k, heads, [0, 2, 3, 1])),
            self.emit("Sqrt", size),
        )
        return self.softmax(self._visible(scores, q, causal=causal, mask=mask))

    def _visible(self, scores: Value, q: Value, *, causal: bool, mask: Value | None) -> Value:
        """Scores, with the least number where a query does not see a key."""
        nothing, everything = self._number(0), self._number(float(np.finfo(np.float32).min))
        if causal:
            scalar = self.emit("Squeeze", self._size(q, 1))
            first, step = (self.constant(np.array(i, dtype=np.int64)) for i in (0, 1))
            tokens = self.emit("Range", first, scalar, step)
            visible = self.emit(
                "GreaterOrEqual", self.emit("Unsqueeze", tokens, self._integers(1)), tokens
            )
            scores = self.add(scores, self.emit("Where", visible, nothing, everything))
        if mask is not None:
            visible = self.emit("Cast", self.emit("Unsqueeze", mask, self._integers(1, 2)), to=9)
            scores = self.emit("Where", visible, scores, everything)
        return scores

    def _split(self, x: Value, heads: int, axes: list[int]) -> Value:
        """(n, t, width) → (n, t, heads, width / heads), its axes in another order."""
        return self.emit("Transpose", self.reshape(x, (0, 0, heads, -1)), perm=axes)

    def matmul(self, a: Value, b: Value) -> Value:
        return self.emit("MatMul", a, b)

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

        largest = f"TopK_{len(self.nodes) + self._in_branches}"
        self.nodes.append(
            helper.make_node("TopK", [x, self._integers(k)], [largest, f"{largest}_at"], axis=-1)
        )
        kth = self.slice(largest, 1, k - 1, k)
        large = self.emit("GreaterOrEqual", x, kth)
        return self.emit("Where", large, x, self._number(0))

    def mean(self, x: Value, axes: Sequence[int]) -> Value:
        return self.emit("ReduceMean", x, self._integers(*axes), keepdims=0)

    def masked_mean(self, x: Value, mask: Value) -> Value:
        weights = self.emit("Unsqueeze", self.emit("Cast", mask, to=1), self._integers(2))
        axis = self._integers(1)
        total = self.emit("ReduceSum", self.mul(x, weights), axis, keepdims=0)
        count = self.emit("ReduceSum", weights, axis, keepdims=0)
        return self.emit("Div", total, self.emit("Max", count, self._number(1e-9)))

    def l2_normalise(self, x: Value) -> Value:
        length = self.emit("ReduceL2", x, self._integers(-1), keepdims=1)
        return self.emit("Div", x, self.emit("Max", length, self._number(1e-12)))

    def complete(self, x: Value) -> Value:
        length, unit = self.emit("ReduceL2", x, self._integers(-1), keepdims=1), self._number(1)
        short = self.emit("Min", length, unit)
        rest = self.emit("Sqrt", self.emit("Sub", unit, self.mul(short, short)))
        return self.concat([self.emit("Div", x, self.emit("Max", length, unit)), rest], -1)


class CompiledOperations(OnnxOperations):
    """Writes large parameters into a file beside the graph, which ONNX Runtime maps into memory.

    They are written one at a time, so that compiling needs no more memory than the largest of them.
    Without such a file they stay in the graph.
    """

    domains: ClassVar[Mapping[str, int]] = {"": OPSET, CONTRIBUTED: 1}

    def __init__(self, parameters: IO[bytes] | None) -> None:
        super().__init__()
        self._parameters = parameters

    def store(self, name: str, value: Array) -> Value:
        from onnx import TensorProto, helper  # noqa: PLC0415

        if value.nbytes < INLINE_BYTES or self._parameters is None:
            return super().store(name, value)
        value = np.asarray(value, order="C")
        self._parameters.write(b"\0" * (-self._parameters.tell() % ALIGNMENT))
        location = {
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
        for key, text in location.items():
            tensor.external_data.add(key=key, value=text)
        self._parameters.write(value.data)
        self.initializers.append(tensor)
        return name


class HalfOperations(CompiledOperations):
    """Stores the large parameters in float16, and computes in float32 all the same."""

    def constant(self, value: Array) -> Value:
        if value.dtype != np.float32 or value.nbytes < INLINE_BYTES:
            return super().constant(value)
        return self.emit("Cast", super().constant(as_float16(value)), to=1)


_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "gelu": ("Gelu", {}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
}
