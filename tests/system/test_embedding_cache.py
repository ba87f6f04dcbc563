"""Embeddings by content: the same numbers, within a bound, whatever happens to the file."""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import shapes
import unseen
from running import ROOT
from running import unseen as run
from unseen.errors import StoreError, UnseenWarning
from unseen.system import embedding_cache
from unseen.system.embedding_cache import EmbeddingCache, contents

MODEL = ROOT / "tests/fixtures/shapes-clip"
SHAPES = ("-m", "tests/fixtures/shapes-clip")
pytestmark = pytest.mark.usefixtures("fresh_home")


def content_of(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def vectors(numbers: range, dimension: int = 500) -> dict[bytes, np.ndarray]:
    return {
        content_of(n): np.random.default_rng(n).normal(size=dimension).astype(np.float32)
        for n in numbers
    }


def test_what_comes_back_is_what_went_in() -> None:
    cache, rows = EmbeddingCache(), vectors(range(20))
    assert cache.get("a", content_of(1)) is None
    cache.put("a", rows)
    other = EmbeddingCache()
    for content, row in rows.items():
        np.testing.assert_array_equal(other.get("a", content), row)
        assert other.get("b", content) is None  # of another model, precision, preprocessing
    assert other.get("a", content_of(99)) is None
    assert (contents().embeddings, contents().models) == (20, 1)


def test_it_stays_within_its_bound_and_keeps_what_was_used_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNSEEN_CACHE_BYTES", "1000000")
    cache = EmbeddingCache()
    day = [20000]
    monkeypatch.setattr(embedding_cache, "_today", lambda: day[0])
    cache.put("a", vectors(range(100)))
    day[0] += 1
    for number in range(10):  # used again, a day later
        assert cache.get("a", content_of(number)) is not None
    cache.note_use()
    for start in range(100, 1500, 50):
        cache.put("a", vectors(range(start, start + 50)))
        assert contents().path.stat().st_size < 1_500_000
    cache.close()
    assert 200 < contents().embeddings < 500  # of 2 kB each, with what SQLite needs
    assert cache.get("a", content_of(1499)) is not None
    assert cache.get("a", content_of(50)) is None
    # Those that were used came after the others of their day.
    database = sqlite3.connect(contents().path)
    assert database.execute("SELECT min(used) FROM embedding").fetchone() == (20001,)
    database.close()


def test_a_changed_byte_is_no_answer(fresh_home: Path) -> None:
    cache = EmbeddingCache()
    cache.put("a", vectors(range(2)))
    cache.close()
    database = sqlite3.connect(fresh_home / "embeddings.sqlite")
    with database:
        database.execute("UPDATE embedding SET vector = zeroblob(2000) WHERE rowid = 1")
    database.close()
    assert cache.get("a", content_of(0)) is None and cache.get("a", content_of(1)) is not None


def test_a_damaged_file_is_made_again(fresh_home: Path) -> None:
    (fresh_home).mkdir(exist_ok=True)
    (fresh_home / "embeddings.sqlite").write_bytes(b"this is no database" * 1000)
    cache = EmbeddingCache()
    with pytest.warns(UnseenWarning, match="made again"):
        assert cache.get("a", content_of(0)) is None
    cache.put("a", vectors(range(2)))
    assert cache.get("a", content_of(0)) is not None


def test_threads_and_processes_share_it(fresh_home: Path) -> None:
    code = (
        "import sys, hashlib, numpy as np\n"
        "from unseen.system.embedding_cache import EmbeddingCache\n"
        "cache = EmbeddingCache()\n"
        "for n in range(int(sys.argv[1]), int(sys.argv[1]) + 100):\n"
        "    row = np.random.default_rng(n).normal(size=500).astype(np.float32)\n"
        "    cache.put('a', {hashlib.sha256(str(n).encode()).digest(): row})\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(start)]) for start in (0, 50, 100)
    ]
    cache = EmbeddingCache()
    threads = [
        threading.Thread(target=cache.put, args=("a", vectors(range(n, n + 10))))
        for n in range(300, 400, 10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0, 0]
    for number in (*range(200), *range(300, 400)):
        expected = vectors(range(number, number + 1))[content_of(number)]
        np.testing.assert_array_equal(cache.get("a", content_of(number)), expected)


def test_a_killed_process_leaves_a_whole_file(fresh_home: Path) -> None:
    code = (
        "import os, sys, hashlib, numpy as np\n"
        "from unseen.system.embedding_cache import EmbeddingCache\n"
        "cache, n = EmbeddingCache(), 0\n"
        "while True:\n"
        "    row = np.random.default_rng(n).normal(size=500).astype(np.float32)\n"
        "    cache.put('a', {hashlib.sha256(str(n).encode()).digest(): row}); n += 1\n"
        "    n == 30 and print('.', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == ".\n"
    process.kill()
    process.communicate()
    cache = EmbeddingCache()
    for number in range(25):
        np.testing.assert_array_equal(
            cache.get("a", content_of(number)),
            vectors(range(number, number + 1))[content_of(number)],
        )
    cache.put("a", vectors(range(5000, 5010)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_a_connection_of_its_own() -> None:
    cache = EmbeddingCache()
    cache.put("a", vectors(range(5)))
    child = os.fork()
    if child == 0:
        cache.put("a", vectors(range(5, 10)))
        os._exit(0 if cache.get("a", content_of(7)) is not None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.get("a", content_of(7)) is not None


def test_a_size_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_CACHE_BYTES", "1 GB")
    with pytest.raises(StoreError, match="UNSEEN_CACHE_BYTES is '1 GB'"):
        EmbeddingCache().get("a", b"")


# the encoder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    shapes.draw(shapes.scene("red circle"), 1).resize((1500, 1500)).save(path, quality=90)
    return path


def test_a_content_is_encoded_once_whatever_it_is_called(picture: Path, tmp_path: Path) -> None:
    encoder = unseen.Encoder.load(unseen.LoadOptions(str(MODEL)))
    plain = encoder.encode_images(picture, use_cache=False)
    assert contents().embeddings == 0
    first = encoder.encode_images(picture)
    np.testing.assert_array_equal(first, plain)
    copy = picture.rename(tmp_path / "b.jpg")
    again = unseen.Encoder.load(unseen.LoadOptions(str(MODEL)))
    again.encode_pixels = None  # type: ignore[assignment,method-assign]  # nothing is left for it
    for source in (str(copy), copy, copy.read_bytes(), io.BytesIO(copy.read_bytes())):
        np.testing.assert_array_equal(again.encode_images([source], batch_size=1), plain)
    assert contents().embeddings == 1


def test_another_way_to_encode_is_another_row(picture: Path, tmp_path: Path) -> None:
    shown = []
    for changes in ({}, {"exact": True}, {"precision": "fp16"}):
        options = unseen.LoadOptions(str(MODEL), **changes)
        (row,) = unseen.Encoder.load(options).encode_images(picture)
        (plain,) = unseen.Encoder.load(options).encode_images(picture, use_cache=False)
        np.testing.assert_array_equal(row, plain)
        shown.append(row)
    assert contents().embeddings == 3
    assert not np.array_equal(shown[0], shown[1]) and not np.array_equal(shown[0], shown[2])
    # What one may not open is not answered for it.
    strict = unseen.LoadOptions(str(MODEL), limits=unseen.Limits(max_pixels=1000))
    with pytest.raises(unseen.ImageError, match="1,000 pixels"):
        unseen.Encoder.load(strict).encode_images(picture)
    small = unseen.LoadOptions(str(MODEL), limits=unseen.Limits(max_bytes=1000))
    with pytest.raises(unseen.ImageError, match="1,000 bytes"):
        unseen.Encoder.load(small).encode_images(picture)


def test_errors_are_not_cached_and_names_are_kept(picture: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(picture.read_bytes()[:2000])
    encoder = unseen.Encoder.load(unseen.LoadOptions(str(MODEL)))
    for _ in range(2):
        names = [
            (row.name, None if row.error is None else str(row.error)[:20])
            for row in encoder.stream_images([broken, picture, tmp_path / "none.jpg"])
        ]
        assert names == [
            (str(broken), str(broken)[:20]),
            (str(picture), None),
            (str(tmp_path / "none.jpg"), str(tmp_path)[:20]),
        ]
    assert contents().embeddings == 1


def test_an_index_takes_what_the_cache_has(tmp_path: Path) -> None:
    for number, label in enumerate(("red circle", "blue star", "green square")):
        shapes.draw(shapes.scene(label), number).save(tmp_path / f"{number}.png")
    encoder = unseen.Encoder.load(unseen.LoadOptions(str(MODEL)))
    rows = encoder.encode_images(tmp_path)
    assert contents().embeddings == 3
    encoder.encode_pixels = None  # type: ignore[assignment,method-assign]  # nothing is left for it
    with unseen.Index(tmp_path) as index:
        assert index.update(encoder).encoded == 3
        stored = np.stack([row.embedding for row in index.view(encoder).encoded()])
    np.testing.assert_allclose(stored, rows, atol=5e-4)  # 16 bits a number


# the commands


def test_commands_share_it_and_the_switch_turns_it_off(tmp_path: Path, fresh_home: Path) -> None:
    for label in ("red circle", "blue star"):
        for seed in range(3):
            path = tmp_path / "labelled" / label / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shapes.draw(shapes.scene(label), seed).save(path)
    labels = ("-l", "red circle,blue star")
    common = ("classify", tmp_path / "labelled", *labels, *SHAPES, "--csv", "-")
    before = run(*common, "--no-cache").stdout
    assert contents().embeddings == 0
    assert run(*common).stdout == before
    assert contents().embeddings == 6
    assert run(*common).stdout == before
    run("eval", tmp_path / "labelled", *SHAPES)
    assert contents().embeddings == 6
    run("labels", "doctor", labels[1], "--pictures", tmp_path / "labelled", *SHAPES)
    assert contents().embeddings == 7  # and one of noise, which says what a label is without any
    assert "7 pictures" in run("cache", "info").stdout
    run("cache", "clear")
    assert contents().embeddings == 0 and not (fresh_home / "embeddings.sqlite").exists()
    assert not (fresh_home / "prompts.sqlite").exists()
    assert run(*common).stdout == before
