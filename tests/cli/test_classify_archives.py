"""Archives on the command line: a row for each member, columns, and going on with a file."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import pytest

import hostile
import shapes
from running import unseen
from unseen.results.records import rows

SHAPES = ["-m", "tests/fixtures/shapes-clip"]
LABELS = "a red circle,a blue star"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "photos.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, scene in (("=a/red.png", "red circle"), ("blue.png", "blue star")):
            image = shapes.draw(shapes.scene(scene), 5)
            file.writestr(name, hostile.encoded("PNG", image))
        file.writestr("broken.png", b"text")
    return path


def test_json_lines_hold_the_metadata(archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    done = unseen("classify", archive, "-l", LABELS, *SHAPES, "-o", output, code=1)
    assert "1 of 3 pictures could not be read" in done.stderr
    found = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert [row.get("label") for row in found] == ["a red circle", "a blue star", None]
    assert [row["meta"] for row in found] == [
        {"member": "=a/red.png"}, {"member": "blue.png"}, {"member": "broken.png"},
    ]  # fmt: skip
    assert found[1]["source"] == f"{archive}!/blue.png" and "known format" in found[2]["error"]
    assert [row.meta for row in rows(output)] == [row["meta"] for row in found]

    # Half of it is gone on with, and nothing is done twice.
    whole = output.read_bytes()
    output.write_bytes(whole[: whole.index(b"\n") + 5])
    unseen("classify", archive, "-l", LABELS, *SHAPES, "-o", output, "--resume", code=1)
    again = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert [(row["source"], row["meta"]) for row in again] == [
        (row["source"], row["meta"]) for row in found
    ]


def test_a_csv_file_has_a_column_for_what_the_reader_declares(
    archive: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    picture = "examples/cat.jpg"
    command = ("classify", archive, picture, "-l", LABELS, *SHAPES, "-o", output)
    unseen(*command, code=1)
    with output.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["source", "label", "score", "unknown", "error", "member"]
    assert [row["member"] for row in found] == ["'=a/red.png", "blue.png", "broken.png", ""]
    assert [row.meta for row in rows(output)] == [
        {"member": "=a/red.png"}, {"member": "blue.png"}, {"member": "broken.png"}, {},
    ]  # fmt: skip
    # Without the archive there is no such column: another file.
    done = unseen("classify", picture, "-l", LABELS, *SHAPES, "-o", output, "--resume", code=2)
    assert "options" in done.stderr
    unseen(*command, "--resume")

    unseen("classify", picture, "-l", LABELS, *SHAPES, "-o", output, "--overwrite")
    header, row = output.read_text("utf-8").splitlines()
    assert header == "source,label,score,unknown,error" and row.count(",") == 4


def test_a_broken_archive_is_a_row(archive: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(archive.read_bytes()[:200])
    done = unseen("classify", broken, "examples/cat.jpg", "-l", LABELS, *SHAPES, "--jsonl", code=1)
    first, second = map(json.loads, done.stdout.splitlines())
    assert "not a zip archive" in first["error"] and "label" in second


def test_organize_copies_out_of_an_archive_and_moves_nothing(archive: Path, tmp_path: Path) -> None:
    command = ("organize", archive, "-l", LABELS, *SHAPES, "--into", tmp_path / "s")
    done = unseen(*command, code=1)
    assert "2 files copied" in done.stderr and "1 of 3 pictures could not be read" in done.stderr
    copies = sorted(path.relative_to(tmp_path / "s") for path in (tmp_path / "s").glob("a */*"))
    assert copies == [Path("a blue star/blue.png"), Path("a red circle/red.png")]
    moved = unseen(*command[:-1], tmp_path / "m", "--move", code=2)
    assert "it can be copied, but not moved" in moved.stderr and not (tmp_path / "m").exists()
