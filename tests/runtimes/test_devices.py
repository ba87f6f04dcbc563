"""Where networks are carried out: what each wish comes to on machines that have this or that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import checkpoints
import unseen
from unseen.errors import ModelError
from unseen.runtimes import devices, onnx, torch_operations
from unseen.runtimes import torch as on_torch
from unseen.runtimes.devices import CPU, ExecutionTarget, execution_target


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`machine(providers=…, torch=…, gpu=…)` makes this one look like another."""

    def make(providers: tuple[str, ...] = (), has_torch: bool = False, gpu: str = "") -> None:
        monkeypatch.setattr(onnx, "available_providers", lambda: [*providers, CPU])
        monkeypatch.setattr(devices, "find_spec", lambda name: object() if has_torch else None)
        monkeypatch.setattr(devices, "_may_have_gpu", lambda: bool(gpu))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu == "cuda")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: gpu == "mps")

    return make


@pytest.mark.parametrize(
    ("has", "device", "target"),
    [
        ({}, "auto", ExecutionTarget("onnx", CPU)),
        ({"has_torch": True}, "auto", ExecutionTarget("onnx", CPU)),
        (
            {"has_torch": True, "gpu": "cuda"},
            "auto",
            ExecutionTarget("torch", "cuda", optional=True),
        ),
        ({"has_torch": True, "gpu": "cuda"}, "cuda:1", ExecutionTarget("torch", "cuda:1")),
        ({"has_torch": True, "gpu": "cuda"}, "cpu", ExecutionTarget("onnx", CPU)),
        ({"has_torch": True, "gpu": "mps"}, "auto", ExecutionTarget("torch", "mps", optional=True)),
        ({"gpu": "cuda"}, "auto", ExecutionTarget("onnx", CPU)),
        (
            {"providers": ("CUDAExecutionProvider",), "gpu": "cuda"},
            "cuda:1",
            ExecutionTarget("onnx", "CUDAExecutionProvider", 1),
        ),
        (
            {"providers": ("DmlExecutionProvider",)},
            "auto",
            ExecutionTarget("onnx", "DmlExecutionProvider", optional=True),
        ),
        (
            {"providers": ("OpenVINOExecutionProvider",)},
            "auto",
            ExecutionTarget("onnx", "OpenVINOExecutionProvider", optional=True),
        ),
        (
            {"providers": ("CoreMLExecutionProvider",)},
            "mps",
            ExecutionTarget("onnx", "CoreMLExecutionProvider"),
        ),
    ],
)
def test_where_it_runs(
    has: dict[str, Any], device: str, target: ExecutionTarget, machine: Any
) -> None:
    machine(**has)
    assert execution_target(device) == target


@pytest.mark.parametrize(
    ("has", "device", "complaint"),
    [
        ({}, "cuda", r"device='cuda' needs torch \(`pip install \"unseen\[gpu\]\"`\)"),
        ({}, "mps", "needs torch"),
        ({"has_torch": True}, "cuda", "torch finds no CUDA device"),
        ({"has_torch": True, "gpu": "cuda"}, "cuda:2", "torch finds 2"),
        ({}, "tpu", "unknown device 'tpu'; choose one of: auto, cpu, cuda, cuda:1"),
        ({}, "cuda:x", "unknown device"),
        ({}, "", "unknown device"),
    ],
)
def test_what_is_not_here_is_refused(
    has: dict[str, Any], device: str, complaint: str, machine: Any
) -> None:
    machine(**has)
    with pytest.raises(ModelError, match=complaint):
        execution_target(device)


