"""benchmarks/gpu.py runs from its first line to its last where there is no GPU: small nets."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def test_a_dry_run_has_every_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    gpu = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, gpu)  # its dataclasses look there
    spec.loader.exec_module(gpu)
    gpu.main(["--dry-run", "--nets", "B/32", "SigLIP B/16", "PE-Core-B"])
    printed = capsys.readouterr().out
    rows = re.findall(r"^\| (.+?) \| (.+?) \| 2 \| [\d,]+ \| +\| ([\d.]+) \|$", printed, re.M)
    transformers = {"transformers, eager", "transformers, sdpa", "transformers, sdpa, compiled"}
    ours = {"unseen", "ONNX Runtime, CPU"}
    assert {who for net, who, _ in rows if net == "B/32"} == transformers | ours
    assert {who for net, who, _ in rows if net == "SigLIP B/16"} == transformers | ours
    assert {who for net, who, _ in rows if net == "PE-Core-B"} == {
        *("open_clip", "open_clip, compiled"),
        *ours,
    }
    assert all(float(cosine) > 0.999 for *_, cosine in rows)  # the same weights, the same pixels
    assert "all done, at most 2 at once, cosine to two alone 1.0000" in printed
    assert "a folder of JPEGs" in printed and "by batch: 1: " in printed
    assert "TensorRT, fp16: not installed" in printed
