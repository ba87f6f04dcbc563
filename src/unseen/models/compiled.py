"""A model's networks: compiled once, kept on disk, held against the definition, ready to call."""

from __future__ import annotations

import json
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError, UnseenWarning
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.models.model import Model
from unseen.models.reference_outputs import (
    NetworkSource,
    ReferenceOutputs,
    reference_outputs,
    tower,
)
from unseen.networks.network import EMBEDDING
from unseen.networks.operations import Array
from unseen.runtimes import onnx
from unseen.runtimes.devices import ExecutionTarget, execution_target
from unseen.system import cache
from unseen.system.cpu import usable

if TYPE_CHECKING:
    from unseen.runtimes.graph import CompiledOperations

# Part of the key of every compiled network: raise it when networks/ or runtimes/ change what is
# written, and what older versions compiled is no longer found. Then run tools/ship_reference.py.
ARCHITECTURE_VERSION = 4

# The least cosine to the reference runtime, on the inputs of `reference_outputs`.
BOUNDS = {"fp32": 0.9999, "bf16": 0.999, "fp16": 0.999, "int8": 0.995}
AUTO = "auto"  # the fastest that stays within its bound here: int8 on a CPU, half on a GPU, or fp32
CHECK = "check.json"
MOST_CALLERS = 4  # threads that call one network at once: each holds the activations of its batch

logger = logging.getLogger(__name__)

Outputs = dict[str, NDArray[np.float32]]


# Open file of parameters (or None: they stay in the graph) → what records a network.
Recorder = Callable[[IO[bytes] | None], "CompiledOperations"]


class Runner(Protocol):
    """A network in a runtime, loaded."""

    def run(self, *inputs: Array) -> Outputs:
        """Arrays in the order of the network's inputs → every output by name."""


@dataclass(frozen=True)
class _Opening:
    """Compiled files that are loaded in a thread, and hashed in another."""

    run: Future[Runner]
    intact: Future[bool]


def few(cores: int) -> bool:
    """Whether a network may be called by a thread for each of so many cores at once."""
    return 1 < cores <= MOST_CALLERS


