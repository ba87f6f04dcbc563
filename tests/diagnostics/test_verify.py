"""`unseen models verify`: runtimes and precisions against the definition, all against others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import checkpoints
import unseen
from running import unseen as command
from unseen.diagnostics import verify
from unseen.models import catalog


def test_every_runtime_and_precision(tmp_path: Path) -> None:
    folder = checkpoints.clip(tmp_path / "clip")
    done = command("models", "verify", str(folder), "--json")
    report = json.loads(done.stdout)
    assert report["published"] is None
    kinds = {(row["tower"], row["runtime"], row["precision"]) for row in report["networks"]}
    assert kinds == {
        *(
            (tower, "onnx", precision)
            for tower in ("image", "text")
            for precision in ("fp32", "fp16", "int8")
        ),
        ("image", "torch", "fp32"),
        ("text", "torch", "fp32"),
    }
    for row in report["networks"]:
        assert row["ok"] and row["cosine"] >= row["bound"]


def test_it_is_worked_out_anew_and_a_damaged_file_is_made_again(
    tmp_path: Path, fresh_home: Path
) -> None:
    folder = checkpoints.clip(tmp_path / "clip")
    model = unseen.load(folder).model
    targets = [verify.devices.execution_target("cpu")]
    assert all(check.ok for check in verify.verify(model, targets))
    for path in (fresh_home / "networks").glob("*/image.bin"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :: 97] = bytes(len(content[len(content) // 2 :: 97]))
        path.write_bytes(bytes(content))
    assert all(check.ok for check in verify.verify(model, targets))


def test_what_was_published_names_known_checkpoints() -> None:
    rows = json.loads(
        (Path(verify.__file__).parents[1] / "data" / "golden.json").read_text("utf-8")
    )
    for row in rows:
        known = verify.golden(row["id"])
        assert known is not None and catalog.find(known.id) is not None
        assert len(known.published) == len(known.prompts) >= 2 and known.source
        assert (known.logits is None) != (known.probabilities is None)
        assert known.probabilities is None or sum(known.probabilities) == pytest.approx(1, abs=1e-3)
    assert verify.golden("builtin") is None


def test_figures_are_compared(tmp_path: Path) -> None:
    """With a published figure of our own making: what transformers says of the same files."""
    from judging import clip_judge, pictures

    folder = checkpoints.clip(tmp_path / "clip")
    path = tmp_path / "picture.png"
    picture = pictures()[0]
    picture.save(path)
    prompts = ("a photo of a cat", "x")
    logits = clip_judge(folder).logits([Image.open(path)], list(prompts))[0]
    golden_logits = verify.Golden("x/y", str(path), prompts, "here", logits=tuple(logits.tolist()))
    encoder = unseen.load(folder, exact=True).encoder
    np.testing.assert_allclose(verify.compare(encoder, golden_logits), logits, atol=1e-3)
    softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    golden = verify.Golden("x/y", str(path), prompts, "here", probabilities=tuple(softmax))
    np.testing.assert_allclose(verify.compare(encoder, golden), softmax, atol=1e-4)


def test_without_a_network_the_picture_is_said_to_be_missing(tmp_path: Path) -> None:
    folder = checkpoints.clip(tmp_path / "clip")
    for nowhere in (str(tmp_path / "none.png"), "http://127.0.0.1:9/none.jpg"):
        known = verify.Golden("x/y", nowhere, ("a", "b"), "here", logits=(1.0, 2.0))
        check = verify.check_published(unseen.load(folder).encoder, known)
        assert check.ok is None and "not compared" in str(check)
