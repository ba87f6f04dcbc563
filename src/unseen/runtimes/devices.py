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
class ExecutionTarget:
    """Which runtime carries a network out, and on which device.

    Parameters
    ----------
    runtime : str
        "onnx" or "torch".
    device : str
        A torch device, or an execution provider of ONNX Runtime.
    number : int
        Which device of an execution provider.
    optional : bool
        Whether "auto" chose it: if it fails, the CPU is used instead.
    """

    runtime: str
    device: str
    number: int = 0
    optional: bool = False

    @property
    def is_cpu(self) -> bool:
        """Whether it is ONNX Runtime on the CPU."""
        return self.device == CPU


def execution_target(device: str) -> ExecutionTarget:
    """Where networks run for a `device` option.

    Parameters
    ----------
    device : str
        "auto", "cpu", "cuda", "cuda:1" (any number) or "mps". "auto" is a GPU by torch if there is
        one (the extra `gpu`), then what ONNX Runtime was installed with, then the CPU.

    Raises
    ------
    ModelError
        For another word, and for a device that this machine does not have.
    """
    if device == "cpu":
        return ExecutionTarget("onnx", CPU)
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda", "mps") or (number and not number.isdecimal()):
        raise ModelError(
            f"unknown device {device!r}; choose one of: auto, cpu, cuda, cuda:1 (any number), mps"
        )
    auto, provider = device == "auto", _provider(kind)
    has_torch = find_spec("torch") is not None
    if has_torch and (_may_have_gpu() if auto else provider is None):
        from unseen.runtimes import torch  # noqa: PLC0415 - seconds, and only for a GPU

        torch_device = torch.device_for(device)
        if torch_device is not None:
            return ExecutionTarget("torch", torch_device, optional=auto)
    if provider is not None:
        return ExecutionTarget("onnx", provider, int(number or 0), optional=auto)
    if auto:
        return ExecutionTarget("onnx", CPU)
    raise ModelError(
        f'device={device!r} needs torch (`pip install "unseen[gpu]"`) or an ONNX Runtime for it '
        "(`pip install onnxruntime-gpu` in place of onnxruntime); neither is installed."
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