def test_torch_is_not_imported_where_there_is_no_driver() -> None:
    import subprocess
    import sys

    code = (
        "import sys, unseen\nfrom unseen.runtimes import devices\ndevices.DRIVERS = ()\n"
        "devices.execution_target('auto'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


class OnTorch:
    """A GPU that is really the processor: everything but the speed is the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import unseen.encoder

        monkeypatch.setattr(
            unseen.encoder, "execution_target", lambda device: ExecutionTarget("torch", "cpu")
        )


def test_whole_classifiers_on_torch(
    tmp_path: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoints.clip(tmp_path / "clip")
    pictures = [np.full((40, 50, 3), shade, np.uint8) for shade in (20, 120, 220)]
    here = unseen.load(folder, device="cpu")
    images, texts = here.encode_images(pictures), here.encode_texts(["a cat", "a dog"])
    OnTorch(monkeypatch)
    there = unseen.load(folder)
    np.testing.assert_allclose(there.encode_images(pictures), images, atol=1e-5)
    np.testing.assert_allclose(there.encode_texts(["a cat", "x"])[:1], texts[:1], atol=1e-5)
    assert list((fresh_home / "networks").glob("*-torch-*-cpu/check.json"))
    half = unseen.load(folder, precision="fp16").encode_images(pictures)
    assert (half * images).sum(1).min() >= 0.999 and np.abs(half - images).max() > 1e-6
    with pytest.raises(ModelError, match="precision 'int8' is for the CPU"):
        unseen.load(folder, precision="int8").encode_images(pictures)


def test_auto_on_a_gpu_is_half_precision_if_that_is_near(
    tmp_path: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_torch, "half_precision", lambda device: "bf16")
    picture = [np.full((40, 50, 3), 120, np.uint8)]
    OnTorch(monkeypatch)
    chosen = unseen.load(checkpoints.clip(tmp_path / "clip"), precision="auto")
    chosen.encode_images(picture)
    assert chosen.encoder.precision == "bf16"
    # The built-in model keeps the largest of its probabilities: rounding changes which.
    far = unseen.load(precision="auto")
    far.encode_images(picture)
    assert far.encoder.precision in ("bf16", "fp32")
    assert far.encoder.precision == (
        "bf16" if far.encoder._image.cosine("bf16") >= 0.999 else "fp32"
    )


@pytest.mark.parametrize("how", ["cannot be loaded", "computes something else"])
def test_what_auto_found_and_does_not_work_is_replaced_by_the_cpu(
    how: str, tmp_path: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never silently worse: a driver that is half there, or one with other numbers."""
    import unseen.encoder

    gpu = ExecutionTarget(
        "torch", "cpu" if how == "computes something else" else "nowhere:0", optional=True
    )
    monkeypatch.setattr(unseen.encoder, "execution_target", lambda device: gpu)
    if how == "computes something else":
        right = torch_operations._ACTIVATIONS["quick_gelu"]
        monkeypatch.setitem(torch_operations._ACTIVATIONS, "quick_gelu", lambda x: right(x) * 0.9)
    else:

        def broken(*arguments: Any) -> None:
            raise ModelError("its weights do not fit")

        monkeypatch.setattr(on_torch, "TorchNetwork", broken)
    classifier = unseen.load(checkpoints.clip(tmp_path / "clip"))
    picture = [np.full((40, 50, 3), 120, np.uint8)]
    with pytest.warns(unseen.UnseenWarning, match="cannot be used, the CPU is used instead"):
        rows = classifier.encode_images(picture)
    monkeypatch.undo()
    expected = unseen.load(tmp_path / "clip", device="cpu").encode_images(picture)
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert classifier.encoder.target.is_cpu


def test_a_batch_that_onnx_runtime_has_no_memory_for_is_halved(tmp_path: Path) -> None:
    folder = checkpoints.clip(tmp_path / "clip")
    classifier = unseen.load(folder)
    pictures = [np.full((40, 50, 3), 30 * n, np.uint8) for n in range(7)]
    expected = classifier.encode_images(pictures)
    network = classifier.encoder._image._checked
    session, sizes = network._session, []

    class Small:
        def run(self, names: None, feed: dict[str, Any]) -> Any:
            (batch,) = feed.values()
            sizes.append(len(batch))
            if len(batch) > 2:
                raise RuntimeError("Failed to allocate memory for requested buffer of size 9")
            return session.run(names, feed)

    network._session = Small()
    np.testing.assert_allclose(classifier.encode_images(pictures), expected, atol=1e-6)
    assert sizes == [7, 3, 1, 2, 4, 2, 2]
    classifier.encoder._image._checked._session = session


def test_nothing_is_written_into_the_home_of_the_user(tmp_path: Path, shapes_clip: Path) -> None:
    """ONNX Runtime 1.31 keeps a device's id and a log of use there, if it is let."""
    code = "import sys, unseen; unseen.load(sys.argv[1]).encode_texts(['a'])"
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "UNSEEN_HOME": str(tmp_path / "unseen")}
    environment.pop("XDG_CACHE_HOME", None)
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run(
        [sys.executable, "-c", code, str(shapes_clip)], env=environment, check=True, timeout=120
    )
    assert list(home.rglob("*")) == []
