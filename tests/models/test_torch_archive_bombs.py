"""A small archive cannot ask for much: time, memory, or a message of many lines."""

from __future__ import annotations

import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from unseen.errors import ModelError
from unseen.models.weights.torch_archive import TorchArchive

SECONDS = 10.0  # each takes at most one here; without the guards, most never end


def text(content: str) -> bytes:
    return b"X" + struct.pack("<I", len(content.encode())) + content.encode()


# A tuple of itself, 60 times over: 2^60 leaves. On the stack, and memo 0.
NESTED = b"K\x01\x85q\x000" + b"h\x00h\x00\x86q\x000" * 60 + b"h\x00"
STORAGE = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n("
ORDERED = b"ccollections\nOrderedDict\n"


def tensor(offset: bytes, shape: bytes, stride: bytes) -> bytes:
    return b"}" + text("w") + REBUILD + STORAGE + offset + shape + stride + b"\x89}tRs."


BOMBS = {
    "nested storage type": b"(" + text("storage") + NESTED + text("0") + text("cpu") + b"K\x04tQ.",
    "nested storage key": STORAGE.replace(text("0"), NESTED) + b".",
    "nested name": NESTED + b"h\x00\x93.",
    "nested function": NESTED + b")R.",
    "nested argument": b"cos\nsystem\n" + NESTED + b"\x85R.",
    "nested dict key": b"}" + NESTED + b"K\x01s.",
    "nested key of a pair": ORDERED + b"](" + NESTED + b"K\x01te\x85R.",
    "nested key of a pair, appended": ORDERED + b"]" + NESTED + b"K\x01\x86a\x85R.",
    "nested shape": tensor(b"K\x00", NESTED, b"K\x01\x85"),
    "nested offset": tensor(NESTED, b"K\x01\x85", b"K\x01\x85"),
    "nested state": b"}" + NESTED + b"b.",
    "a long list of pairs, again and again": (
        b"](" + b"K\x01K\x01\x86" * 100_000 + b"eq\x01" + (ORDERED + b"h\x01\x85R0") * 20_000 + b"."
    ),
    "many marks": b"(" * 20_000_000 + b".",
    "many nothings": b"N" * 20_000_000 + b".",
    "a text of a terabyte": b"\x8d" + struct.pack("<Q", 1 << 40) + b"x.",
    "a memo of a terabyte": b"N\x72\xff\xff\xff\xff.",
    "a number of a megabyte": b"\x8b" + struct.pack("<i", 1 << 20) + b"\x01" * (1 << 20) + b".",
    "seventy dimensions": tensor(
        b"K\x00", b"(" + b"K\x01" * 70 + b"t", b"(" + b"K\x01" * 70 + b"t"
    ),
    "a shape that is text": tensor(b"K\x00", text("ab"), text("cd")),
    "a shape of floats": tensor(b"K\x00", b"G" + b"\0" * 8 + b"\x85", b"K\x01\x85"),
    "a huge shape": tensor(b"K\x00", b"\x8a\x07" + b"\xff" * 6 + b"\0\x85", b"K\x00\x85"),
    "a storage of an exabyte": b"}" + STORAGE.replace(b"K\x04", b"\x8a\x09" + b"\0" * 8 + b"\x10"),
    "no arguments": REBUILD[:-1] + b")R.",
    "an argument too many": b"ctorch\nSize\n)K\x01\x86R.",
}


def as_zip(path: Path, pickled: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + pickled)
        archive.writestr("archive/data/0", b"\0" * 16)
    return path


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str, tmp_path: Path) -> None:
    path = as_zip(tmp_path / "a.bin", BOMBS[name])
    start = time.thread_time()
    with pytest.raises(ModelError, match="refused"):
        TorchArchive(path)
    assert time.thread_time() - start < SECONDS


@pytest.mark.parametrize(
    ("pickled", "symbol"),
    [
        (b"cevil\nmodule\n.", "evil.module"),
        (b"(K\x01ievil\nmodule\n.", "evil module"),
        (b"\x80\x04" + text("evil") + text("mod\nule\x1b[31m") + b"\x93.", "evil.mod\\nule\\x1b"),
        (b"\x80\x04" + text("evil") + text("x" * 1_000_000) + b"\x93.", "evil.xxx"),
    ],
)
def test_the_message_is_one_short_line(pickled: bytes, symbol: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        TorchArchive(as_zip(tmp_path / "a.bin", pickled))
    message = str(error.value)
    assert symbol in message and message.isprintable() and len(message) < 1000


def test_an_expanded_tensor_is_read_and_a_vast_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    torch.save({"w": torch.arange(3.0).expand(5, 3)}, path)
    np.testing.assert_array_equal(TorchArchive(path).read("w"), np.arange(3.0) * np.ones((5, 1)))
    torch.save({"w": torch.zeros(1).expand(1 << 40)}, path)
    with pytest.raises(ModelError, match="reaches past its storage"):
        TorchArchive(path)


def rewritten(source: Path, target: Path, **changes: bytes | None) -> Path:
    """The zip at `source` with entries replaced, added, or left out (None)."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        entries = {n.split("/", 1)[1]: old.read(n) for n in old.namelist()} | changes
        for name, content in entries.items():
            if content is not None:
                new.writestr(f"a/{name}", content)
    return target


def test_entries_that_lie(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.bin", tmp_path / "a.bin"
    torch.save({"w": torch.arange(4.0)}, whole)
    with pytest.raises(ModelError, match="storage '0' is missing"):
        TorchArchive(rewritten(whole, path, **{"data/0": None}))
    with pytest.raises(ModelError, match="cut short"):  # and not what lies behind it in the file
        TorchArchive(rewritten(whole, path, **{"data/0": b"\0" * 8, "data/1": b"\0" * 64}))
    outside = tmp_path / "outside"
    outside.write_bytes(b"\0" * 16)
    for key in ("../../outside", str(outside)):
        storage = STORAGE.replace(text("0"), text(key))
        pickled = tensor(b"K\x00", b"K\x04\x85", b"K\x01\x85").replace(STORAGE, storage)
        with pytest.raises(ModelError, match="is missing"):
            TorchArchive(as_zip(path, pickled))
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            archive.writestr("a/data.pkl", b"}.")
    with pytest.raises(ModelError, match="two entries of one name"):
        TorchArchive(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"}.")
        archive.writestr("b/data.pkl", b"}.")
    with pytest.raises(ModelError, match="not one that torch wrote"):
        TorchArchive(path)


def test_big_endian_archives_are_swapped(tmp_path: Path) -> None:
    values = torch.arange(4.0)
    torch.save({"w": values}, tmp_path / "whole.bin")
    big = values.numpy().astype(">f4").tobytes()
    path = rewritten(
        tmp_path / "whole.bin", tmp_path / "a.bin", byteorder=b"big", **{"data/0": big}
    )
    read = TorchArchive(path).read("w")
    assert read.dtype == np.float32 and read.dtype.isnative
    np.testing.assert_array_equal(read, values.numpy())


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_archive(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"a\.bin: "):
        TorchArchive(path)
    with pytest.raises(ModelError, match="No such file"):
        TorchArchive(tmp_path / "none.bin")


def test_torchscript_is_refused_by_name(tmp_path: Path) -> None:
    """The form of OpenAI's own .pt files."""
    path = as_zip(tmp_path / "a.pt", b"c__torch__.multimodal.model\nMultimodal\n)\x81.")
    with pytest.raises(ModelError, match=r"asks for __torch__\.multimodal\.model\.Multimodal"):
        TorchArchive(path)