class CompiledNetwork:
    """A network, or some of its outputs, compiled, loaded and checked when it is first called.

    The files are hashed in a thread while the first call runs; its result is handed out only when
    the hashes are right. A damaged file is compiled again, with a warning: of 1,000 flipped bits in
    a small ONNX file, 696 gave wrong numbers in silence.

    What was compiled is held once, by each release of a runtime, against the reference runtime.
    Below its bound fp32 is refused, fp16 and int8 are used with a warning, and auto takes fp32.
    """

    def __init__(
        self,
        source: NetworkSource,
        *,
        find_target: Callable[[], ExecutionTarget],
        options: LoadOptions = DEFAULT_LOAD_OPTIONS,
        outputs: tuple[str, ...] = (EMBEDDING,),
    ) -> None:
        """Nothing is compiled or loaded yet.

        Parameters
        ----------
        source : NetworkSource
            The network; `reference_outputs.tower` gives those of a model.
        find_target : callable
            Says where the network runs; called when it is first needed.
        options : LoadOptions
            Of these only precision and threads: a network may run elsewhere than the options say.
        outputs : tuple of str
            The outputs that are compiled; what serves none of them is not computed.
        """
        self._source = source
        self._find_target = find_target
        self._precision = options.precision
        self._threads = options.threads
        self._outputs = outputs
        self._lock = threading.RLock()
        self._checked: Runner | None = None  # the network, once it is to be trusted
        self._opening: _Opening | None = None  # begun before the first call
        self._opening_once: _Opening | None = None  # of one call, and then forgotten
        self._compiling = False  # begun before the first call, or found to be done
        self._streams = 0  # of pictures, whose threads call it at once
        self._one_thread = False  # a call computes on the thread that calls

    def __call__(self, *inputs: Array) -> NDArray[np.float32]:
        """Arrays in the order of the network's inputs → the first output, float32."""
        return self.run(*inputs)[self._outputs[0]]

    def run(self, *inputs: Array) -> Outputs:
        """Arrays in the order of the network's inputs → every output by name, float32."""
        if self._one_thread and not self._streams:
            self._take_all_threads()
        if self._checked is None:
            with self._lock:  # a second thread waits until the first has checked the files
                if self._checked is None:
                    outputs, self._checked = self._first_call(*inputs)
                    return outputs
        return self._checked.run(*inputs)

    def once(self, *inputs: Array) -> NDArray[np.float32]:
        """As a call, where no other is in sight: the weights are not rearranged for many calls.

        A process that answers once and ends has its answer sooner; see `onnx.OnnxNetwork`.
        """
        opening, self._opening_once = self._opening_once, None
        if self._checked is not None or opening is None:
            return self(*inputs)
        try:
            run = opening.run.result()
            outputs = run.run(*inputs)
            if not opening.intact.result():
                return self(*inputs)  # which says so, and compiles anew
        except ModelError:
            return self(*inputs)
        self._compare(self.precision, run)
        return outputs[self._outputs[0]]

    @contextmanager
    def called_by(self, most: int) -> Iterator[int]:
        """How many threads shall call it at once for a stream of pictures; at most `most` can.

        One for each core of a CPU, where these are few: then a call computes on its own thread, no
        thread waits for another, and batches of few pictures stay in the caches. Such a call takes
        longer. The first one without a stream loads the network anew, to have all threads, and so
        have later streams: it is in memory once.
        """
        cores = usable()
        with self._lock:
            is_shared = few(cores) and cores <= most and self._may_be_shared()
            if is_shared:
                self._one_thread = True
                self._streams += 1
        try:
            yield cores if is_shared else 1
        finally:
            if is_shared:
                with self._lock:
                    self._streams -= 1

    def _may_be_shared(self) -> bool:
        if self._one_thread:
            return True
        is_loaded = self._checked is not None or self._opening is not None
        return not is_loaded and self._threads is None and self.target.is_cpu

    def _take_all_threads(self) -> None:
        with self._lock:
            if self._one_thread and not self._streams:
                self._one_thread, self._opening = False, None
                if self._checked is not None:
                    self._checked = self._load(self.precision)

    def begin(self, *, once: bool = False) -> None:
        """Load and check the compiled files from now on, in threads, where that has to be done.

        What comes before the first call (a picture is decoded, labels are looked up) then takes no
        time of its own. Nothing is compiled, and nothing raised: the first call does both.
        `once`: for a call of `once`.
        """
        if self._checked is not None or (self._opening_once if once else self._opening):
            return
        if not self._lock.acquire(blocking=False):
            return  # the first call is under way
        try:
            if self._checked is None and self._opening is None and self.target.runtime == "onnx":
                # "auto" as it came to, once that is known; before, it has no folder.
                precision = self.__dict__.get("precision", self._precision)
                folder = cache.complete_folder(self._key(precision))
                if folder is not None and once and self.target.is_cpu:
                    self._opening_once = self._open(folder, precision, prepacked=False)
                elif folder is not None:
                    self._opening = self._open(folder, precision)
        except ModelError:  # of a device that is not here
            return
        finally:
            self._lock.release()

    def begin_compiling(self) -> None:
        """Compile from now on, in a thread, where that has not been done.

        A first use has two networks to compile, and is as long as the longer one. What goes wrong
        goes wrong in the first call again, which raises it.
        """
        with suppress(ModelError):  # of a device that is not here
            if (
                self._checked is not None
                or self.target.runtime != "onnx"
                or self._precision == AUTO
            ):
                return
            if cache.complete_folder(self._key(self._precision)) is None:
                pool = ThreadPoolExecutor(1, thread_name_prefix="unseen-compile")
                pool.submit(self._compiled, self._precision)
                pool.shutdown(wait=False)

    @cached_property
    def target(self) -> ExecutionTarget:
        """Where it runs."""
        return self._find_target()

    @cached_property
    def precision(self) -> str:
        """The precision of the network; "auto" compiles and checks to choose it, the first time."""
        if self.target.runtime == "torch" and self._precision == "int8":
            raise ModelError("precision 'int8' is for the CPU; on a GPU choose 'fp16' or 'auto'")
        if self._precision != AUTO:
            return self._precision
        fast = self._fast
        if fast is None or self.cosine(fast) >= BOUNDS[fast]:
            return fast or "fp32"
        cache.remove(self._key(fast))  # it would lie there for nothing
        return "fp32"

    @property
    def identity(self) -> str:
        """What is computed, by what, and where: of two that differ, so may the numbers."""
        return f"{self._key(self.precision)}-{self._runtime}"

    @property
    def _fast(self) -> str | None:
        """What auto tries here."""
        if self.target.runtime == "torch":
            from unseen.runtimes import torch  # noqa: PLC0415 - seconds, and only for a GPU

            return torch.half_precision(self.target.device)
        return "int8" if self.target.is_cpu else None

    def cosine(self, precision: str, *, again: bool = False, run: Runner | None = None) -> float:
        """The least cosine of a precision to the reference runtime; kept once it is known.

        `again` looks at the files, and works it out anew. `run`: the network, if it is loaded.
        """
        key = f"{self._key(precision)}-{self._runtime}"
        if again:
            cache.remove(key)
            if self.target.runtime == "onnx" and not cache.verify(self._compiled(precision)):
                cache.discard(self._compiled(precision))

        def make(folder: Path) -> None:
            logger.info("%s: checking its %s net, once", self._source.model, self._source.tower)
            outputs = (run or self._load(precision)).run(*self._reference.inputs)
            cosine = self._reference.cosine(outputs.values())
            facts = {"cosine": cosine, "bound": BOUNDS[precision], "runtime": self._runtime}
            (folder / CHECK).write_text(json.dumps(facts), "utf-8")

        folder = cache.build_folder(key, make)
        return float(json.loads((folder / CHECK).read_text("utf-8"))["cosine"])

    def _first_call(self, *inputs: Array) -> tuple[Outputs, Runner]:
        try:
            return self._opened(*inputs)
        except ModelError as error:
            if not self.target.optional:
                raise
            warnings.warn(
                f"{self.target.device} cannot be used, the CPU is used instead: {error}",
                UnseenWarning,
                stacklevel=3,
            )
        self.target = execution_target("cpu")
        for name in ("precision", "_runtime"):  # they depend on the target
            self.__dict__.pop(name, None)
        return self._opened(*inputs)

    def _opened(self, *inputs: Array) -> tuple[Outputs, Runner]:
        precision = self.precision
        if self.target.runtime == "torch":
            run = self._load(precision)
            self._compare(precision, run)
            return run.run(*inputs), run
        folder = self._compiled(precision)
        opening, self._opening = self._opening or self._open(folder, precision), None
        try:
            run = opening.run.result()
            outputs = run.run(*inputs)
        except ModelError:
            if opening.intact.result():
                raise  # not the disk's fault
        else:
            if opening.intact.result():
                self._compare(precision, run)
                return outputs, run
        warnings.warn(
            f"{folder} is damaged; it is thrown away and compiled again.",
            UnseenWarning,
            stacklevel=4,
        )
        cache.discard(folder)
        run = self._load(precision)
        self._compare(precision, run)
        return run.run(*inputs), run

    def _open(self, folder: Path, precision: str, *, prepacked: bool = True) -> _Opening:
        pool = ThreadPoolExecutor(2, thread_name_prefix="unseen-open")
        run = pool.submit(self._load, precision, prepacked=prepacked)
        opening = _Opening(run, pool.submit(cache.verify, folder))
        pool.shutdown(wait=False)
        return opening

    def _compare(self, precision: str, run: Runner) -> None:
        cosine = self.cosine(precision, run=run)
        if cosine >= BOUNDS[precision]:
            return
        what = (
            f"{self._source.model}: its {self._source.tower} net in {precision} reaches a cosine "
            f"of {cosine:.4f} to the reference, and at least {BOUNDS[precision]} is required"
        )
        if precision == "fp32":
            raise ModelError(
                f"{what}. {self._runtime} computes something else on this machine: another release "
                'of it, or device="cpu", may help.'
            )
        warnings.warn(f"{what}: fp32 is safer.", UnseenWarning, stacklevel=6)

    @cached_property
    def _reference(self) -> ReferenceOutputs:
        return _reference(self._source, self._outputs, self._network_key)

    @property
    def _network_key(self) -> str:
        """The network and which of its outputs; the embedding alone is not named."""
        if self._outputs == (EMBEDDING,):
            return self._source.key
        return f"{self._source.key}-{'+'.join(self._outputs)}"

    @cached_property
    def _runtime(self) -> str:
        """What carries the network out, with its release: what was checked holds for it alone."""
        if self.target.runtime == "torch":
            from unseen.runtimes import torch  # noqa: PLC0415

            return f"torch-{torch.version()}-{self.target.device}".replace(":", "-")
        return f"onnxruntime-{onnx.version()}-{self.target.device}"

    def _key(self, precision: str) -> str:
        # A home may serve several machines, and int8 depends on the CPU.
        kind = precision
        if precision == "int8":
            from unseen.runtimes import int8  # noqa: PLC0415 - 3 ms, and only for it

            kind = f"int{int8.weight_bits()}"
        return f"{self._network_key}-{kind}-v{ARCHITECTURE_VERSION}"

    def _load(self, precision: str, *, prepacked: bool = True) -> Runner:
        if self.target.runtime == "torch":
            from unseen.runtimes import torch  # noqa: PLC0415

            network, dtype = self._source.make(), torch.DTYPES[precision]
            return torch.TorchNetwork(network, self.target.device, dtype, self._outputs)
        path = self._compiled(precision) / f"{self._source.tower}.onnx"
        return onnx.OnnxNetwork(
            path,
            outputs=self._outputs,
            provider=self.target.device,
            number=self.target.number,
            threads=1 if self._one_thread and prepacked else self._threads,
            prepacked=prepacked,
            optimised=prepacked or self._source.convolutional,
            arena=not (self._one_thread and self._source.tower == "text"),
        )

    def _compiled(self, precision: str) -> Path:
        def make(folder: Path) -> None:
            logger.info("%s: compiling its %s net, once", self._source.model, self._source.tower)
            recorder = self._recorder(precision)
            onnx.compile_network(self._source.make(), folder, recorder, self._outputs)

        return cache.build_folder(self._key(precision), make)

    def _recorder(self, precision: str) -> Recorder:
        return _recorder(precision, lambda: self._reference)


def image_recorder(model: Model, precision: str) -> Recorder:
    """What records the image net of a model in fp32, fp16 or int8, as it is compiled here."""
    source = tower(model, "image")
    return _recorder(precision, lambda: _reference(source, (EMBEDDING,), source.key))


def _recorder(precision: str, reference: Callable[[], ReferenceOutputs]) -> Recorder:
    from unseen.runtimes import graph, int8  # noqa: PLC0415 - only to compile

    if precision == "int8":
        bits = int8.weight_bits()
        return partial(int8.Int8Operations, ranges=reference().ranges, bits=bits)
    return graph.HalfOperations if precision == "fp16" else graph.CompiledOperations


def _reference(source: NetworkSource, outputs: tuple[str, ...], key: str) -> ReferenceOutputs:
    return reference_outputs(source, outputs, reference_key(key))


def reference_key(network_key: str) -> str:
    """Under which the right outputs of a network are kept."""
    return f"{network_key}-reference-v{ARCHITECTURE_VERSION}"
