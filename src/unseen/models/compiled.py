"""A model's networks, compiled once, kept on disk, checked, and ready to call."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen import cache
from unseen.errors import ModelError, UnseenWarning
from unseen.models.model import Model
from unseen.networks.operations import Array, Network
from unseen.runtimes import onnx

# Part of the key of every compiled network: raise it when networks/ or runtimes/ change what is
# written, and what older versions compiled is no longer found.
ARCHITECTURE_VERSION = 1


class CompiledNetwork:
    """One tower of a model, compiled and loaded when it is first called.

    The files are hashed in a thread while the first call runs; its result is handed out only when
    the hashes are right. A damaged file is compiled again, with a warning: of 1,000 flipped bits in
    a small ONNX file, 696 gave wrong numbers in silence.
    """

    def __init__(
        self, model: Model, tower: str, make: Callable[[], Network[Any]], threads: int | None
    ) -> None:
        self._key = f"{model.fingerprint}-{tower}-fp32-v{ARCHITECTURE_VERSION}"
        self._tower = tower
        self._make = make
        self._threads = threads
        self._lock = threading.Lock()
        self._session: onnx.OnnxNetwork | None = None
        self._checked: onnx.OnnxNetwork | None = None  # the session, once its files are known good

    def __call__(self, *inputs: Array) -> NDArray[np.float32]:
        """Arrays in the order of the network's inputs → float32 (n, dimension)."""
        if self._checked is None:
            with self._lock:  # a second thread waits until the first has checked the files
                if self._checked is None:
                    output = self._first_call(*inputs)
                    self._checked = self._session
                    return output
        return self._checked(*inputs)

    def _first_call(self, *inputs: Array) -> NDArray[np.float32]:
        folder = self._compiled()
        with ThreadPoolExecutor(1) as pool:
            intact = pool.submit(cache.verify, folder)
            try:
                output = self._load(folder)(*inputs)
            except ModelError:
                if intact.result():
                    raise  # not the disk's fault
            else:
                if intact.result():
                    return output
        warnings.warn(
            f"{folder} is damaged; it is thrown away and compiled again.",
            UnseenWarning,
            stacklevel=2,
        )
        cache.discard(folder)
        return self._load(self._compiled())(*inputs)

    def _load(self, folder: Path) -> onnx.OnnxNetwork:
        self._session = onnx.OnnxNetwork(folder / f"{self._tower}.onnx", threads=self._threads)
        return self._session

    def _compiled(self) -> Path:
        def make(folder: Path) -> None:
            onnx.compile_network(self._make(), folder)

        return cache.build_folder(self._key, make)
