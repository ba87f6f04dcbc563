"""`unseen job` from a plan to a table, as a user meets it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

from running import unseen as run


def test_from_a_plan_to_a_table(tmp_path: Path) -> None:
    folder, job = tmp_path / "pictures", tmp_path / "job"
    shutil.copytree("examples", folder, ignore=shutil.ignore_patterns("*.py", "*.md"))
    (folder / "broken.jpg").write_bytes(b"no picture")
    labels = ["-l", "cat,dog,castle", "--device", "cpu"]
    planned = run("job", "plan", folder, "-o", job, *labels, "--shard", 3)
    assert planned.stderr == f"4 pictures in 2 shards; do them: unseen job run {job}\n"
    assert "there is a job already" in run("job", "plan", folder, "-o", job, *labels, code=2).stderr
    assert json.loads(run("job", "status", job, "--json").stdout)["done"] == 0
    assert "2 shards are not done" in run("job", "verify", job, code=1).stdout
    done = run("job", "run", job, "--device", "cpu", code=1)
    memory, status, kinds, hint = done.stderr.splitlines()
    assert memory.startswith("1 worker of ") and " GB of memory each" in memory
    assert status == "4 of 4 pictures done (100.0 %), 2 of 2 shards"
    assert kinds == "1 failed: ImageError 1." and hint.endswith(f"unseen job retry {job}")
    assert run("job", "verify", job).stdout == "4 of 4 planned pictures have their row, once\n"
    shutil.copy(folder / "cat.jpg", folder / "broken.jpg")
    again = run("job", "retry", job)
    assert again.stdout == "1 pictures planned again: ImageError 1.\n"
    assert (
        "1 pictures have no row yet"
        in run("job", "export", job, "-o", tmp_path / "rows.csv", code=2).stderr
    )
    run("job", "run", job, "--device", "cpu", "-q")
    assert run("job", "retry", job).stdout == "Nothing failed that could be tried again.\n"
    exported = run("job", "export", job, "-o", tmp_path / "rows.csv")
    assert exported.stderr == f"{tmp_path / 'rows.csv'}: 4 rows, 0 failed.\n"
    with (tmp_path / "rows.csv").open(newline="") as file:
        labels = {Path(row["key"]).name: row["label"] for row in csv.DictReader(file)}
    assert labels == {
        "broken.jpg": "cat", "castle.jpg": "castle", "cat.jpg": "cat", "dog.jpg": "dog",
    }  # fmt: skip


def test_what_the_plan_says_is_not_asked_again(tmp_path: Path) -> None:
    job = tmp_path / "job"
    refused = run("job", "run", job, "--precision", "int8", code=2).stderr
    assert refused == "error: --precision is not for this command: it is that of the plan.\n"
    assert "there is no job here" in run("job", "run", job, code=2).stderr
    run("job", "plan", "examples", "-o", job, "--embed", "-q")
    assert "give i/n" in run("job", "run", job, "--part", "2", code=2).stderr
    assert "no labels were given" in run("job", "plan", "examples", "-o", "x", code=2).stderr
