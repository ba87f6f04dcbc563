"""One ordinary ONNX file with everything in it: written so that anyone can run it, and read back
without running it.

Reading takes the parameters and the metadata, and nothing else: what computes here is recorded anew
from them. A digest in the metadata says whether a bit has changed since it was written.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError
from unseen.networks.operations import Array, Input
from unseen.runtimes.onnx import INLINE_BYTES, IR_VERSION, OPSET, OnnxOperations, Value

LARGEST = 64_000_000  # bytes of a file that is read
DIGEST = "sha256"  # the key of the graph's digest in the metadata
DTYPES = (np.float32, np.float16, np.int64)  # of parameters
# What is recorded here needs no others.
OPERATORS = {
    *("Add", "Cast", "Clip", "Concat", "Conv", "Div", "Identity", "MatMul", "Max", "Min", "Mul"),
    *("ReduceL2", "ReduceMean", "Relu", "Reshape", "Slice", "Softmax", "Sqrt", "Sub", "Transpose"),
}


@dataclass(frozen=True)
class Content:
    """What a file says: parameters as float32, under their names."""

    metadata: dict[str, str]
    parameters: dict[str, NDArray[np.float32]]


class FileOperations(OnnxOperations):
    """Keeps the parameters in the graph, under their own names, the large ones in float16.

    A parameter of two axes stands in it the other way round, as a product takes it.
    """

    def __init__(self, parameters: Mapping[str, Array]) -> None:
        super().__init__(io.BytesIO())
        self._names: dict[bytes, list[str]] = {}  # of the same bytes, and then of the same worth
        for name, value in parameters.items():
            self._names.setdefault(_bytes(value.T if value.ndim == 2 else value), []).append(name)

    def constant(self, value: Array) -> Value:
        from onnx import numpy_helper  # noqa: PLC0415 - 0.2 s, and only needed to write

        names = self._names.get(_bytes(value)) if value.dtype == np.float32 else None
        name = names.pop(0) if names else f"p{len(self.initializers)}"
        half = value.dtype == np.float32 and value.nbytes >= INLINE_BYTES
        stored = as_stored(value) if half else value
        self.initializers.append(numpy_helper.from_array(np.asarray(stored, order="C"), name))
        return self.emit("Cast", name, to=1) if half else name


def as_stored(value: Array) -> NDArray[Any]:
    """A parameter as it stands in a file: large ones in float16, cut to what that holds."""
    if value.nbytes < INLINE_BYTES:
        return np.asarray(value, dtype=np.float32)
    largest = np.finfo(np.float16).max
    return np.clip(value, -largest, largest).astype(np.float16)


def _bytes(value: Array) -> bytes:
    return f"{value.shape}".encode() + np.ascontiguousarray(value, dtype=np.float32).tobytes()


def write(
    inputs: tuple[Input, ...],
    body: Callable[..., dict[str, Value]],
    outputs: Mapping[str, int],
    parameters: Mapping[str, Array],
    metadata: Mapping[str, str],
) -> bytes:
    """A file whose outputs, float32 (n, width) each, are what `body(operations, *inputs)` names.

    The same arguments give the same bytes.
    """
    import onnx  # noqa: PLC0415
    from onnx import helper  # noqa: PLC0415

    operations = FileOperations(parameters)
    found = body(operations, *(i.name for i in inputs))
    for name in outputs:
        operations.nodes.append(helper.make_node("Identity", [found[name]], [name]))
    graph = helper.make_graph(
        operations.nodes,
        "classifier",
        [
            helper.make_tensor_value_info(
                i.name,
                helper.np_dtype_to_tensor_dtype(np.dtype(i.dtype)),
                ["n" if size is None else size for size in i.shape],
            )
            for i in inputs
        ],
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", width])
            for name, width in outputs.items()
        ],
        initializer=operations.initializers,
    )
    model = helper.make_model(
        graph,
        producer_name="unseen",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, {**metadata, DIGEST: _digest(graph, metadata)})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def read(path: Path) -> Content:
    """ModelError for what `write` did not write, or what has changed since. Nothing is run, and no
    other file is opened, whatever the file says."""
    import onnx  # noqa: PLC0415

    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ModelError(f"{path}: {size} bytes; a classifier of `unseen distil` is smaller.")
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: it cannot be read: {error.strerror}.") from None
    except ModelError:
        raise
    except Exception as error:  # protobuf's own errors differ from release to release
        raise ModelError(f"{path}: this is no ONNX file: {error}.") from None
    metadata = {p.key: p.value for p in model.metadata_props}
    if DIGEST not in metadata:
        raise ModelError(
            f"{path}: only ONNX files that `unseen distil` wrote can be loaded; of other models, "
            "give the folder or the hub id."
        )
    foreign = {n.op_type for n in model.graph.node} - OPERATORS
    external = [t.name for t in model.graph.initializer if t.data_location or t.external_data]
    if foreign or external or model.functions or model.graph.sparse_initializer:
        what = sorted(foreign) or external or ["functions or sparse parameters"]
        raise ModelError(f"{path}: it holds what `unseen distil` does not write: {what[0]}.")
    if _digest(model.graph, metadata) != metadata[DIGEST]:
        raise ModelError(f"{path}: it is damaged, or was changed after it was written.")
    try:
        return Content(metadata, {t.name: _parameter(t) for t in model.graph.initializer})
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: one of its parameters is damaged: {error}.") from None


def _digest(graph: Any, metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(graph.SerializeToString(deterministic=True))
    facts = sorted((key, value) for key, value in metadata.items() if key != DIGEST)
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()


def _parameter(tensor: Any) -> NDArray[np.float32]:
    from onnx import helper  # noqa: PLC0415

    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    if dtype not in DTYPES or len(tensor.dims) > 4 or any(size < 0 for size in tensor.dims):
        raise ValueError(f"{tensor.name!r} is {dtype} of {list(tensor.dims)}")
    array = np.frombuffer(tensor.raw_data, dtype=dtype).reshape(tuple(tensor.dims))
    wide = np.asarray(array, dtype=np.float32)
    return wide.T if wide.ndim == 2 else wide
