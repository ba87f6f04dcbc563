"""`unseen export`, as a user types it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from running import ROOT, unseen


def test_a_file_that_runs_without_us(tmp_path: Path) -> None:
    file = tmp_path / "pets.onnx"
    done = unseen("export", "-l", "cat,dog,castle", "-o", file, "--check", ROOT / "examples")
    assert done.stdout.startswith("check: 3 of 3 first answers are the library's")
    assert "3 answers" in done.stderr and "Apache-2.0" in done.stderr
    session = onnxruntime.InferenceSession(str(file))
    pixels = np.asarray(Image.open(ROOT / "examples" / "dog.jpg").convert("RGB"))
    probabilities, _ = session.run(None, {"image": pixels})
    assert probabilities.argmax() == 1
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_a_broken_picture_is_left_out_of_the_check_and_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff and no more")
    cat = ROOT / "examples" / "cat.jpg"
    file = tmp_path / "x.onnx"
    done = unseen("export", "-l", "cat,dog", "-o", file, "--check", cat, broken, code=1)
    assert "check: 1 of 1" in done.stdout
    assert "1 could not be read" in done.stdout


def test_unknown_auto_is_checked_too(tmp_path: Path) -> None:
    file = tmp_path / "pets.onnx"
    options = ("--unknown", "auto", "--check", ROOT / "examples")
    done = unseen("export", "-l", "cat,dog", "-o", file, *options)
    assert "3 of 3 first answers" in done.stdout and "evidence by at most" in done.stdout


def test_vectors_for_dlstreamer(tmp_path: Path) -> None:
    file = tmp_path / "pets.safetensors"
    done = unseen("export", "-l", "cat,dog", "--dlstreamer", file)
    assert f"2 labels; labels-file: {tmp_path / 'pets.labels.txt'}" in done.stderr
    again = unseen("export", "-l", "cat,dog", "--dlstreamer", file, code=2)
    assert "already exists; pass --overwrite" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-l", "cat,dog"], "give one of -o animals.onnx, --web FOLDER and --dlstreamer"),
        (["-o", "x.onnx"], "no labels were given"),
        (["-l", "cat,dog", "-o", "x.pb"], "give it that ending"),
        (["-l", "cat,dog", "-o", "README.md"], "README.md already exists; pass --overwrite"),
        (["-l", "cat,dog", "-o", "x.onnx", "--fixed", "big"], "such as 224x224"),
        (["-l", "cat,dog", "-o", "x.onnx", "--precision", "fp8"], "unknown precision 'fp8'"),
        (["-l", "cat,dog", "-o", "x.onnx", "--precision", "auto"], "choose one of: fp32, fp16"),
        (["-l", "cat,dog", "-o", "x.onnx", "--webgpu"], "--webgpu is for --web, not for -o"),
        (["-l", "cat,dog", "--web", "x", "--check"], "--check is for -o, not for --web"),
        (["-l", "cat,dog", "--dlstreamer", "x.safetensors", "--multi"], "--multi is for -o and"),
        (["-l", "cat,dog", "--dlstreamer", "x.pth"], "give it that ending"),
        (["-l", "old,indoor", "-o", "x.onnx", "--unknown", "auto"], "decides nothing here"),
        (["-l", "cat,dog", "-o", "x.onnx", "examples"], "pictures are for --check"),
        (["-l", "cat,dog", "-o", "nowhere/x.onnx"], "nowhere/x.onnx: it cannot be written"),
    ],
)
def test_mistakes_are_one_line_before_any_work(arguments: list[str], message: str) -> None:
    done = unseen("export", *arguments, code=2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
