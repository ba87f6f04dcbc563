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


def test_a_folder_of_open_clip_stays_one(
    shapes_clip: Path, data: Path, leash: Path, tmp_path: Path
) -> None:
    """By LoRA, whose matrices of queries, keys and values are one in that format; and from parts of
    pictures."""
    base, out = tunings.openclip_shapes(shapes_clip, tmp_path / "base"), tmp_path / "out"
    how = tunings.options(leash=leash, rank=4, learning_rate=3e-3, augment=True, steps=24, keep=0.7)
    report = unseen.tune(unseen.load(base, device="cpu"), data, out, how)
    assert report.decision == "tuned", (report.reason, report.curve, report.after)
    found = judging.differences(out, OpenClipJudge(out), ["a red circle", "a blue ring"])
    assert max(found.values()) < 1e-4, found  # ONNX and the reference against open_clip
    before, after = (load_file(f / "open_clip_model.safetensors") for f in (base, out))
    assert {n: (a.dtype, a.shape) for n, a in after.items()} == {
        n: (a.dtype, a.shape) for n, a in before.items()
    }
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    blocks = [f"visual.transformer.resblocks.{number}.attn.in_proj_weight" for number in range(4)]
    assert sorted(changed) == blocks
    for name in blocks:
        for part in np.split(after[name] - before[name], 3):
            assert np.linalg.matrix_rank(part, tol=1e-4) <= 4
    assert not (out / "config.json").exists() and (out / "open_clip_config.json").is_file()
    card = json.loads((out / "tune.json").read_text("utf-8"))
    assert card["options"]["rank"] == 4 and card["options"]["augment"]
    assert "LoRA of rank 4" in (out / "README.md").read_text("utf-8")
