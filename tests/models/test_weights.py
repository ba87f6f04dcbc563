"""Weights by name from every form of checkpoint, lazily, with clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPModel

import checkpoints
import unseen
from unseen.errors import ModelError
from unseen.models.weights.files import open_files, open_weights, weight_files
from unseen.models.weights.safetensors_file import SafetensorsFile


def test_every_form_gives_the_same_weights_and_embeddings(tmp_path: Path) -> None:
    first = checkpoints.clip(tmp_path / "safetensors")
    model = CLIPModel.from_pretrained(first)
    expected = {k: v.numpy() for k, v in model.state_dict().items()}
    forms = {"safetensors": first}
    for form in ("sharded", "zip", "legacy"):
        forms[form] = checkpoints.clip(tmp_path / form)
        (forms[form] / "model.safetensors").unlink()
    model.save_pretrained(forms["sharded"], max_shard_size="200KB")
    assert len(list(forms["sharded"].glob("model-*.safetensors"))) > 2
    for form in ("zip", "legacy"):
        path = forms[form] / "pytorch_model.bin"
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=form == "zip")
    picture = np.zeros((50, 60, 3), np.uint8)
    rows = {}
    for form, folder in forms.items():
        weights = open_weights(folder)
        for name, array in expected.items():
            np.testing.assert_array_equal(weights[name], array, f"{form}: {name}")
            assert weights.shape(name) == array.shape
        rows[form] = unseen.load(folder).encode_images([picture])
    for form, row in rows.items():
        np.testing.assert_array_equal(row, rows["safetensors"], form)


def test_half_precision_is_read_as_what_it_says(tmp_path: Path) -> None:
    tensors = {
        "bf16": torch.randn(5, 3).bfloat16(),
        "f16": torch.randn(4).half(),
        "f32": torch.randn(2),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    weights = open_weights(tmp_path)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(weights[name].astype(np.float32), tensor.float().numpy())


def test_a_missing_weight_names_its_neighbours(tmp_path: Path) -> None:
    save_file({"visual_projection.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"Similar names: visual_projection\.weight"):
        open_weights(tmp_path)["vision_projection.weight"]


def test_an_unread_type_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2).to(torch.float8_e4m3fn)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="F8_E4M3"):
        open_weights(tmp_path)["w"]


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x10\0\0\0\0\0\0\0{}", b"{" * 2000])
def test_a_damaged_file_is_an_error(content: bytes, tmp_path: Path) -> None:
    for name in ("model.safetensors", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError):
            open_weights(tmp_path)
        (tmp_path / name).unlink()


def test_a_file_cut_short_is_an_error(tmp_path: Path) -> None:
    folder = checkpoints.clip(tmp_path / "cut")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged"):
        open_weights(folder)


@pytest.mark.parametrize(
    "shard, words",
    [
        ("../model.safetensors", "not a weight file beside it"),
        ("/etc/passwd", "not a weight file beside it"),
        ("model-2.safetensors", "is missing"),
        ("model.pkl", "not a weight file beside it"),
    ],
)
def test_an_index_that_lies_is_refused(shard: str, words: str, tmp_path: Path) -> None:
    index = {"weight_map": {"w": shard}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=words):
        open_weights(tmp_path)


def test_no_weights_at_all(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights in it"):
        open_weights(tmp_path)


def test_config_and_weights_must_tell_the_same_story(tmp_path: Path) -> None:
    folder = checkpoints.clip(tmp_path / "mixed")
    other = checkpoints.clip(tmp_path / "other", "B16")
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="disagree"):
        unseen.load(folder).encode_images([np.zeros((9, 9, 3), np.uint8)])


@pytest.mark.parametrize(
    "key, value, words",
    [("hidden_act", "mish", "mish"), ("num_attention_heads", 7, "7 attention heads")],
)
def test_a_config_we_cannot_follow_is_refused(
    key: str, value: object, words: str, tmp_path: Path
) -> None:
    folder = checkpoints.clip(tmp_path / "odd")
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"][key] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=words):
        unseen.load(folder).encode_images([np.zeros((9, 9, 3), np.uint8)])


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
        expected = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        assert opened.shape(name) == tuple(tensor.shape)
        assert opened[name].dtype == expected.numpy().dtype
        assert opened[name].tobytes() == expected.numpy().tobytes(), name


def test_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(tensors(), tmp_path / "model.safetensors")
    read: list[str] = []
    whole = SafetensorsFile.read
    monkeypatch.setattr(
        SafetensorsFile, "read", lambda self, name: read.append(name) or whole(self, name)
    )
    opened = open_weights(tmp_path)
    assert "float32" in opened and "nothing" not in opened and opened.shape("int64") == (7, 1)
    assert read == []
    opened["float32"]
    assert read == ["float32"]


def test_order_of_preference(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert open_weights(tmp_path)["w"] == 0
    save_file({"w": torch.ones(1)}, tmp_path / "model.safetensors")
    assert open_weights(tmp_path)["w"] == 1


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
    with pytest.raises(ModelError, match=r"not a weight file beside it|damaged"):
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


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_file_that_goes_away_after_it_was_opened(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    content = {"w": torch.ones(1000)}
    torch.save(content, path) if path.suffix == ".bin" else save_file(content, path)
    opened = open_weights(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="'w' can no longer be read"):
        opened["w"]
    path.unlink()
    with pytest.raises(ModelError, match="'w' can no longer be read"):
        opened["w"]
