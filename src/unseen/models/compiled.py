"""A model's networks: compiled once, kept on disk, held against the definition, ready to call."""

from __future__ import annotations

import json
import logging
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError, UnseenWarning
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.models.expected import Expected, expected
from unseen.models.model import Model
from unseen.networks.operations import Array, Network
from unseen.runtimes import onnx, onnx_int8
from unseen.runtimes.devices import Place, place
from unseen.system import cache

# Part of the key of every compiled network: raise it when networks/ or runtimes/ change what is
# written, and what older versions compiled is no longer found.
ARCHITECTURE_VERSION = 2

# The least cosine to the reference runtime, on the pictures and prompts of models/expected.
BOUNDS = {"fp32": 0.9999, "bf16": 0.999, "fp16": 0.999, "int8": 0.995}
AUTO = "auto"  # the fastest that stays within its bound here: int8 on a CPU, half on a GPU, or fp32
CHECK = "check.json"

logger = logging.getLogger(__name__)

Run = Callable[..., NDArray[np.float32]]


class CompiledNetwork:
    """One tower of a model, compiled, loaded and checked when it is first called.

    The files are hashed in a thread while the first call runs; its result is handed out only when
    the hashes are right. A damaged file is compiled again, with a warning: of 1,000 flipped bits in
    a small ONNX file, 696 gave wrong numbers in silence.

    What was compiled is held once, by each release of a runtime, against the reference runtime.
    Below its bound fp32 is refused, fp16 and int8 are used with a warning, and auto takes fp32.
    """

    def __init__(
        self,
        model: Model,
        tower: str,
        make: Callable[[], Network[Any]],
        *,
        find_place: Callable[[], Place],
        options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    ) -> None:
        """`find_place` is asked when the network is first needed, and of `options` only precision
        and threads: a model's networks may run at another place than the options say."""
        self._model = model
        self._tower = tower
        self._make = make
        self._find_place = find_place
        self._wanted = options.precision
        self._threads = options.threads
        self._lock = threading.RLock()
        self._checked: Run | None = None  # the network, once it is to be trusted

    def __call__(self, *inputs: Array) -> NDArray[np.float32]:
        """Arrays in the order of the network's inputs → float32 (n, dimension)."""
        if self._checked is None:
            with self._lock:  # a second thread waits until the first has checked the files
                if self._checked is None:
                    output, self._checked = self._first_call(*inputs)
                    return output
        return self._checked(*inputs)

    @cached_property
    def place(self) -> Place:
        """Where it runs."""
        return self._find_place()

    @cached_property
    def precision(self) -> str:
        """What auto came to, or what was asked for. The first time, auto compiles and checks."""
        if self.place.runtime == "torch" and self._wanted == "int8":
            raise ModelError("int8 is for the CPU; on a GPU take precision fp16, or auto.")
        if self._wanted != AUTO:
            return self._wanted
        fast = self._fast
        if fast is None or self.cosine(fast) >= BOUNDS[fast]:
            return fast or "fp32"
        cache.remove(self._key(fast))  # it would lie there for nothing
        return "fp32"

    @property
    def _fast(self) -> str | None:
        """What auto tries here."""
        if self.place.runtime == "torch":
            from unseen.runtimes import torch  # noqa: PLC0415 - seconds, and only for a GPU

            return torch.half_precision(self.place.device)
        return "int8" if self.place.is_cpu else None

    def cosine(self, precision: str, *, again: bool = False, run: Run | None = None) -> float:
        """The least cosine of a precision to the reference runtime; kept once it is known.

        `again` looks at the files, and works it out anew. `run`: the network, if it is loaded.
        """
        key = f"{self._key(precision)}-{self._runtime}"
        if again:
            cache.remove(key)
            if self.place.runtime == "onnx" and not cache.verify(self._compiled(precision)):
                cache.discard(self._compiled(precision))

        def make(folder: Path) -> None:
            logger.info("%s: checking its %s net, once", self._model.name, self._tower)
            output = (run or self._load(precision))(*self._expected.inputs)
            cosine = self._expected.cosine(output)
            facts = {"cosine": cosine, "bound": BOUNDS[precision], "runtime": self._runtime}
            (folder / CHECK).write_text(json.dumps(facts), "utf-8")

        folder = cache.build_folder(key, make)
        return float(json.loads((folder / CHECK).read_text("utf-8"))["cosine"])

    def _first_call(self, *inputs: Array) -> tuple[NDArray[np.float32], Run]:
        try:
            return self._opened(*inputs)
        except ModelError as error:
            if not self.place.optional:
                raise
            warnings.warn(
                f"{self.place.device} is not used, the CPU is: {error}", UnseenWarning, stacklevel=3
            )
        self.place = place("cpu")
        for name in ("precision", "_runtime"):  # they depend on the place
            self.__dict__.pop(name, None)
        return self._opened(*inputs)

    def _opened(self, *inputs: Array) -> tuple[NDArray[np.float32], Run]:
        precision = self.precision
        if self.place.runtime == "torch":
            run = self._load(precision)
            self._compare(precision, run)
            return run(*inputs), run
        folder = self._compiled(precision)
        with ThreadPoolExecutor(1) as pool:
            intact = pool.submit(cache.verify, folder)
            try:
                run = self._load(precision)
                output = run(*inputs)
            except ModelError:
                if intact.result():
                    raise  # not the disk's fault
            else:
                if intact.result():
                    self._compare(precision, run)
                    return output, run
        warnings.warn(
            f"{folder} is damaged; it is thrown away and compiled again.",
            UnseenWarning,
            stacklevel=4,
        )
        cache.discard(folder)
        run = self._load(precision)
        self._compare(precision, run)
        return run(*inputs), run

    def _compare(self, precision: str, run: Run) -> None:
        cosine = self.cosine(precision, run=run)
        if cosine >= BOUNDS[precision]:
            return
        what = (
            f"{self._model.name}: its {self._tower} net in {precision} reaches a cosine of "
            f"{cosine:.4f} to the definition; {BOUNDS[precision]} is wanted"
        )
        if precision == "fp32":
            raise ModelError(
                f"{what}. {self._runtime} computes something else on this machine: another release "
                'of it, or device="cpu", may help.'
            )
        warnings.warn(f"{what}: fp32 is safer.", UnseenWarning, stacklevel=6)

    @cached_property
    def _expected(self) -> Expected:
        key = f"{self._model.fingerprint}-{self._tower}-expected-v{ARCHITECTURE_VERSION}"
        return expected(self._model, self._tower, self._make, key)

    @cached_property
    def _runtime(self) -> str:
        """What carries the network out, with its release: what was checked holds for it alone."""
        if self.place.runtime == "torch":
            from unseen.runtimes import torch  # noqa: PLC0415

            return f"torch-{torch.version()}-{self.place.device}".replace(":", "-")
        return f"onnxruntime-{onnx.version()}-{self.place.device}"

    def _key(self, precision: str) -> str:
        # A home may serve several machines, and int8 depends on the CPU.
        kind = f"int{onnx_int8.weight_bits()}" if precision == "int8" else precision
        return f"{self._model.fingerprint}-{self._tower}-{kind}-v{ARCHITECTURE_VERSION}"

    def _load(self, precision: str) -> Run:
        if self.place.runtime == "torch":
            from unseen.runtimes import torch  # noqa: PLC0415

            return torch.TorchNetwork(self._make(), self.place.device, torch.DTYPES[precision])
        path = self._compiled(precision) / f"{self._tower}.onnx"
        return onnx.OnnxNetwork(
            path, provider=self.place.device, number=self.place.number, threads=self._threads
        )

    def _compiled(self, precision: str) -> Path:
        def make(folder: Path) -> None:
            logger.info("%s: compiling its %s net, once", self._model.name, self._tower)
            onnx.compile_network(self._make(), folder, self._recorder(precision))

        return cache.build_folder(self._key(precision), make)

    def _recorder(self, precision: str) -> Callable[[IO[bytes]], onnx.OnnxOperations]:
        if precision == "int8":
            bits = onnx_int8.weight_bits()
            return partial(onnx_int8.Int8Operations, ranges=self._expected.ranges, bits=bits)
        return onnx.HalfOperations if precision == "fp16" else onnx.OnnxOperations
