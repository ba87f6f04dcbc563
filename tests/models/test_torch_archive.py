"""Torch archives are read without torch, bit for bit, and a hostile one runs nothing."""

from __future__ import annotations

import collections
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen.errors import ModelError
from unseen.models.weights.torch_archive import LEGACY_MAGIC, TorchArchive

LAYOUTS = {"zip": True, "legacy": False}


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    return {
        "float32": torch.randn(3, 4),
        "float16": torch.randn(5).half(),
        "float64": torch.randn(2, 2).double(),
        "bfloat16": torch.randn(4, 3).bfloat16(),
        "int64": torch.arange(7),
        "int8": torch.arange(-3, 3, dtype=torch.int8),
        "uint8": torch.arange(250, 256, dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.6592),
        "empty": torch.zeros(0, 3),
        "transposed": base.T,
        "sliced": base[1:4, ::2],
        "shared": base,
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }


def save(content: Any, path: Path, layout: str) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=LAYOUTS[layout])
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_type_and_stride_bit_for_bit(layout: str, tmp_path: Path) -> None:
    tensors = state()
    archive = TorchArchive(save(tensors, tmp_path / "a.bin", layout))
    assert list(archive.tensors) == list(tensors)
    for name, tensor in tensors.items():
        expected = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        np.testing.assert_array_equal(archive.read(name), expected.numpy(), name)
        assert archive.read(name).dtype == expected.numpy().dtype


@pytest.mark.parametrize("layout", LAYOUTS)
def test_modules_wrappers_and_prefixes(layout: str, tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    expected = module.state_dict()  # an OrderedDict with _metadata
    contents = {
        "plain": expected,
        "wrapped": {"epoch": 3, "state_dict": expected},
        "parallel": {f"module.{k}": v for k, v in expected.items()},
        "parameters": {k: torch.nn.Parameter(v) for k, v in expected.items()},
    }
    for name, content in contents.items():
        archive = TorchArchive(save(content, tmp_path / f"{name}.bin", layout))
        assert set(archive.tensors) == set(expected)
        np.testing.assert_array_equal(archive.read("0.weight"), expected["0.weight"].numpy())


class Call:
    """Pickles into a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def canary_calls(canary: Path) -> dict[str, Any]:
    touch = f"open({str(canary)!r}, 'w').close()"
    return {
        "os.system": Call(os.system, f"touch {canary}"),
        "builtins.exec": Call(exec, touch),
        "builtins.eval": Call(eval, touch),
        "subprocess": Call(subprocess.call, ["touch", str(canary)]),
        "builtins.getattr": Call(getattr, "text", "join"),
        "builtins.open": Call(open, str(canary), "w"),
        "torch.load": Call(torch.load, str(canary)),
        "numpy": Call(np.load, str(canary)),
        "OrderedDict of calls": collections.OrderedDict(weight=Call(os.system, f"touch {canary}")),
    }


def raw_pickles(canary: Path) -> dict[str, bytes]:
    """The other opcodes that can run something."""
    command = f"touch {canary}".encode()
    return {
        "INST": b"(S'" + command + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + command + b"'\no.",
        "NEWOBJ": b"\x80\x02cos\nsystem\nX"
        + len(command).to_bytes(4, "little")
        + command
        + b"\x85\x81.",
        "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c"
        + bytes([len(command)])
        + command
        + b"\x85R.",
        "BUILD": b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\0\0\0aK\x01sb0cos\nsystem\n.",
        "EXT1": b"\x80\x02\x82\x01.",
        "PERSID": b"Pos.system\n.",
        "name with dots": b"\x80\x04\x8c\x0btorch._utils\x8c\x11_rebuild_tensor_v2.x\x93.",
        "no STOP": b"\x80\x02}q\0",
        "POP of nothing": b"0.",
        "deep": b"(" * 100_000 + b".",
        "list in itself": b"\x80\x02]q\0h\0a.",
    }


def as_zip(path: Path, pickled: bytes, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, content in entries.items():
            archive.writestr(f"archive/{name}", content)
    return path


def as_legacy(path: Path, pickled: bytes) -> Path:
    head = [pickle.dumps(x, 2) for x in (LEGACY_MAGIC, 1001, {"little_endian": True})]
    path.write_bytes(b"".join(head) + pickled + pickle.dumps([], 2))
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_hostile_archive_is_refused_and_nothing_runs(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    pickled = {k: pickle.dumps(v, 2) for k, v in canary_calls(canary).items()}
    pickled |= raw_pickles(canary)
    write = as_zip if layout == "zip" else as_legacy
    paths = {k: write(tmp_path / f"{i}.bin", p) for i, (k, p) in enumerate(pickled.items())}
    ran: list[Any] = []
    monkeypatch.setattr(os, "system", ran.append)
    "zipfile's own codec".encode("cp437")  # importing it would be seen as running something
    sys.addaudithook(
        lambda event, args: ran.append((event, args)) if WATCH[0] and event in RUNS else None
    )
    WATCH[0] = True
    try:
        for name, path in paths.items():
            with pytest.raises(ModelError, match="refused") as error:
                TorchArchive(path)
            assert "\n" not in str(error.value), name
    finally:
        WATCH[0] = False
    assert ran == [] and not canary.exists()


WATCH = [False]
RUNS = {"os.system", "subprocess.Popen", "exec", "pickle.find_class", "os.exec", "os.fork"}


def test_the_refusal_names_what_was_asked_for(tmp_path: Path) -> None:
    path = as_zip(tmp_path / "a.bin", pickle.dumps(Call(os.system, "true"), 2))
    with pytest.raises(ModelError, match=r"it asks for posix\.system|it asks for nt\.system"):
        TorchArchive(path)


def test_shapes_that_lie_are_refused(tmp_path: Path) -> None:
    """A tensor beyond its storage, of negative stride, or far larger than it."""

    class Fake:
        def __init__(self, *arguments: Any) -> None:
            self.arguments = arguments

        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, self.arguments

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: Any) -> Any:
            if thing == "storage!":
                return ("storage", torch.FloatStorage, "0", "cpu", 4)
            return None

    for offset, shape, stride in [
        (0, (5,), (1,)),
        (3, (2,), (1,)),
        (0, (2, 2), (9, 1)),
        (0, (1_000_000_000_000,), (0,)),
        (-1, (1,), (1,)),
        (0, (4,), (-1,)),
        (0, (2,), (1, 1)),
    ]:
        buffer = io.BytesIO()
        Pickler(buffer, 2).dump({"w": Fake("storage!", offset, shape, stride, False, {})})
        path = as_zip(tmp_path / "a.bin", buffer.getvalue(), **{"data/0": b"\0" * 16})
        with pytest.raises(ModelError, match="refused"):
            TorchArchive(path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_three_hundred_broken_archives_are_errors_or_arrays(layout: str, tmp_path: Path) -> None:
    whole = save(state(), tmp_path / "whole.bin", layout).read_bytes()
    rng = np.random.default_rng(3)
    path = tmp_path / "broken.bin"
    for case in range(150):
        broken = bytearray(whole)
        if case % 3 == 0:
            broken = broken[: int(rng.integers(1, len(whole)))]
        else:
            for at in rng.integers(0, min(len(whole), 3000 if case % 3 == 1 else len(whole)), 3):
                broken[at] = int(rng.integers(0, 256))
        path.write_bytes(bytes(broken))
        try:
            archive = TorchArchive(path)
            for name in archive.tensors:
                archive.read(name)
        except ModelError as error:
            assert "\n" not in str(error)


def test_compressed_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
    with pytest.raises(ModelError, match="compressed"):
        TorchArchive(path)
