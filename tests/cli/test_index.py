"""`unseen index` and what asks an index, through the command line."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import shapes
from running import ROOT, unseen

SHAPES = ("-m", "tests/fixtures/shapes-clip")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label in ("red circle", "blue square", "green star"):
        for seed in range(2):
            path = tmp_path / "photos" / label / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shapes.draw(shapes.scene(label), seed).save(path)
    return tmp_path / "photos"


def test_index_then_search_then_classify(photos: Path) -> None:
    done = unseen("index", photos, *SHAPES)
    assert "6 new" in done.stderr and done.stdout == ""
    assert json.loads(unseen("index", photos, *SHAPES, "--json").stdout)["unchanged"] == 6
    hits = json.loads(
        unseen("search", "a photo of a red circle", "--index", photos, "--top", 2, "--json").stdout
    )
    assert [hit["paths"][0] for hit in hits] == ["red circle/0.png", "red circle/1.png"] or [
        hit["paths"][0] for hit in hits
    ] == ["red circle/1.png", "red circle/0.png"]
    lines = unseen(
        "search", photos / "blue square" / "0.png", "--index", photos
    ).stdout.splitlines()
    assert len(lines) == 6 and lines[0].startswith("1.000") and "blue square" in lines[1]

    labels = "red circle,blue square,green star"
    done = unseen("classify", photos, "-l", labels, *SHAPES, "--jsonl")
    assert "from the index" in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    looked = unseen("classify", photos, "-l", labels, *SHAPES, "--jsonl", "--no-index")
    assert "from the index" not in looked.stderr
    for row, other in zip(rows, map(json.loads, looked.stdout.splitlines()), strict=True):
        assert row["source"] == other["source"] and row["label"] == other["label"]
        assert row["score"] == pytest.approx(other["score"], abs=2e-3)
        assert row["label"] == Path(row["source"]).parent.name


def test_classify_brings_the_index_up_to_date(photos: Path) -> None:
    unseen("index", photos, *SHAPES)
    shapes.draw(shapes.scene("red heart"), 1).save(photos / "new.png")
    (photos / "red circle" / "0.png").unlink()
    done = unseen("classify", photos, "-l", "red heart,red circle", *SHAPES, "--jsonl")
    names = {Path(json.loads(line)["source"]).name for line in done.stdout.splitlines()}
    assert "new.png" in names and len(done.stdout.splitlines()) == 6
    below = unseen(
        "classify", photos / "red circle", "-l", "red heart,red circle", *SHAPES, "--jsonl"
    )
    (line,) = below.stdout.splitlines()
    assert json.loads(line)["source"] == str(photos / "red circle" / "1.png")


def test_classify_from_the_index_can_be_resumed(photos: Path, tmp_path: Path) -> None:
    unseen("index", photos, *SHAPES)
    out = tmp_path / "out.jsonl"
    command = ("classify", photos, "-l", "red circle,blue square", *SHAPES, "-o", out)
    unseen(*command)
    whole = out.read_text()
    out.write_text("".join(whole.splitlines(keepends=True)[:4]))
    unseen(*command, "--resume")
    assert sorted(out.read_text().splitlines()) == sorted(whole.splitlines())


def test_another_model_does_not_use_it(photos: Path) -> None:
    unseen("index", photos, *SHAPES)
    done = unseen("classify", photos, "-l", "cat,dog", "--jsonl")
    assert "from the index" not in done.stderr and len(done.stdout.splitlines()) == 6
    unseen("index", photos)
    done = unseen("search", "cat", "--index", photos)
    assert "the embeddings are those of builtin (fp32)" in done.stderr
    assert "choose others with --model" in done.stderr and "shapes-clip (fp32)" in done.stderr
    named = unseen("search", "cat", "--index", photos, "-m", "builtin")
    assert named.stdout == done.stdout and named.stderr == ""
    other = unseen("search", "cat", "--index", photos, *SHAPES)
    assert other.stdout != done.stdout and other.stderr == ""


def test_info_prune_and_export(photos: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    (photos / "broken.jpg").write_bytes(b"no picture")
    done = unseen("index", photos, *SHAPES, code=1)
    assert "1 could not be read" in done.stderr
    shutil.rmtree(photos / "green star")
    unseen("index", photos, *SHAPES)
    facts = json.loads(unseen("index", "info", photos, "--json").stdout)
    assert facts["files"] == 7 and facts["missing"] == 2
    assert facts["models"][0]["pictures"] == 6 and facts["models"][0]["errors"] == 1
    assert "2 of them are missing" in unseen("index", "info", photos / "red circle").stdout
    assert json.loads(unseen("index", "prune", photos, "--json").stdout) == {"forgotten": 2}
    assert "0 files forgotten" in unseen("index", "prune", photos).stderr
    out = tmp_path / "out.parquet"
    unseen("index", "export", out, "--index", photos)
    table = parquet.read_table(out).to_pylist()
    assert table[0]["path"] == "blue square/0.png" and len(table) == 5
    assert sum(row["error"] is not None for row in table) == 1
    assert {len(row["embedding"]) for row in table if row["error"] is None} == {64}


def test_transductive_from_the_files_and_from_the_index(tmp_path: Path) -> None:
    """A picture's answer depends on all of them, however they are read, and wherever one stops."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for label in ("red circle", "blue square", "green star"):
        for seed in range(10):
            picture = shapes.draw(shapes.scene(label), seed)
            picture.resize((14, 14)).resize((64, 64)).save(folder / f"{label} {seed}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    labels = ("-l", ",".join(shapes.labels()), *SHAPES, "--jsonl")
    plain = unseen("classify", folder, *labels, code=1).stdout
    helped = unseen("classify", folder, *labels, "--transductive", code=1).stdout
    assert helped != plain
    unseen("index", folder, *SHAPES, code=1)
    indexed = unseen("classify", folder, *labels, "--transductive", code=1).stdout
    for mine, other in zip(helped.splitlines(), indexed.splitlines(), strict=True):
        a, b = json.loads(mine), json.loads(other)
        assert a["source"] == b["source"] and a.get("label") == b.get("label")
        assert ("error" in a) == ("error" in b) == a["source"].endswith("broken.jpg")
        assert a.get("score") == pytest.approx(b.get("score"), abs=0.01)
    out = tmp_path / "out.jsonl"
    command = ("classify", folder, *labels[:-1], "--transductive", "-o", out)
    unseen(*command, code=1)
    whole = out.read_text()
    out.write_text("".join(whole.splitlines(keepends=True)[:7]))
    unseen(*command, "--resume", code=1)
    assert sorted(out.read_text().splitlines()) == sorted(whole.splitlines())
    done = unseen("classify", folder, *labels, "--transductive", "--multi", code=2)
    assert "cannot be combined with --multi" in done.stderr


def test_watching_finds_what_comes_and_ends_at_ctrl_c(photos: Path) -> None:
    code = (
        "from unseen.cli import app\nfrom unseen.cli.commands import index\n"
        "index.WATCH_SECONDS = 0.2\n"
        f"import sys; sys.argv = ['unseen', 'index', {str(photos)!r}, '--watch', *{SHAPES!r}]\n"
        "app.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stderr is not None
    assert "6 new" in process.stderr.readline()
    shapes.draw(shapes.scene("red heart"), 1).save(photos / "new.tmp", "PNG")
    (photos / "new.tmp").rename(photos / "new.png")
    assert "1 new" in process.stderr.readline()
    (photos / "new.png").unlink()
    assert "1 missing" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in said


def test_the_oldest_or_the_best_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    picture = shapes.draw(shapes.scene("red circle"), 1)
    picture.save(tmp_path / "small and old.jpg", exif=exif, quality=95)
    picture.resize((200, 200)).save(tmp_path / "large.jpg", quality=95)
    unseen("index", tmp_path, *SHAPES)
    for keep, first in (("best", "large.jpg"), ("oldest", "small and old.jpg")):
        found = json.loads(
            unseen("duplicates", tmp_path, "--keep", keep, "--threshold", 0.9, "--json").stdout
        )
        assert found[0][0]["paths"] == [first]
    done = unseen("duplicates", tmp_path, "--keep", "worst", code=2)
    assert "best, oldest" in done.stderr
    assert "large.jpg" in unseen("similar", tmp_path).stdout


def test_pages(photos: Path, tmp_path: Path) -> None:
    unseen("index", photos, *SHAPES)
    page = tmp_path / "page.html"
    for arguments, words in (
        (["search", "a red circle", "--index", photos, "--html", page], "red circle"),
        (["clusters", photos, "--k", 3, "--name-with", "red circle,green star", "--html", page],
         "Clusters"),
        (["duplicates", photos, "--threshold", 0.5, "--html", page], "Duplicates"),
        (["map", photos, "--html", page, "--k", 3], "photos"),
    ):  # fmt: skip
        page.unlink(missing_ok=True)
        unseen(*arguments)
        text = page.read_text("utf-8")
        assert words in text and "data:image/" in text and "default-src 'none'" in text
        assert not re.search(r"(src|href)=[\"']https?:", text)


def test_mistakes_are_one_sentence(photos: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (["search", "cat", "--index", tmp_path], "no index in it or above it"),
        (["index", "info", tmp_path], "make one: unseen index FOLDER"),
        (["index", tmp_path / "nowhere"], "no such folder"),
        (["clusters", tmp_path, "--k", "many"], "a number from 1 on, or auto"),
    ):
        done = unseen(*arguments, code=2)
        assert words in done.stderr and "Traceback" not in done.stderr
    unseen("index", photos, *SHAPES)
    done = unseen("search", "cat", "--not", "cat", "--index", photos, code=2)
    assert "are the same" in done.stderr
