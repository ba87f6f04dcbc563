"""What is kept on disk: made once, found again, never trusted when damaged."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import checkpoints
import unseen
from unseen.system import cache
from unseen.system.prompt_cache import VectorCache

PICTURE = np.zeros((40, 50, 3), np.uint8)


def fill(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"content" * 1000)


def test_a_folder_is_made_once(fresh_home: Path) -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        fill(folder)

    first, second = cache.build_folder("key", make), cache.build_folder("key", make)
    assert first == second and len(made) == 1 and cache.verify(first)
    assert [p.name for p in (fresh_home / "networks").iterdir() if p.name.endswith("tmp")] == []


def test_what_failed_to_be_made_leaves_nothing(fresh_home: Path) -> None:
    def fail(folder: Path) -> None:
        fill(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cache.build_folder("key", fail)
    assert not (fresh_home / "networks" / "key").exists()
    assert cache.verify(cache.build_folder("key", fill))


@pytest.mark.parametrize("damage", ["shorter", "missing", "manifest"])
def test_a_damaged_folder_is_made_again(damage: str, fresh_home: Path) -> None:
    folder = cache.build_folder("key", fill)
    if damage == "shorter":
        (folder / "a.bin").write_bytes(b"short")
    elif damage == "missing":
        (folder / "a.bin").unlink()
    else:
        (folder / cache.MANIFEST).write_text("{")
    with pytest.warns(unseen.UnseenWarning, match="damaged"):
        again = cache.build_folder("key", fill)
    assert cache.verify(again)


@pytest.mark.parametrize("digest", [cache.CHECKSUM, "sha256"])
def test_each_byte_counts_also_in_what_0_1_0_wrote(digest: str, fresh_home: Path) -> None:
    folder = cache.build_folder("key", fill)
    path, manifest = folder / "a.bin", folder / cache.MANIFEST
    content = bytearray(path.read_bytes())
    if digest == "sha256":
        facts = {"size": len(content), digest: hashlib.sha256(content).hexdigest()}
        manifest.write_text(json.dumps({path.name: facts}))
    assert digest in manifest.read_text() and cache.verify(folder)
    content[-1] ^= 1
    path.write_bytes(content)
    assert not cache.verify(folder)
    manifest.write_text(json.dumps({path.name: {"size": len(content)}}))
    assert not cache.verify(folder)  # nothing to hold it against


@pytest.mark.parametrize("file", ["image.bin", "image.onnx"])
def test_one_flipped_bit_in_a_compiled_network_is_found(
    file: str, fresh_home: Path, tmp_path: Path
) -> None:
    folder = checkpoints.clip(tmp_path / "clip")
    right = unseen.load(folder).encode_images([PICTURE])
    (path,) = fresh_home.glob(f"networks/*/{file}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(bytes(content))
    with pytest.warns(unseen.UnseenWarning, match="damaged"):
        again = unseen.load(folder).encode_images([PICTURE])
    np.testing.assert_array_equal(again, right)


PROCESS = """
import sys, time
from pathlib import Path
from unseen.system import cache
def make(folder):
    (folder / "a.bin").write_bytes(b"x" * 10)
    print("making", flush=True)
    time.sleep(float(sys.argv[1]))
    (folder / "b.bin").write_bytes(b"y" * 10)
cache.build_folder("key", make)
"""


def start(seconds: float, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(seconds)],
        env={**os.environ, "UNSEEN_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    both = [start(0.7, tmp_path) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert sorted(outputs) == ["", "making\n"]
    assert [process.returncode for process in both] == [0, 0]


def test_a_killed_process_leaves_nothing_that_is_trusted(fresh_home: Path) -> None:
    killed = start(30, fresh_home)
    assert killed.stdout is not None and killed.stdout.readline() == "making\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    folder = fresh_home / "networks" / "key"
    assert not folder.exists()
    (leftover,) = folder.parent.glob(".*.tmp")
    os.utime(leftover, (time.time() - 2 * cache.STALE_SECONDS,) * 2)
    assert cache.verify(cache.build_folder("key", fill))
    assert not leftover.exists()  # swept


def test_a_home_that_cannot_be_written_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("UNSEEN_HOME", str(tmp_path / "file" / "home"))
    with pytest.warns(unseen.UnseenWarning, match="UNSEEN_HOME"):
        home = cache.home()
    assert home.is_dir() and cache.home() == home


def test_hashes_are_remembered_until_the_file_changes(fresh_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"a" * (2 << 20))
    first = cache.file_sha256(path)
    memo = list((fresh_home / "hashes").iterdir())
    assert len(memo) == 1 and cache.file_sha256(path) == first
    path.write_bytes(b"b" * (2 << 20))
    os.utime(path, ns=(1, 1))
    assert cache.file_sha256(path) != first
    blob = tmp_path / "blobs" / ("ab" * 32)
    blob.parent.mkdir()
    blob.write_bytes(b"not read")
    assert cache.file_sha256(blob) == "ab" * 32


# vectors of prompts


def vectors(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((count, 8)).astype(np.float32)
    return {f"prompt {i} 猫": row for i, row in enumerate(rows)}


def test_vectors_come_back_bit_for_bit(fresh_home: Path) -> None:
    expected, store = vectors(3000), VectorCache()
    assert store.get_many("m", list(expected)) == {}
    store.put_many("m", expected)
    cached = VectorCache().get_many("m", [*expected, "another"])
    assert cached.keys() == expected.keys()
    for prompt, vector in expected.items():
        np.testing.assert_array_equal(cached[prompt], vector)
    assert store.get_many("another model", list(expected)) == {}


def test_a_damaged_row_is_not_found(fresh_home: Path) -> None:
    store = VectorCache()
    store.put_many("m", vectors(2))
    with sqlite3.connect(fresh_home / "prompts.sqlite") as db:
        db.execute("UPDATE vectors SET vector = zeroblob(32) WHERE prompt LIKE 'prompt 1%'")
    db.close()
    assert list(store.get_many("m", list(vectors(2)))) == ["prompt 0 猫"]


def test_a_damaged_database_is_made_again(fresh_home: Path) -> None:
    store = VectorCache()
    store.put_many("m", vectors(2))
    (fresh_home / "prompts.sqlite").write_bytes(b"this is no database" * 500)
    with pytest.warns(unseen.UnseenWarning, match="damaged"):
        assert store.get_many("m", list(vectors(2))) == {}
    store.put_many("m", vectors(2))
    assert len(store.get_many("m", list(vectors(2)))) == 2


def test_a_second_process_with_the_same_labels_encodes_none(
    fresh_home: Path, tmp_path: Path
) -> None:
    folder = checkpoints.clip(tmp_path / "clip")
    code = """
import sys, unseen
from unseen import encoder as encode
asked = []
usual = encode.Encoder._encode_new_texts
encode.Encoder._encode_new_texts = lambda self, texts, *threads: (
    asked.extend(texts) or usual(self, texts, *threads)
)
labels = [f"label {i}" for i in range(1000)]
matrix = unseen.load(sys.argv[1]).compile(labels).matrix
print(len(asked), repr(float(matrix.sum())))
"""
    run = [sys.executable, "-c", code, str(folder)]
    first, second = (subprocess.run(run, capture_output=True, text=True) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout.split()[0] == "1005"  # with the five neutral prompts
    assert second.stdout.split()[0] == "0"
    assert first.stdout.split()[1] == second.stdout.split()[1]
