"""What this installation is, and whether it works: data for `unseen doctor`."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

import unseen
from unseen.diagnostics.cache_contents import cache_contents
from unseen.diagnostics.verify import verify
from unseen.runtimes import devices, int8, onnx
from unseen.system import cache
from unseen.system.cpu import usable

LIBRARIES = (
    "numpy",
    "onnx",
    "onnxruntime",
    "pillow",
    "tokenizers",
    "safetensors",
    "huggingface-hub",
    "typer",
    "rich",
)
EXTRAS = {
    "pyarrow": "parquet",
    "pandas": "pandas",
    "torch": "gpu",
    "scikit-learn": "learn",
    "usearch": "ann",
}
HUB_SECONDS = 3.0
REINSTALL = 'pip install --force-reinstall "unseen", and report it if that does not help'


SIGNS = {True: "ok", False: "BAD", None: ""}


@dataclass(frozen=True)
class Finding:
    """One line of the report. `ok` None: a fact, neither good nor bad."""

    name: str
    value: str
    ok: bool | None = None
    advice: str = ""

    def __str__(self) -> str:
        line = f"{self.name:<28}{SIGNS[self.ok]:<5}{self.value}"
        return f"{line}\n{'':<33}{self.advice}" if self.advice else line


def examine() -> Iterator[Finding]:
    """Every finding, as soon as it is known; the self-test comes last. A check never raises."""
    yield Finding("unseen", unseen.__version__)
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    yield from map(_library, LIBRARIES)
    yield from (_extra(library, extra) for library, extra in EXTRAS.items())
    for name, check in (
        ("execution providers", _providers),
        ("threads", _threads),
        ("home", _home),
        ("hub", _hub),
        ("self-test", _self_test),
    ):
        yield from _guarded(name, check)


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of `check`, and one more for what it raises."""
    try:
        yield from check()
    except Exception as error:  # a check that fails is a finding
        yield Finding(name, f"{type(error).__name__}: {error}", ok=False, advice=REINSTALL)


def _library(name: str) -> Finding:
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "not installed", ok=False, advice=f"pip install {name}")


def _extra(library: str, extra: str) -> Finding:
    try:
        return Finding(library, metadata.version(library))
    except metadata.PackageNotFoundError:
        return Finding(library, f'not installed (an extra: pip install "unseen[{extra}]")')


def _providers() -> Iterator[Finding]:
    yield Finding("execution providers", ", ".join(onnx.available_providers()))
    yield Finding("int8", f"weights of {int8.weight_bits()} bits on this CPU")


def _threads() -> Iterator[Finding]:
    total = os.cpu_count() or 1
    yield Finding("threads", f"{usable()} of {total} processors; --threads chooses fewer")


def _home() -> Iterator[Finding]:
    folder = cache.home()  # a temporary one when the configured one cannot be written to
    size = f"{cache.size_of(folder) / 1e6:,.0f} MB"
    temporary = folder.is_relative_to(tempfile.gettempdir()) and folder.name.startswith("unseen-")
    location = os.environ.get("UNSEEN_HOME") or "the platform's cache folder"
    if temporary:
        yield Finding(
            "home",
            f"{location} cannot be written to; {folder} stands in for this process",
            ok=False,
            advice="set UNSEEN_HOME to a folder of your own, with room in it",
        )
    else:
        yield Finding("home", f"{folder} (writable, {size}; may be deleted at any time)", ok=True)
        for part in cache_contents().parts:
            yield Finding("", f"{part.count:,} {part.name}, {part.bytes / 1e6:,.0f} MB")


def _hub() -> Iterator[Finding]:
    from huggingface_hub import HfApi, constants  # noqa: PLC0415 - 0.3 s

    yield Finding("HF_HOME", f"{constants.HF_HOME}; models in {constants.HF_HUB_CACHE}")
    if constants.HF_HUB_OFFLINE:
        yield Finding("hub", f"{constants.ENDPOINT}: not asked, HF_HUB_OFFLINE is set")
        return
    try:
        HfApi().model_info("openai/clip-vit-base-patch32", timeout=HUB_SECONDS)
    except Exception as error:  # any error of the network is a fact, not a failure
        yield Finding(
            "hub",
            f"{constants.ENDPOINT}: not reached ({type(error).__name__})",
            advice="only downloads need it: the built-in model and local folders work without",
        )
        return
    yield Finding("hub", f"{constants.ENDPOINT}: reached", ok=True)


def _self_test() -> Iterator[Finding]:
    """The built-in model, compiled, against the reference runtime."""
    start = time.perf_counter()
    for check in verify(unseen.load().model, [devices.execution_target("cpu")]):
        yield Finding(
            f"self-test, {check.tower} net, {check.precision}",
            f"cosine {check.cosine:.6f} to the reference",
            ok=check.ok,
            advice="" if check.ok else REINSTALL,
        )
    yield Finding("self-test took", f"{time.perf_counter() - start:.1f} s")
