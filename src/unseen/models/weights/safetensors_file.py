"""One .safetensors file, an array at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from unseen.errors import ModelError
from unseen.models.weights.torch_archive import widen

Array = NDArray[Any]

# numpy's names of what can be written → the format's.
WRITTEN = {"float64": "F64", "float32": "F32", "float16": "F16"}
WRITTEN |= {"int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8"}
WRITTEN |= {"bool": "BOOL"}
PLAIN_DTYPES = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U8", "BOOL"}


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a .safetensors file an array at a time: memory may have room for one, and not for all.

    The format is https://huggingface.co/docs/safetensors#format.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        facts = {"dtype": WRITTEN[array.dtype.name], "shape": list(array.shape)}
        header[name] = {**facts, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.astype(array.dtype.newbyteorder("<")).tobytes())


class SafetensorsFile:
    """One .safetensors file. The library checks the header, and reads all but bfloat16."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError when the header and the file do not agree."""
        self.path = path
        try:
            with self._opened() as file:
                names = list(file.keys())
                self._shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(
                f"{path}: this safetensors file is damaged ({error}); download it again."
            ) from None

        self.names = list(self._shapes)

    def _opened(self) -> Any:  # the library is not typed
        return safe_open(self.path, framework="numpy")

    def shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def read(self, name: str) -> Array:
        # Opened anew each time: pages of the mapped file would stay in memory until it is closed.
        with self._opened() as file:
            dtype = file.get_slice(name).get_dtype()
            if dtype in PLAIN_DTYPES:
                array: Array = file.get_tensor(name)
                return array
        if dtype == "BF16":
            return self._read_bfloat16(name)
        raise ModelError(f"{self.path}: {name!r} is of the type {dtype}, which is not read.")

    def _read_bfloat16(self, name: str) -> Array:
        """numpy has no bfloat16, so the library does not read it: the header says where it lies."""
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            facts = json.loads(file.read(length))[name]
        start, stop = facts["data_offsets"]
        bits = np.fromfile(self.path, "<u2", (stop - start) // 2, offset=8 + length + start)
        return np.asarray(widen(bits).reshape(facts["shape"]))
