"""Which runtime carries the networks out, and where: torch on a GPU, else ONNX Runtime."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from unseen.errors import ModelError
from unseen.runtimes import onnx

CPU = "CPUExecutionProvider"
# Of ONNX Runtime, best first; each comes with a package of its own (onnxruntime-gpu, …).
PROVIDERS = {
    "CUDAExecutionProvider": "cuda",
    "DmlExecutionProvider": "directml",
    "OpenVINOExecutionProvider": "openvino",
    "CoreMLExecutionProvider": "mps",
}
# Where a driver shows itself, so that torch need not be imported (seconds) to learn of none.
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class Place:
    """`runtime` is "onnx" or "torch"; `device` one of torch's, or an execution provider."""

    runtime: str
    device: str
    number: int = 0  # of the GPU, for an execution provider
    optional: bool = False  # taken by "auto": where it fails, the CPU takes its place

    @property
    def is_cpu(self) -> bool:
        return self.device == CPU


def place(wanted: str) -> Place:
    """ "auto", "cpu", "cuda", "cuda:1" or "mps" → where that is. Raises ModelError.

    "auto" is a GPU by torch if there is one (the extra `gpu`), then what ONNX Runtime was installed
    with, then the CPU.
    """
    if wanted == "cpu":
        return Place("onnx", CPU)
    kind, _, number = wanted.partition(":")
    if kind not in ("auto", "cuda", "mps") or (number and not number.isdecimal()):
        raise ModelError(f"device={wanted!r} is none that is known: auto, cpu, cuda, cuda:1, mps.")
    found = _provider(kind)
    has_torch = find_spec("torch") is not None
    if has_torch and (_may_have_gpu() if wanted == "auto" else found is None):
        from unseen.runtimes import torch  # noqa: PLC0415 - seconds, and only for a GPU

        device = torch.device_for(wanted)
        if device is not None:
            return Place("torch", device, optional=wanted == "auto")
    if found is not None:
        return Place("onnx", found, int(number or 0), optional=wanted == "auto")
    if wanted == "auto":
        return Place("onnx", CPU)
    raise ModelError(
        f'device={wanted!r} needs torch (`pip install "unseen[gpu]"`) or an ONNX Runtime for it '
        "(`pip install onnxruntime-gpu` in place of onnxruntime); neither is here."
    )


def _provider(kind: str) -> str | None:
    """The execution provider that ONNX Runtime offers for a kind of device, the best for auto."""
    offered = onnx.available_providers()
    fitting = (p for p, device in PROVIDERS.items() if p in offered and kind in ("auto", device))
    return next(fitting, None)


def _may_have_gpu() -> bool:
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    if platform.system() == "Windows":
        root = os.environ.get("SYSTEMROOT", r"C:\Windows")
        return (Path(root) / "System32" / "nvcuda.dll").is_file()
    return any(Path(driver).exists() for driver in DRIVERS)
