"""An index is found again, however it was made, by every command that reads one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import checkpoints
import shapes
from running import ROOT, unseen

SHAPES_CLIP = ROOT / "tests" / "fixtures" / "shapes-clip"
SHAPES = ("-m", SHAPES_CLIP)
LABELS = ("-l", "red circle,blue square,green star")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label in ("red circle", "blue square", "green star"):
        for seed in range(2):
            path = tmp_path / "photos" / label / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shapes.draw(shapes.scene(label), seed).save(path)
    return tmp_path / "photos"


def rows_of(photos: Path) -> list[dict[str, object]]:
    models = json.loads(unseen("index", "info", photos, "--json").stdout)["models"]
    return [row for row in models if row["pictures"]]


def read_with_every_command(photos: Path, tmp_path: Path) -> None:
    """Each finds the only row of the index, and none adds another or encodes a picture."""
    before = rows_of(photos)
    hits = json.loads(unseen("search", "a red circle", "--index", photos, "--json").stdout)
    assert "red circle" in hits[0]["paths"][0] and len(hits) == 6
    for command in ("duplicates", "similar", "clusters"):
        unseen(command, photos)
    unseen("map", photos, "--html", tmp_path / "map.html")
    assert rows_of(photos) == before and len(before) == 1


def classify_with_every_command(photos: Path, tmp_path: Path, model: tuple[object, ...]) -> None:
    before = rows_of(photos)
    done = unseen("classify", photos, *LABELS, *model, "--jsonl")
    assert "from the index" in done.stderr
    for line in done.stdout.splitlines():
        row = json.loads(line)
        assert row["label"] == Path(row["source"]).parent.name
    into = tmp_path / "sorted"
    done = unseen("organize", photos, *LABELS, *model, "--into", into, "--dry-run")
    assert "the index was made by" in done.stderr
    done = unseen("label", photos, *LABELS, *model)
    assert "the index was made by" in done.stderr
    assert rows_of(photos) == before and len(before) == 1


@pytest.mark.parametrize("option", [("--precision", "int8"), ("--exact",)])
def test_an_index_of_any_precision_and_decoding(
    option: tuple[str, ...], photos: Path, tmp_path: Path
) -> None:
    unseen("index", photos, *SHAPES, *option)
    read_with_every_command(photos, tmp_path)
    classify_with_every_command(photos, tmp_path, SHAPES)


def test_an_index_of_a_revision(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model on the hub, of which two revisions are on this machine."""
    home = tmp_path / "hf" / "hub" / "models--org--tiny"
    other = checkpoints.clip(tmp_path / "other")
    for revision, folder in (("main", other), ("v2", SHAPES_CLIP)):
        commit = revision.encode().hex().ljust(40, "0")
        shutil.copytree(folder, home / "snapshots" / commit)
        (home / "refs").mkdir(exist_ok=True)
        (home / "refs" / revision).write_text(commit)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = ("-m", "org/tiny")
    unseen("index", photos, *model, "--revision", "v2")
    read_with_every_command(photos, tmp_path)
    classify_with_every_command(photos, tmp_path, model)


def test_of_several_the_latest_is_taken_and_the_options_choose(photos: Path) -> None:
    for option in ((), ("--precision", "int8"), ("--exact",)):
        unseen("index", photos, *SHAPES, *option)
    search = ("search", "a red circle", "--index", photos, "--json")
    done = unseen(*search)
    assert "shapes-clip (int8)" in done.stderr.split(";")[0]
    assert "--precision, --exact or --revision" in done.stderr
    assert "shapes-clip (fp32); " in done.stderr and "shapes-clip (fp32, exact)" in done.stderr
    assert unseen(*search, "--quiet").stderr == ""
    plain = unseen(*search, "--precision", "fp32")
    assert "shapes-clip (fp32);" in plain.stderr.split(", --exact or")[0] + ";"
    assert plain.stdout != done.stdout
    exact = unseen(*search, "--exact")
    assert exact.stderr == ""  # one row fits
    done = unseen(*search, "--precision", "fp16", code=2)
    assert "has not encoded these pictures" in done.stderr and "(int8)" in done.stderr


def test_what_is_written_counts_more_than_what_the_index_has(photos: Path) -> None:
    unseen("index", photos, *SHAPES, "--precision", "int8")
    command = ("classify", photos, *LABELS, *SHAPES, "--jsonl")
    done = unseen(*command, "--precision", "fp32")
    assert "index" not in done.stderr and len(done.stdout.splitlines()) == 6
    done = unseen(*command, "--no-index")
    assert "index" not in done.stderr


def test_a_model_is_known_by_another_path_of_it(photos: Path, tmp_path: Path) -> None:
    link, copy = tmp_path / "link", tmp_path / "copy"
    link.symlink_to(SHAPES_CLIP)
    shutil.copytree(SHAPES_CLIP, copy)
    unseen("index", photos, *SHAPES)
    unseen("index", photos)  # another model
    for model in ("tests/fixtures/shapes-clip", link, copy):
        done = unseen("search", "a red circle", "--index", photos, "-m", model)
        assert done.stderr == "" and "red circle" in done.stdout.splitlines()[0]


def test_stored_vectors_need_no_model(photos: Path, tmp_path: Path) -> None:
    """Its folder is gone: what reads vectors goes on, what needs words says what is missing."""
    model = tmp_path / "model"
    shutil.copytree(SHAPES_CLIP, model)
    unseen("index", photos, "-m", model)
    shutil.rmtree(model)
    for command in ("duplicates", "similar", "clusters"):
        unseen(command, photos)
    unseen("duplicates", photos, "--threshold", 0.5, "--html", tmp_path / "page.html")
    unseen("map", photos, "--html", tmp_path / "map.html")
    unseen("index", "info", photos)
    done = unseen("search", "a red circle", "--index", photos, code=2)
    assert str(model) in done.stderr and "Traceback" not in done.stderr
