"""`unseen labels doctor`, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from running import ROOT, unseen


def doctor(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    return unseen("labels", "doctor", *arguments, code=code)


def test_findings_are_read_and_decide_the_exit_status() -> None:
    said = doctor("castle,sofa,couch").stdout
    assert "near-synonym: sofa, couch" in said and "do: " in said and "then: " in said
    assert said.splitlines()[-1] == "3 labels: 0 errors, 1 warning, 1 note"
    doctor("castle,sofa,couch", "--strict", code=1)
    doctor("castle,pizza", "--strict")  # a note fails nothing
    assert "error    same-tokens: Cat, cat" in doctor("Cat,cat", code=1).stdout
    assert "no such label file" in doctor("missing.txt", code=2).stderr
    background = doctor("castle,pizza", "--unknown", "wallpaper").stdout
    assert background == "3 labels: 0 errors, 0 warnings, 0 notes\n"


def test_json_has_everything(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"thing_{i}" for i in range(15)))
    table = doctor(labels).stdout
    assert table.count("joined: ") == 11 and "joined: 5 more" in table
    data = json.loads(doctor(labels, "--json").stdout)
    assert (data["labels"], data["pictures"], data["model"]) == (15, 0, "builtin")
    joined = [f for f in data["findings"] if f["kind"] == "joined"]
    assert len(joined) == 15 and set(joined[0]) == {
        "kind", "severity", "labels", "problem", "advice", "effect", "figures", "pictures",
    }  # fmt: skip
    assert joined[0]["figures"]["tokens"] > joined[0]["figures"]["tokens_after"]


@pytest.mark.parametrize("indexed", [False, True])
def test_pictures_from_a_folder_or_its_index(indexed: bool, tmp_path: Path) -> None:
    for label in ("pliers", "wrench", "scissors"):
        for file in (ROOT / "tests" / "photographs" / label).iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    if indexed:
        command = [sys.executable, "-m", "unseen", "index", str(tmp_path)]
        assert subprocess.run(command, capture_output=True).returncode == 1
    done = doctor("cat,dog,horse", "-p", tmp_path, "--json")
    data = json.loads(done.stdout)
    assert "broken.jpg" in done.stderr and data["pictures"] == 5
    tools = [f for f in data["findings"] if f["kind"] == "fits-nothing"]
    assert any("pliers" in f["advice"] for f in tools)
    assert all(str(tmp_path) in name for f in tools for name in f["pictures"])
    assert {f["kind"] for f in data["findings"]} >= {"never-wins", "missing-other"}
