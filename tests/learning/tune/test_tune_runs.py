"""Whole runs of other kinds: killed and gone on, of open_clip's format, LoRA, parts of pictures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import judging
import tunings
import unseen
from openclip_judge import OpenClipJudge
from unseen.learning.tune.training import TuneProgress

KILLED = """
import os, signal, sys
import tunings, unseen
model, data, leash, out = sys.argv[1:]

def look(progress):
    if progress.step == 20:
        os.kill(os.getpid(), signal.SIGKILL)

options = tunings.options(leash=leash)
unseen.tune(unseen.load(model, device="cpu"), data, out, options, on_progress=look)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
def test_what_was_killed_goes_on_to_the_same_bytes(
    tuned: tuple[Any, Any], classifier: Any, data: Path, leash: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    arguments = [classifier.model.name, data, leash, target]
    support = {
        "PYTHONPATH": os.pathsep.join(filter(None, [*sys.path, str(Path(tunings.__file__).parent)]))
    }
    child = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, arguments)], env={**os.environ, **support},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.unfinished"]
    steps: list[TuneProgress] = []
    again = unseen.tune(
        classifier, data, target, tunings.options(leash=leash), on_progress=steps.append
    )
    assert 10 < steps[0].step <= 21 and again.decision == "tuned"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    for file in sorted(tuned[0].folder.iterdir()):
        assert (target / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.fixture(scope="module")
def openclip_out(
    shapes_clip: Path, data: Path, leash: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("openclip")
    base = tunings.openclip_shapes(shapes_clip, place / "base")
    options = tunings.options(leash=leash, steps=24)
    report = unseen.tune(unseen.load(base, device="cpu"), data, place / "out", options)
    assert report.decision == "tuned", (report.reason, report.before, report.after)
    return base, place / "out"


def test_a_folder_of_open_clip_stays_one(openclip_out: tuple[Path, Path]) -> None:
    base, out = openclip_out
    found = judging.differences(out, OpenClipJudge(out), ["a red circle", "a blue ring"])
    assert max(found.values()) < 1e-4, found  # ONNX and the reference against open_clip
    before, after = (load_file(f / "open_clip_model.safetensors") for f in (base, out))
    assert {n: (a.dtype, a.shape) for n, a in after.items()} == {
        n: (a.dtype, a.shape) for n, a in before.items()
    }
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert "visual.transformer.resblocks.0.attn.in_proj_weight" in changed
    assert all(name.startswith("visual.") for name in changed)
    assert not (out / "config.json").exists() and (out / "open_clip_config.json").is_file()


def test_low_rank_and_parts_of_pictures_end_in_the_same_kind_of_folder(
    classifier: Any, data: Path, leash: Path, tmp_path: Path
) -> None:
    options = tunings.options(
        leash=leash, rank=4, learning_rate=3e-3, augment=True, steps=40, keep=0.7
    )
    report = unseen.tune(classifier, data, tmp_path / "out", options)
    assert report.decision == "tuned", (report.reason, report.curve, report.after)
    delta = load_file(tmp_path / "out" / "delta.safetensors")
    assert {name.split(".")[-2] for name in delta} == {"q_proj", "k_proj", "v_proj"}
    ranks = [np.linalg.matrix_rank(change, tol=1e-5) for change in delta.values()]
    assert max(ranks) == 4
    found = judging.differences(
        tmp_path / "out", judging.clip_judge(tmp_path / "out"), ["a red circle", "a blue ring"]
    )
    assert max(found.values()) < 1e-4, found
    card = json.loads((tmp_path / "out" / "tune.json").read_text("utf-8"))
    assert card["options"]["rank"] == 4 and card["options"]["augment"]
    assert "LoRA of rank 4" in (tmp_path / "out" / "README.md").read_text("utf-8")
