"""An index whose process is killed at any moment loses no committed row, and has no half ones."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import shapes
import unseen
from unseen.index.location import FILE, FOLDER

KILLS = 60
PICTURES = 240

# Commits often, so that a kill falls into every part of the work.
CODE = """
import sys
import unseen
from unseen.index import update
update.COMMIT_PICTURES = 5
encoder = unseen.load(sys.argv[1]).encoder
with unseen.Index(sys.argv[2]) as index:
    print("begun", flush=True)
    index.update(encoder, batch_size=4)
    index.view(encoder).matrix()
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crash")
    labels = shapes.labels()
    for seed in range(PICTURES):
        shapes.draw(shapes.scene(labels[seed % len(labels)]), seed).save(folder / f"{seed:04}.png")
    return folder


def check(folder: Path) -> int:
    """Every row is whole, none is there twice → how many pictures there are."""
    database = sqlite3.connect(folder / FOLDER / FILE)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    twice = "SELECT content FROM picture GROUP BY content, model HAVING count(*) > 1"
    assert database.execute(twice).fetchall() == []
    alone = "SELECT path FROM file WHERE content NOT IN (SELECT content FROM picture)"
    assert database.execute(alone).fetchall() == []
    rows = database.execute("SELECT embedding, error FROM picture").fetchall()
    for embedding, error in rows:
        assert error is None
        length = np.linalg.norm(np.frombuffer(embedding, dtype="<f2").astype(np.float32))
        assert abs(length - 1) < 2e-3
    database.close()
    return len(rows)


def test_killed_at_any_moment(pictures: Path, shapes_clip: Path) -> None:
    unseen.load(shapes_clip).encode_images([pictures / "0000.png"])  # compiled before
    rng = random.Random(0)
    kills, before, command = 0, 0, [sys.executable, "-c", CODE, str(shapes_clip), str(pictures)]
    while kills < KILLS:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        time.sleep(rng.random() * 0.12)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        kills += process.returncode == -signal.SIGKILL
        if (pictures / FOLDER / FILE).is_file():
            now = check(pictures)
            assert now >= before  # nothing that was committed is lost
            before = now
        if before == PICTURES:  # begin anew, so that every kill has work to hit
            for path in (pictures / FOLDER).iterdir():
                path.unlink()
            before = 0
    subprocess.run(command, check=True, capture_output=True)
    assert check(pictures) == PICTURES
    encoder = unseen.load(shapes_clip).encoder
    with unseen.Index(pictures) as index:
        assert index.update(encoder).unchanged == PICTURES
        assert len(index.view(encoder).matrix()) == PICTURES


def test_two_at_once(pictures: Path, shapes_clip: Path) -> None:
    for path in (pictures / FOLDER).iterdir() if (pictures / FOLDER).is_dir() else ():
        path.unlink()
    command = [sys.executable, "-c", CODE, str(shapes_clip), str(pictures)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    for process in both:
        assert process.stdout is not None
        process.stdout.close()
    assert check(pictures) == PICTURES


def test_a_full_disk_is_one_sentence_and_the_table_stays_usable(
    pictures: Path, shapes_clip: Path
) -> None:
    """A limit on the size of files is what a full disk looks like to SQLite."""
    for path in (pictures / FOLDER).iterdir() if (pictures / FOLDER).is_dir() else ():
        path.unlink()
    code = CODE.replace(
        "index.update(encoder, batch_size=4)",
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, 900_000))\n"
        "    index.update(encoder, batch_size=4)",
    )
    command = [sys.executable, "-c", code, str(shapes_clip), str(pictures)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 1
    assert "StoreError" in done.stderr.splitlines()[-1] and "cannot be written" in done.stderr
    count = check(pictures)
    assert 0 < count < PICTURES
    encoder = unseen.load(shapes_clip).encoder
    with unseen.Index(pictures) as index:
        report = index.update(encoder)
        assert (report.unchanged, report.encoded) == (count, PICTURES - count)
