"""After each folder a line says what was read, what it came to, and what was left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import shapes
from running import ROOT, unseen

COMMON = ["-m", "tests/fixtures/shapes-clip"]
LABELS = ["-l", "red circle,blue star"]
LEFT_OUT = "left out: 1 PDF, 1 video (unseen video reads it), 1 other."
KINDS = {"PDF": 1, "video": 1, "other": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each label, and three files that are no pictures."""
    folder = tmp_path_factory.mktemp("photos")
    for label in ("red circle", "blue star"):
        (folder / label).mkdir()
        for seed in range(5):
            shapes.draw(shapes.scene(label), seed).save(folder / label / f"{seed}.png")
    for name in ("film.mp4", "a.pdf", ".DS_Store"):
        (folder / name).touch()
    return folder


def test_classify(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run = ["classify", folder, *LABELS, *COMMON, "--no-index", "-o", out]
    line = unseen(*run).stderr.splitlines()[-1]
    assert line.startswith("10 read; ") and line.endswith(LEFT_OUT)
    assert "red circle 5" in line and "blue star 5" in line and "pictures a second" in line
    summary = json.loads(Path(f"{out}.run.json").read_text("utf-8"))["summary"]
    assert summary["answers"] == {"red circle": 5, "blue star": 5}
    assert summary["left_out"] == KINDS and summary["seconds"] > 0
    assert unseen(*run, "--resume", "-q").stderr == ""
    again = unseen(*run, "--resume").stderr
    assert again == f"Nothing left to do: 10 were done before; {LEFT_OUT}\n"


def test_the_bar_of_a_run_with_nothing_to_do_is_not_shown(folder: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="no terminals here")
    run = [sys.executable, "-m", "unseen", "classify", folder, *LABELS, *COMMON, "--no-index"]
    run += ["-o", tmp_path / "out.csv"]
    subprocess.run(run, cwd=ROOT, capture_output=True, check=True)
    ours, theirs = pty.openpty()
    subprocess.run([*run, "--resume"], cwd=ROOT, stderr=theirs, check=True)
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    os.close(theirs)
    assert b"Nothing left to do" in shown and b"0/0" not in shown


def test_index_embed_and_organize(folder: Path, tmp_path: Path) -> None:
    assert LEFT_OUT in unseen("embed", folder, *COMMON, "-o", tmp_path / "v.npy").stderr
    manifest = json.loads((tmp_path / "v.npy.run.json").read_text("utf-8"))
    assert manifest["summary"]["left_out"] == KINDS
    sort = ["organize", folder, *LABELS, *COMMON, "--into", tmp_path / "sorted", "--dry-run"]
    done = unseen(*sort, "--json")
    assert LEFT_OUT in done.stderr
    assert json.loads(done.stdout)["summary"]["left_out"] == KINDS
    index = ["index", tmp_path / "copy", *COMMON]
    (tmp_path / "copy").symlink_to(folder)
    assert unseen(*index).stderr.splitlines()[-1].endswith(LEFT_OUT)
    assert json.loads(unseen(*index, "--json").stdout)["left_out"] == KINDS
    labelled = unseen("label", folder, *LABELS, *COMMON, "--json")
    assert LEFT_OUT in labelled.stderr
    assert json.loads(labelled.stdout)["left_out"] == KINDS


def test_eval_calibrate_and_adapt(folder: Path, tmp_path: Path) -> None:
    done = unseen("eval", folder, *LABELS, *COMMON, "--json")
    assert LEFT_OUT in done.stderr
    assert json.loads(done.stdout)["left_out"]["files"] == KINDS
    for command, suffix in (("calibrate", "json"), ("adapt", "safetensors")):
        out = tmp_path / f"out.{suffix}"
        assert LEFT_OUT in unseen(command, folder, *LABELS, *COMMON, "-o", out).stderr
        manifest = json.loads((tmp_path / ".manifests" / f"{out.name}.run.json").read_text("utf-8"))
        assert manifest["left_out"] == KINDS
        assert (
            "left out"
            not in unseen(command, folder, *LABELS, *COMMON, "-o", out, "--overwrite", "-q").stderr
        )
