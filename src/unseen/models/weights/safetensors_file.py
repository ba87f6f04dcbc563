"""One .safetensors file, an array at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from unseen.errors import ModelError

Array = NDArray[Any]

# numpy's names of what can be written → the format's.
WRITTEN = {"float64": "F64", "float32": "F32", "float16": "F16"}
WRITTEN |= {"int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8"}
WRITTEN |= {"bool": "BOOL"}
BFLOAT16 = "BF16"
PLAIN_DTYPES = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U8", "BOOL"}


def write_arrays(
    path: Path,
    arrays: Mapping[str, Array],
    *,
    bfloat16: Collection[str] = (),
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a .safetensors file an array at a time: memory may have room for one, and not for all.

    The format is https://huggingface.co/docs/safetensors#format. `bfloat16`: the float32 arrays
    that are written in 16 bits of that kind, rounded to the nearest. `metadata`: more of it.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name, array in arrays.items():
        is_half = name in bfloat16
        start, end = end, end + (array.nbytes // 2 if is_half else array.nbytes)
        dtype = BFLOAT16 if is_half else WRITTEN[array.dtype.name]
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, array in arrays.items():
            plain = narrow(array) if name in bfloat16 else array
            file.write(plain.astype(plain.dtype.newbyteorder("<")).tobytes())


def widen(bits: NDArray[Any]) -> NDArray[np.float32]:
    """bfloat16, given as its 16 bits, to float32: the upper half of one."""
    wide = bits.astype(np.uint32) << np.uint32(16)
    return np.asarray(wide.view(np.float32))


def narrow(array: Array) -> NDArray[np.uint16]:
    """float32 → the 16 bits of the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.asarray(rounded, dtype=np.uint16)


class SafetensorsFile:
    """One .safetensors file. The library checks the header, and reads all but bfloat16."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError when the header and the file do not agree."""
        self.path = path
        try:
            with self._opened() as file:
                names = list(file.keys())
                slices = {name: file.get_slice(name) for name in names}
                self._shapes = {name: tuple(s.get_shape()) for name, s in slices.items()}
                self.bfloat16 = {name for name, s in slices.items() if s.get_dtype() == BFLOAT16}
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
        if dtype == BFLOAT16:
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
