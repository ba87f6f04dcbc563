"""Which files hold a model's weights, as data that opens itself when an array is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from unseen.models.serialization import PickledFields
from unseen.models.weights.files import Array, Weights, in_memory, open_files
from unseen.runtimes import onnx_file


def _distilled(paths: list[Path], name: str) -> Weights:
    (path,) = paths
    return in_memory(onnx_file.read(path).parameters, name)


# How the files of each format are opened: (files, the name for errors) → arrays by name.
FORMATS: dict[str, Callable[[list[Path], str], Weights]] = {
    "checkpoint": open_files,
    "distilled": _distilled,
}


@dataclass(frozen=True)
class WeightsSpec(PickledFields):
    """The files that hold a model's weights.

    Parameters
    ----------
    folder : str
        Where the files are.
    files : tuple of str
        Their names in `folder`; the shards of one checkpoint in order.
    format : str
        A row of `FORMATS`.
    """

    folder: str
    files: tuple[str, ...]
    format: str = "checkpoint"

    @cached_property
    def arrays(self) -> Weights:
        """The arrays by their stored names; each is read when it is asked for."""
        paths = [Path(self.folder) / name for name in self.files]
        return FORMATS[self.format](paths, self.folder)

    def holding(self, arrays: Mapping[str, Array]) -> WeightsSpec:
        """The same, whose files were read already: they are not opened again."""
        spec = replace(self)
        spec.__dict__["arrays"] = in_memory(arrays, self.folder)
        return spec
