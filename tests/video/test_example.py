"""The example runs as it is."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


def test_the_times_of_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [
        Image.open(ROOT / "examples" / f"{n}.jpg").resize((320, 240)) for n in ("cat", "dog")
    ]
    pictures[0].save(
        tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[4000, 6000]
    )
    gone = str(tmp_path / "none.gif")
    monkeypatch.setattr(
        sys, "argv", ["time_of_labels.py", "cat,dog,castle", str(tmp_path / "a.gif"), gone]
    )
    runpy.run_path(str(ROOT / "examples" / "time_of_labels.py"))
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-2:] == ["dog: 6.0 s", "cat: 4.0 s"]
    assert "there is no such file" in shown.err
