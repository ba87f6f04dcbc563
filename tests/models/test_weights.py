"""Weights come out as they were saved, one at a time; what is damaged is an error of one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from unseen.errors import ModelError
from unseen.models import weights as rooms
from unseen.models.weights import open_files, open_weights, weight_files


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "float32": torch.randn(3, 4),
        "float16": torch.randn(5).half(),
        "float64": torch.randn(2, 2).double(),
        "bfloat16": torch.cat([torch.randn(30), torch.tensor([0.0, -0.0, 3e38, 1e-40])]).bfloat16(),
        "bfloat16 scalar": torch.tensor(1.5).bfloat16(),
        "bfloat16 empty": torch.zeros(0, 7).bfloat16(),
        "int64": torch.arange(7).reshape(7, 1),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(2.6592),
        "empty": torch.zeros(0, 3),
    }


def test_every_type_bit_for_bit(tmp_path: Path) -> None:
    saved = tensors()
    save_file(saved, tmp_path / "model.safetensors")
    opened = open_weights(tmp_path)
    assert set(opened) == set(saved) and len(opened) == len(saved)
    for name, tensor in saved.items():
        wanted = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        assert opened.shape(name) == tuple(tensor.shape)
        assert opened[name].dtype == wanted.numpy().dtype
        assert opened[name].tobytes() == wanted.numpy().tobytes(), name


def test_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(tensors(), tmp_path / "model.safetensors")
    read: list[str] = []
    whole = rooms.SafetensorsFile.read
    monkeypatch.setattr(
        rooms.SafetensorsFile, "read", lambda self, name: read.append(name) or whole(self, name)
    )
    opened = open_weights(tmp_path)
    assert "float32" in opened and "nothing" not in opened and opened.shape("int64") == (7, 1)
    assert read == []
    opened["float32"]
    assert read == ["float32"]


def test_a_missing_name_says_what_is_near(tmp_path: Path) -> None:
    save_file({"text_model.norm.weight": torch.ones(1)}, tmp_path / "model.safetensors")
    opened = open_weights(tmp_path)
    for ask in (opened.__getitem__, opened.shape):
        with pytest.raises(ModelError, match=r"no weight 'text_model.norm.weigth'.*norm\.weight"):
            ask("text_model.norm.weigth")


def test_types_that_are_not_read_are_named(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="F8_E4M3"):
        open_weights(tmp_path)["w"]


def test_order_of_preference(tmp_path: Path) -> None:
    assert_missing(tmp_path)
    torch.save({"w": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert open_weights(tmp_path)["w"] == 0
    save_file({"w": torch.ones(1)}, tmp_path / "model.safetensors")
    assert open_weights(tmp_path)["w"] == 1


def assert_missing(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"no weights in it; looked for model\.safetensors"):
        open_weights(folder)


def shards(folder: Path, suffix: str = ".safetensors") -> Path:
    stem = {".safetensors": "model", ".bin": "pytorch_model"}[suffix]
    parts = [f"{stem}-{i}-of-2{suffix}" for i in (1, 2)]
    for i, part in enumerate(parts):
        content = {f"w{i}": torch.full((2, 2), float(i))}
        if suffix == ".bin":
            torch.save(content, folder / part)
        else:
            save_file(content, folder / part)
    index = folder / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": {"w0": parts[0], "w1": parts[1]}}))
    return index


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards(suffix: str, tmp_path: Path) -> None:
    shards(tmp_path, suffix)
    opened = open_weights(tmp_path)
    assert set(opened) == {"w0", "w1"}
    np.testing.assert_array_equal(opened["w1"], np.ones((2, 2)))
    assert len(weight_files(tmp_path)) == 2


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    shards(tmp_path)
    (tmp_path / "model-2-of-2.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model-2-of-2\.safetensors is missing"):
        open_weights(tmp_path)


def test_one_weight_in_two_shards(tmp_path: Path) -> None:
    shards(tmp_path)
    save_file({"w0": torch.ones(1)}, tmp_path / "model-2-of-2.safetensors")
    with pytest.raises(ModelError, match="'w0' is in two"):
        open_weights(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../x.safetensors", "/etc/x.bin", "a/b.bin", "..\\x.bin", "x.py", "..", "", 5, None, ["x"]],
)
def test_a_shard_lies_beside_its_index(name: object, tmp_path: Path) -> None:
    index = {"weight_map": {"w": name}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"no weight file beside it|damaged"):
        open_weights(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"weight_map": {}}', "[" * 100_000, "\0"])
def test_a_damaged_index(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelError, match="index of shards"):
        open_weights(tmp_path)


def test_damaged_safetensors_files(tmp_path: Path) -> None:
    """Cut short anywhere, or with bytes changed: an array, or one line."""
    path = tmp_path / "model.safetensors"
    save_file(tensors(), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for case in range(300):
        broken = bytearray(whole)
        if case % 2:
            broken = broken[: int(rng.integers(0, len(whole)))]
        else:
            for at in rng.integers(0, min(900, len(whole)), 3):
                broken[at] = int(rng.integers(0, 256))
        path.write_bytes(bytes(broken))
        try:
            opened = open_weights(tmp_path)
            for name in opened:
                opened[name]
        except ModelError as error:
            assert "\n" not in str(error)
        else:
            assert case % 2 == 0, "a file that was cut short was read"


def test_what_is_no_weight_file(tmp_path: Path) -> None:
    pointer = tmp_path / "model.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ModelError, match="git lfs pull"):
        open_weights(tmp_path)
    with pytest.raises(ModelError, match=r"\.onnx: weights are read from"):
        open_files([tmp_path / "model.onnx"], "model")
    with pytest.raises(ModelError, match="cannot be read"):
        open_files([tmp_path / "none.bin"], "model")
