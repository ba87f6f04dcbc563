"""Indexes outside of their folder, and those that nobody may write."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import shapes
import unseen
from running import ROOT
from running import unseen as run
from unseen.index.location import FILE, FOLDER, find, root_of
from unseen.index.stored import index_of

MODEL = ROOT / "tests/fixtures/shapes-clip"
SHAPES = ("-m", "tests/fixtures/shapes-clip")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label in ("red circle", "blue star"):
        path = tmp_path / "photos" / label / "0.png"
        path.parent.mkdir(parents=True)
        shapes.draw(shapes.scene(label), 0).save(path)
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def classifier() -> unseen.Classifier:
    return unseen.load(MODEL)


def test_a_home_for_the_indexes_of_all_folders(
    photos: Path, tmp_path: Path, classifier: unseen.Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_INDEX_HOME", str(tmp_path / "home"))
    with unseen.Index(photos) as index:
        index.update(classifier.encoder)
        assert (tmp_path / "home") in index.file.parents and root_of(index.file) == photos
        assert len(index.view().search("a red circle")) == 2
        with pickle.loads(pickle.dumps(index)) as copy:
            assert copy.file == index.file
    assert not (photos / FOLDER).exists()
    assert find(photos / "red circle") == photos
    assert index_of(photos, classifier.encoder) == photos
    other = tmp_path / "other"
    shutil.copytree(photos, other)
    assert find(other) is None
    # One that is in its folder already goes on there.
    monkeypatch.delenv("UNSEEN_INDEX_HOME")
    with unseen.Index(other) as index:
        index.update(classifier.encoder)
    monkeypatch.setenv("UNSEEN_INDEX_HOME", str(tmp_path / "home"))
    with unseen.Index(other) as index:
        assert index.file == other / FOLDER / FILE and index.info().files == 2


def test_one_file_for_one_folder(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "my index.db"
    file.parent.mkdir()
    one = ("--index-file", file)
    assert "2 new" in run("index", photos, *SHAPES, *one).stderr
    assert not (photos / FOLDER).exists()
    assert str(photos) in run("search", "a red circle", *one).stdout
    said = run("classify", photos, "-l", "a red circle,a blue star", *SHAPES, *one)
    assert "from the index" in said.stderr and "red circle" in said.stdout
    assert "from the index" in run("eval", photos, *SHAPES, *one, code=0).stderr
    assert "is the index of" in run("index", tmp_path, *SHAPES, *one, code=2).stderr
    missing = run("search", "a", "--index-file", tmp_path / "no.db", code=2).stderr
    assert "there is no such index; make it" in missing
    # A folder that was moved is known again.
    moved = photos.rename(tmp_path / "moved")
    assert "2 unchanged" in run("index", moved, *SHAPES, *one).stderr
    assert str(moved) in run("search", "a red circle", *one).stdout


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """Pytest's own folders are for their user only."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


READ = """
import os, sys, warnings
import unseen
from unseen.index.stored import embeddings_of, index_of

folder = sys.argv[1]
clf = unseen.load(sys.argv[2])
list(embeddings_of([folder + "/red circle/0.png"], clf.encoder))  # while root may load it
if os.geteuid() == 0:
    os.setuid(65534)
with unseen.Index(folder, create=False) as index:
    assert not index.writable and len(index.view().search("a red circle")) == int(sys.argv[3])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", unseen.UnseenWarning)
    root = index_of(folder, clf.encoder)
    rows = list(embeddings_of(folder, clf.encoder))
print(root is not None, len(rows), len([w for w in caught if "read-only" in str(w.message)]))
"""


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("state", ["current", "stale", "gone", "killed"])
def test_one_that_nobody_may_write(
    state: str, photos: Path, open_to_all: Path, classifier: unseen.Classifier
) -> None:
    """It is read as it is; where it is not up to date, the files are, and a line says so."""
    home = open_to_all / "home"
    home.mkdir()
    photos = Path(shutil.copytree(photos, open_to_all / "photos"))
    with unseen.Index(photos) as index:
        index.update(classifier.encoder)
        if state == "killed":  # its log was never written into the file
            index.database.execute("PRAGMA wal_autocheckpoint = 0")
            shapes.draw(shapes.scene("green square"), 1).save(photos / "third.png")
            index.update(classifier.encoder)
            shutil.copytree(photos, open_to_all / "killed")
    if state == "killed":
        photos = open_to_all / "killed"
        (photos / FOLDER / f"{FILE}-shm").unlink()
        assert (photos / FOLDER / f"{FILE}-wal").stat().st_size
        for path in photos.rglob("*.png"):  # copied: as old as they were
            original = open_to_all / "photos" / path.relative_to(photos)
            os.utime(path, ns=(original.stat().st_atime_ns, original.stat().st_mtime_ns))
    if state == "stale":
        shapes.draw(shapes.scene("green square"), 1).save(photos / "third.png")
    if state == "gone":
        (photos / "blue star" / "0.png").unlink()
    files = [*(photos / FOLDER).iterdir()]
    for path in files:
        path.chmod(0o444)
    (photos / FOLDER).chmod(0o555)
    home.chmod(0o777)
    pictures = {"current": 2, "stale": 3, "gone": 1, "killed": 3}[state]
    known = {"current": 2, "stale": 2, "gone": 2, "killed": 3}[state]
    try:
        done = subprocess.run(
            [sys.executable, "-c", READ, str(photos), str(MODEL), str(known)],
            capture_output=True,
            text=True,
            env={**os.environ, "UNSEEN_HOME": str(home)},
        )
    finally:
        (photos / FOLDER).chmod(0o755)
    assert done.returncode == 0, done.stderr
    current = state in ("current", "killed")
    assert done.stdout.split() == [str(current), str(pictures), "0" if current else "2"]
    assert {*(photos / FOLDER).iterdir()} == {*files}
