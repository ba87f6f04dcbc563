"""The cache among threads, processes that die, full disks, and prompts that are hard to keep."""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import unseen
from unseen.system import cache
from unseen.system.prompt_cache import VectorCache


def fill(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"content" * 1000)


def rows(prompts: list[str], seed: int = 0) -> dict[str, np.ndarray]:
    matrix = np.random.default_rng(seed).standard_normal((len(prompts), 512)).astype(np.float32)
    return dict(zip(prompts, matrix, strict=True))


# files


def test_threads_and_long_names_get_a_temporary_name_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    errors: list[Exception] = []

    def write() -> None:
        try:
            for _ in range(50):
                cache.write_atomically(path, b"y" * 1000)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and path.read_bytes() == b"y" * 1000
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), cache.replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


# folders


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"a": 1}', '{"a.bin": {}}', '{"b": {"size": 1}}']
)
def test_a_manifest_of_any_shape_is_no_traceback(text: str, fresh_home: Path) -> None:
    folder = cache.build_folder("key", fill)
    (folder / cache.MANIFEST).write_text(text)
    assert not cache.verify(folder)
    with pytest.warns(unseen.UnseenWarning, match="damaged"):
        assert cache.verify(cache.build_folder("key", fill))


def test_a_flipped_bit_is_seen_by_verify(fresh_home: Path) -> None:
    folder = cache.build_folder("key", fill)
    content = bytearray((folder / "a.bin").read_bytes())
    content[100] ^= 1
    (folder / "a.bin").write_bytes(content)
    assert cache.build_folder("key", fill) == folder  # sizes are right
    assert not cache.verify(folder)
    cache.discard(folder)
    cache.discard(folder)  # as a second process would
    assert not folder.exists()


def test_discard_leaves_what_was_made_again_meanwhile(fresh_home: Path) -> None:
    folder = cache.build_folder("key", fill)
    cache.discard(folder)
    assert cache.verify(folder)


def test_folders_are_for_all_to_read(fresh_home: Path) -> None:
    usual = fresh_home / "usual"
    folder = cache.build_folder("key", fill)
    usual.mkdir()
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


@pytest.mark.parametrize("key", ["", "../key", "a/b", ".key", "a*"])
def test_a_key_is_no_path(key: str, fresh_home: Path) -> None:
    with pytest.raises(ValueError, match="invalid cache key"):
        cache.build_folder(key, fill)


def test_leftovers_of_this_key_go_at_once_and_those_of_others_after_a_day(
    fresh_home: Path,
) -> None:
    networks = fresh_home / "networks"
    mine, theirs = networks / ".key.0.tmp", networks / ".other.0.tmp"
    for leftover in (mine, theirs):
        leftover.mkdir(parents=True)
        fill(leftover)
    cache.build_folder("key", fill)
    assert not mine.exists() and theirs.exists()


def test_a_full_disk_is_a_warning_and_a_temporary_home(
    fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(folder: Path) -> None:
        if folder.is_relative_to(fresh_home):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fill(folder)

    with pytest.warns(unseen.UnseenWarning, match=r"No space left.*UNSEEN_HOME"):
        folder = cache.build_folder("key", make)
    assert cache.verify(folder) and not folder.is_relative_to(fresh_home)
    assert cache.build_folder("key", make) == folder  # and no second warning
    assert list((fresh_home / "networks").glob("*.tmp")) == []


def test_a_temporary_home_goes_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code = "from unseen.system import cache; print(cache.home())"
    settings = {**os.environ, "UNSEEN_HOME": str(tmp_path / "file")}
    run = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True)
    assert "Set UNSEEN_HOME" in run.stderr
    assert run.stdout.strip() and not Path(run.stdout.strip()).exists()


def test_nowhere_to_write_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(**_: str) -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in …")

    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("UNSEEN_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.mkdtemp", nowhere)
    with (
        pytest.warns(unseen.UnseenWarning),
        pytest.raises(unseen.StoreError, match=r"temporary files. Set UNSEEN_HOME"),
    ):
        cache.home()


# vectors of prompts


def test_prompts_that_are_hard_to_keep(fresh_home: Path) -> None:
    """NUL ends a text in C; a lone surrogate is no UTF-8."""
    hard = ["", "a", "a\0b", "a\0c", "A", "a ", "é", "e\u0301", "猫👍", "'; DROP TABLE vectors; --"]
    expected, store = rows(hard), VectorCache()
    store.put_many("m", {**expected, "\ud800": expected["a"]})
    cached = store.get_many("m", [*hard, "\ud800", "a\0"])
    assert sorted(cached) == sorted(hard)
    for prompt in hard:
        np.testing.assert_array_equal(cached[prompt], expected[prompt])


