"""One ordinary ONNX file with everything in it: written so that anyone can run it, and read back
without running it.

Reading takes the parameters and the metadata, and nothing else: what computes here is recorded anew
from them. A digest in the metadata says whether a bit has changed since it was written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError
from unseen.networks.network import Network
from unseen.networks.operations import Array, as_float16
from unseen.runtimes.graph import INLINE_BYTES, OnnxOperations, Value, build

LARGEST = 64_000_000  # bytes of a file that is read
DIGEST = "sha256"  # the key of the graph's digest in the metadata
DTYPES = (np.float32, np.float16, np.int64)  # of parameters
# What is recorded here needs no others.
OPERATORS = {
    *("Add", "Cast", "Clip", "Concat", "Conv", "Div", "Identity", "MatMul", "Max", "Min", "Mul"),
    *("ReduceL2", "ReduceMean", "Relu", "Reshape", "Sigmoid", "Slice", "Softmax"),
    *("Sqrt", "Sub", "Transpose"),
}


@dataclass(frozen=True)
class Content:
    """What a file says: parameters as float32, under their names."""

    metadata: dict[str, str]
    parameters: dict[str, NDArray[np.float32]]


class FileOperations(OnnxOperations):
    """Keeps the parameters in the graph, under their own names, the large ones in float16.

    A parameter of two axes is stored transposed, as a product takes it.
    """

    def __init__(self, parameters: Mapping[str, Array]) -> None:
        super().__init__()
        self._names: dict[bytes, list[str]] = {}  # parameters of equal bytes, in order
        for name, value in parameters.items():
            self._names.setdefault(_bytes(value.T if value.ndim == 2 else value), []).append(name)

    def constant(self, value: Array) -> Value:
        if value.dtype != np.float32:
            return super().constant(value)
        names = self._names.get(_bytes(value))
        stored = as_stored(value)
        name = self.store(names.pop(0) if names else f"p{len(self.initializers)}", stored)
        return name if stored.dtype == np.float32 else self.emit("Cast", name, to=1)


def as_stored(value: Array) -> NDArray[Any]:
    """A parameter as it is stored in a file: a large one in float16, clipped to its range."""
    return as_float16(value) if value.nbytes >= INLINE_BYTES else np.asarray(value, np.float32)


def _bytes(value: Array) -> bytes:
    return f"{value.shape}".encode() + np.ascontiguousarray(value, dtype=np.float32).tobytes()


def write(network: Network[Value], outputs: Sequence[str], metadata: Mapping[str, str]) -> bytes:
    """`network` as the bytes of one file; the same arguments give the same bytes.

    Parameters
    ----------
    network : Network
        What is written; its parameters keep their names.
    outputs : sequence of str
        The outputs of the file, in this order and under these names.
    metadata : mapping of str to str
        Facts that are stored with it.
    """
    import onnx  # noqa: PLC0415
    from onnx import helper  # noqa: PLC0415

    model = build(network, FileOperations(network.parameters), outputs, named=True)
    digest = _digest(model.graph, metadata)
    helper.set_model_props(model, {**metadata, DIGEST: digest})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def read(path: Path) -> Content:
    """The content of a file that `write` wrote.

    Nothing is run and no other file is opened, whatever the file says.

    Raises
    ------
    ModelError
        For a file that cannot be read, that `write` did not write, or that was changed since.
    """
    import onnx  # noqa: PLC0415

    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ModelError(f"{path}: {size} bytes, and at most {LARGEST} are read.")
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from None
    except ModelError:
        raise
    except Exception as error:  # protobuf's own errors differ from release to release
        raise ModelError(f"{path}: not an ONNX file: {error}.") from None
    metadata = {p.key: p.value for p in model.metadata_props}
    if DIGEST not in metadata:
        raise ModelError(
            f"{path}: this ONNX file was not written by unseen, and no other can be loaded; "
            "to load another model, give its folder or hub id."
        )
    unknown = {n.op_type for n in model.graph.node} - OPERATORS
    external = [t.name for t in model.graph.initializer if t.data_location or t.external_data]
    if unknown or external or model.functions or model.graph.sparse_initializer:
        what = sorted(unknown) or external or ["functions or sparse parameters"]
        raise ModelError(f"{path}: it contains what unseen does not write: {what[0]}.")
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
