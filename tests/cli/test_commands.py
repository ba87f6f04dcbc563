"""The commands, as a user types them."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

import shapes
from running import ROOT, unseen
from unseen.cli.output import printable
from unseen.results.spreadsheet import harmless

SHAPES = ["-m", "tests/fixtures/shapes-clip"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i, label in enumerate(["red circle", "blue star", "green square", "yellow heart"]):
        name = f"{i} {label}, =1.png" if i else "red.png"
        shapes.draw(shapes.scene(label), 5).save(folder / name)
    (folder / "sub").mkdir()
    (folder / "sub" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return folder


LABELS = "a red circle,a blue star,a green square,a yellow heart"


def test_one_picture_is_a_table_with_bars() -> None:
    done = unseen("classify", "examples/cat.jpg", "--labels", "cat,dog")
    first, cat, dog = done.stdout.splitlines()
    assert first == "examples/cat.jpg" and done.stderr == ""
    assert cat.split()[0] == "cat" and "█" in cat and cat.endswith("%")
    assert dog.split()[0] == "dog" and "\x1b" not in done.stdout


def test_a_folder_as_json_lines_with_one_broken_picture(folder: Path) -> None:
    done = unseen("classify", folder, "-l", LABELS, *SHAPES, "--top", 3, "--jsonl", code=1)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.get("label") for row in rows] == [
        "a blue star", "a green square", "a yellow heart", "a red circle", None,
    ]  # fmt: skip
    assert all(len(row["ranking"]) == 3 and row["left_out"] == 1 for row in rows[:4])
    assert "error" in rows[4] and rows[4]["source"].endswith("broken.jpg")
    assert "1 of 5 pictures could not be read" in done.stderr


def test_csv_with_templates_and_unknown(folder: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.yaml"
    labels.write_text("'=a red circle': a red circle\n'a blue star': [a blue star, 'a {}']\n")
    out = tmp_path / "out.csv"
    unseen(
        "classify", folder, "-l", labels, *SHAPES, "--template", "imagenet",
        "--unknown", "a green square", "--unknown", "a yellow heart", "--csv", out, code=1,
    )  # fmt: skip
    rows = {Path(r["source"]).name: r for r in table(out)}
    assert rows["red.png"]["label"] == "'=a red circle"  # no spreadsheet runs it
    assert 0 < float(rows["red.png"]["score"]) <= 1
    green = rows["2 green square, =1.png"]
    assert green["label"] == "" and green["unknown"] == "true"
    assert "broken" in rows["broken.jpg"]["error"]


def test_every_output_says_the_same(folder: Path, tmp_path: Path) -> None:
    common = ["classify", folder / "red.png", "-l", LABELS, *SHAPES]
    jsonl = json.loads(unseen(*common, "--jsonl").stdout)
    assert json.loads(unseen(*common, "--json").stdout) == [jsonl]
    for suffix in ("jsonl", "json", "csv"):
        done = unseen(*common, "-o", tmp_path / f"a.{suffix}")
        assert done.stdout == ""
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == [jsonl]
    assert json.loads((tmp_path / "a.jsonl").read_text("utf-8")) == jsonl
    (row,) = table(tmp_path / "a.csv")
    assert row["label"] == jsonl["label"] and float(row["score"]) == pytest.approx(jsonl["score"])
    said = unseen(*common, "--csv", "-", "--top", 2).stdout
    assert said.startswith("source,label,score,unknown,error,label_2,score_2\n")


def test_multi_and_min_score(folder: Path) -> None:
    common = ["classify", folder / "red.png", "-l", LABELS, *SHAPES, "--json"]
    (row,) = json.loads(unseen(*common, "--multi").stdout)
    assert row["ranking"][0]["label"] == "a red circle"
    (row,) = json.loads(unseen(*common, "--min-score", 1.0, "--unknown", "a photo").stdout)
    assert row["ranking"] == [] and row["unknown"] is True and row["label"] is None


@pytest.mark.parametrize("suffix", ["npy", "safetensors", "parquet"])
def test_embed(suffix: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / f"vectors.{suffix}"
    done = unseen("embed", folder, "-o", out, *SHAPES, code=1)
    assert "broken.jpg" in done.stderr and done.stdout == ""
    if suffix == "npy":
        rows, names = np.load(out), json.loads(out.with_suffix(".json").read_text())["names"]
    elif suffix == "safetensors":
        with safe_open(out, framework="numpy") as file:
            rows, names = file.get_tensor("embeddings"), json.loads(file.metadata()["names"])
    else:
        from pyarrow import parquet

        table = parquet.read_table(out)
        rows, names = np.array(table["embedding"].to_pylist()), table["name"].to_pylist()
        assert table.schema.metadata[b"model"] == b"tests/fixtures/shapes-clip"
        assert str(table.schema.field("embedding").type).startswith("fixed_size_list<")
    import unseen as library

    wanted = library.load(ROOT / "tests/fixtures/shapes-clip").encode_images(names)
    np.testing.assert_allclose(rows, wanted, atol=1e-6)
    assert len(names) == 4


def test_labels_compile_and_refusal(folder: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text(LABELS.replace(",", "\n"))
    out = tmp_path / "shapes.safetensors"
    done = unseen("labels", "compile", labels, *SHAPES, "-o", out)
    assert "4 labels" in done.stderr
    (row,) = json.loads(unseen("classify", folder / "red.png", "-l", out, *SHAPES, "--json").stdout)
    assert row["label"] == "a red circle"
    done = unseen("classify", folder / "red.png", "-l", out, code=2)
    assert "compile it again" in done.stderr


def test_models_and_doctor() -> None:
    rows = json.loads(unseen("models", "--json").stdout)
    assert rows[0]["id"] == "builtin" and rows[0]["here"] is True
    assert "openai/clip-vit-large-patch14-336" in unseen("models").stdout
    findings = json.loads(unseen("doctor", "--json").stdout)
    tests = [f for f in findings if f["name"].startswith("self-test, ")]
    assert len(tests) == 6 and all(f["ok"] for f in tests)
    assert "self-test, text net" in unseen("doctor").stdout


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["classify", "examples/cat.jpg"], "--labels"),
        (["classify", "examples/cat.jpg", "-l", ","], "empty label"),
        (["classify", "examples/cat.jpg", "-l", "nowhere.txt"], "no such label file"),
        (["classify", "examples/cat.jpg", "-l", "a,b", "-m", "nonsense"], "neither a folder"),
        (["classify", "examples/cat.jpg", "-l", "a,b", "--template", "x"], "{}"),
        (["classify", "examples/cat.jpg", "-l", "a,b", "--json", "--jsonl"], "one of"),
        (["classify", "examples/cat.jpg", "-l", "a,b", "-o", "out.xls"], "out.xls"),
        (["classify", "examples/cat.jpg", "-l", "a,b", "--resume"], "--resume needs a file"),
        (["classify", "licenses", "-l", "a,b"], "no pictures in it"),
        (["classify", "examples/cat.jpg", "-l", "a,b", "-o", "no/where/a.jsonl"], "cannot be"),
        (["embed", "examples/cat.jpg", "-o", "out.txt"], ".npy"),
        (["nonsense"], "nonsense"),
    ],
)
def test_a_wrong_call_is_one_sentence(arguments: list[str], words: str) -> None:
    done = unseen(*arguments, code=2)
    assert words in done.stderr and done.stdout == ""


def test_a_missing_picture_is_a_row() -> None:
    done = unseen("classify", "nowhere.jpg", "examples/cat.jpg", "-l", "cat,dog", "--jsonl", code=1)
    first, second = map(json.loads, done.stdout.splitlines())
    assert "no such file" in first["error"] and second["label"] == "cat"


def test_debug_shows_the_traceback() -> None:
    command = [sys.executable, "-m", "unseen", "--debug", "classify", "x", "-l", ","]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert "Traceback" in done.stderr and done.returncode == 2


def test_version_and_help() -> None:
    assert unseen("--version").stdout.startswith("unseen 0.")
    assert "Usage: " in unseen("--help").stdout


# stopping and going on


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    picture = shapes.draw(shapes.scene("red circle"), 1)
    for i in range(300):
        picture.save(folder / f"{i:03}, «ü».png")
    (folder / "100 broken.png").write_bytes(b"broken")
    return folder


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def answers(path: Path) -> list[tuple[object, ...]]:
    """Source, label and score of each row; the last digits of a score depend on its batch."""
    text = path.read_text("utf-8")
    rows = table(path) if path.suffix == ".csv" else [json.loads(x) for x in text.splitlines()]
    return [
        (r["source"], r.get("label") or None, round(float(r.get("score") or 0), 4)) for r in rows
    ]


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_is_gone_on_with(
    kind: str, how: signal.Signals, many: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / f"out.{kind}", tmp_path / f"whole.{kind}"
    common = ["classify", many, "-l", LABELS, *SHAPES, "--batch-size", 1]
    process = subprocess.Popen(
        [sys.executable, "-m", "unseen", *map(str, common), "-o", str(out)],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while lines(out) < 20 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(how)
    _, said = process.communicate()
    assert 20 <= lines(out) < 301
    if how == signal.SIGINT:
        assert process.returncode == 130 and "--resume" in said and "Traceback" not in said
    else:
        with out.open("ab") as file:  # what a killed process may leave
            file.write(b'{"source": "half' if kind == "jsonl" else b'"half, ')
    refused = unseen(*common, "-o", out, code=2)
    assert "--resume" in refused.stderr
    other = unseen(*common[:-4], "-m", "builtin", "-o", out, "--resume", code=2)
    assert "another" in other.stderr
    unseen(*common, "-o", out, "--resume", code=1)
    unseen(*common, "-o", whole, code=1)
    assert answers(out) == answers(whole) and len(answers(out)) == 301
    before = out.read_bytes()
    again = unseen(*common, "-o", out, "--resume")
    assert again.stderr == "Nothing left to do: 301 were done before.\n"
    assert out.read_bytes() == before


def test_a_pipe_that_closes_is_quiet(many: Path) -> None:
    command = (
        f"{sys.executable} -m unseen classify {many} -l a,b {' '.join(SHAPES)} --jsonl | head -1"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert json.loads(done.stdout)["label"] in ("a", "b")
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_progress_is_on_a_terminal_only(many: Path) -> None:
    import pty

    command = [
        sys.executable,
        "-m",
        "unseen",
        "classify",
        str(many),
        "-l",
        LABELS,
        *SHAPES,
        "--jsonl",
    ]
    for extra, wanted in (([], True), (["--quiet"], False)):
        main, side = pty.openpty()
        process = subprocess.Popen(
            [*command, *extra, "--jsonl"], cwd=ROOT, stdout=subprocess.PIPE, stderr=side, text=True,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
        )  # fmt: skip
        os.close(side)
        said = b""
        out, _ = process.communicate()
        while True:
            try:
                chunk = os.read(main, 65536)
            except OSError:
                break
            if not chunk:
                break
            said += chunk
        os.close(main)
        assert len(out.splitlines()) == 301 and "\x1b" not in out
        assert (b"pictures" in said.replace(b"1 of 301 pictures", b"")) == wanted


def test_cells_and_names_do_no_harm() -> None:
    for cell in ("=1+1", "+1", "-1", "@x", "\tx", "\rx", "  =x", "\n=x", " \t+x", "＝1"):
        assert harmless(cell).startswith("'")
    assert harmless("a=1") == "a=1" and harmless("") == ""
    assert printable("a\x1b[31m\nb") == "a\\x1b[31m\\nb" and printable("naïve 猫") == "naïve 猫"


def test_a_file_name_cannot_steer_the_terminal(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a\x1b[31m.png")
    assert "\x1b" not in unseen("classify", tmp_path, "-l", "a,b", *SHAPES).stdout