def test_a_prompt_turned_into_another_is_not_believed(fresh_home: Path) -> None:
    store = VectorCache()
    store.put_many("m", rows(["cat", "dog"]))
    with closing(sqlite3.connect(fresh_home / "prompts.sqlite")) as db, db:
        db.execute("UPDATE vectors SET prompt = 'bat' WHERE prompt = 'cat'")
        db.execute("UPDATE vectors SET vector = 'text' WHERE prompt = 'dog'")
    assert store.get_many("m", ["bat", "cat", "dog"]) == {}


def test_eighty_thousand_prompts(fresh_home: Path) -> None:
    prompts = [f"a photo of the thing {i}." for i in range(80_000)]
    matrix = np.arange(80_000 * 4, dtype=np.float32).reshape(-1, 4)
    store = VectorCache()
    start = time.perf_counter()
    store.put_many("m", dict(zip(prompts, matrix, strict=True)))
    cached = store.get_many("m", prompts)
    assert time.perf_counter() - start < 20  # 1 s on a quiet machine
    assert len(cached) == 80_000
    np.testing.assert_array_equal(cached[prompts[-1]], matrix[-1])


@pytest.mark.parametrize("at", [0, 40, 100, 5000, -1])
def test_a_database_damaged_anywhere_gives_right_vectors_or_none(at: int, fresh_home: Path) -> None:
    prompts = [f"prompt {i}" for i in range(50)]
    expected, store = rows(prompts), VectorCache()
    store.put_many("m", expected)
    path = fresh_home / "prompts.sqlite"
    content = bytearray(path.read_bytes())
    if at < 0:
        del content[len(content) // 2 :]
    else:
        content[at : at + 60] = b"\xa5" * 60
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", unseen.UnseenWarning)
        for prompt, vector in store.get_many("m", prompts).items():
            np.testing.assert_array_equal(vector, expected[prompt])
        store.put_many("m", expected)
        store.put_many("m", expected)
    assert store.get_many("m", prompts).keys() == expected.keys()


def test_a_database_of_another_form_is_made_again(fresh_home: Path) -> None:
    fresh_home.mkdir()
    with closing(sqlite3.connect(fresh_home / "prompts.sqlite")) as db, db:
        db.execute("CREATE TABLE vectors (something TEXT)")
    store = VectorCache()
    with pytest.warns(unseen.UnseenWarning, match="made again"):
        store.get_many("m", ["cat"])
    store.put_many("m", rows(["cat"]))
    assert list(store.get_many("m", ["cat"])) == ["cat"]


WRITER = """
import sys, numpy as np
from unseen.system.prompt_cache import VectorCache
store, who = VectorCache(), sys.argv[1]
for start in range(0, int(sys.argv[2]), 50):
    prompts = [f"{who} {i}" for i in range(start, start + 50)]
    store.put_many("m", {p: np.full(64, hash(p) % 997, np.float32) for p in prompts})
    print(start, flush=True)
"""


def writer(who: str, count: int) -> subprocess.Popen[str]:
    settings = {**os.environ, "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", WRITER, who, str(count)]
    return subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True)


def test_a_writer_killed_in_the_middle_loses_nothing_it_had_finished(fresh_home: Path) -> None:
    killed = writer("a", 1_000_000)
    assert killed.stdout is not None
    done = [int(killed.stdout.readline()) for _ in range(5)][-1]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    queries = [f"a {i}" for i in range(done + 10_000)]
    cached = VectorCache().get_many("m", queries)
    # whole batches, all that were finished
    assert len(cached) >= done + 50 and len(cached) % 50 == 0
    assert all(len(set(vector)) == 1 for vector in cached.values())


def test_three_writers_at_once_lose_nothing(fresh_home: Path) -> None:
    writers = [writer(who, 500) for who in "abc"]
    for process in writers:
        process.communicate()
        assert process.returncode == 0
    queries = [f"{who} {i}" for who in "abc" for i in range(500)]
    assert len(VectorCache().get_many("m", queries)) == 1500


def test_the_lock_is_held_between_processes(fresh_home: Path) -> None:
    code = """
import time
from unseen.system.prompt_cache import VectorCache
with VectorCache().lock("m"):
    start = time.time()
    time.sleep(0.3)
    print(start, time.time())
"""
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    spans = sorted(json.loads(f"[{p.communicate()[0].strip().replace(' ', ',')}]") for p in both)
    assert spans[0][1] <= spans[1][0]


UNFINISHED = """
import sys, time
from pathlib import Path
from unseen.system.cache import draft_folder
with draft_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_did_not_finish_is_deleted_by_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", UNFINISHED, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    killed, alive = (Path(p.stdout.readline().strip()) for p in processes if p.stdout)
    processes[0].kill()
    processes[0].communicate()
    for folder in (killed, alive):
        os.utime(folder / ".lock", (time.time() - 60,) * 2)
    with cache.draft_folder(tmp_path) as own:
        assert not killed.exists()  # nobody holds its lock
        assert alive.exists() and own.exists()
    assert sorted(tmp_path.iterdir()) == [alive]
    processes[1].kill()
    processes[1].communicate()
