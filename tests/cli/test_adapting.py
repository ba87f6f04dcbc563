"""`unseen adapt`, and what takes its file, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import ImageFilter

import shapes
from running import unseen

SHAPES = ["-m", "tests/fixtures/shapes-clip"]
LABELS = [f"a {colour} {shape}" for colour in ("red", "blue", "green") for shape in shapes.SHAPES]


def save(folder: Path, label: str, seed: int) -> Path:
    path = folder / label.replace(" ", "_") / f"{seed}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = shapes.draw(shapes.scene(label), seed).filter(ImageFilter.GaussianBlur(3.5))
    image.save(path)
    return path


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for label in LABELS:
        for seed in range(4):
            save(folder, label, seed)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for label in LABELS:
        save(folder, label, 40)
    return folder


def rows(text: str) -> dict[str, dict]:
    return {row["source"]: row for row in map(json.loads, text.splitlines())}


def assert_same(found: dict[str, dict], expected: dict[str, dict], close: float) -> None:
    assert found.keys() == expected.keys()
    for source, row in found.items():
        assert row["label"] == expected[source]["label"]
        assert row["score"] == pytest.approx(expected[source]["score"], abs=close)


def right(found: dict[str, dict]) -> int:
    return sum(Path(s).parent.name.replace("_", " ") == row["label"] for s, row in found.items())


def test_adapt_then_classify_files_and_an_index(
    examples: Path, pictures: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.safetensors"
    done = unseen("adapt", examples, "-o", mine, *SHAPES)
    lines = done.stdout.splitlines()
    assert lines[0] == "96 pictures of 24 labels, 4 of each"
    assert [line.split()[0] for line in lines[2:6]] == [
        "zero-shot",
        "prototypes",
        "cache",
        "probe",
    ]
    assert lines[6].startswith("chosen: ") and lines[7].startswith(f"{mine}: ")
    assert mine.stat().st_size < 40_000 and done.stderr == ""

    command = ("classify", pictures, *SHAPES, "--jsonl")
    plain = rows(unseen(*command, "-l", ",".join(LABELS)).stdout)
    own = rows(unseen(*command, "--adapter", mine).stdout)
    assert right(own) > right(plain)
    named = rows(unseen(*command, "--adapter", mine, "-l", ",".join(LABELS)).stdout)
    assert_same(named, own, 1e-5)
    unseen("index", pictures, *SHAPES)
    again = unseen(*command, "--adapter", mine)
    assert "from the index" in again.stderr
    assert_same(rows(again.stdout), own, 0.01)  # half precision


def test_a_run_with_another_adapter_is_not_gone_on_with(
    examples: Path, pictures: Path, tmp_path: Path
) -> None:
    mine, out = tmp_path / "mine.safetensors", tmp_path / "out.jsonl"
    unseen("adapt", examples, "-o", mine, *SHAPES, "--quiet")
    labels = ("-l", ",".join(LABELS), *SHAPES)
    unseen("classify", pictures, *labels, "-o", out)
    done = unseen("classify", pictures, *labels, "-o", out, "--adapter", mine, "--resume", code=2)
    assert "labels or templates" in done.stderr


def test_shots_seed_and_json(examples: Path, tmp_path: Path) -> None:
    facts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        mine = tmp_path / f"{name}.safetensors"
        done = unseen(
            "adapt", examples, "-o", mine, *SHAPES, "--shots", 2, "--seed", seed, "--json"
        )
        facts.append(json.loads(done.stdout))
    for one in facts:
        assert one.pop("date") and one["shots"] == [2, 2] and one["pictures"] == 48
    assert facts[0] == facts[1] and facts[0]["tried"] != facts[2]["tried"]
    done = unseen("adapt", examples, "-o", tmp_path / "a.safetensors", *SHAPES, code=2)
    assert "is there already" in done.stderr
    done = unseen("adapt", examples, "-o", tmp_path / "d.safetensors", *SHAPES, "--shots", 1)
    assert "one picture a label, nothing to hold out" in done.stdout


def test_zero_shot_is_kept_where_it_is_right(tmp_path: Path) -> None:
    folder = tmp_path / "clear"
    for label in LABELS[:6]:
        for seed in range(3):
            path = folder / label / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shapes.draw(shapes.scene(label), seed).save(path)
    mine = tmp_path / "mine.safetensors"
    done = unseen("adapt", folder, "-o", mine, *SHAPES)
    assert "keep zero-shot: the adapter changes nothing" in done.stdout
    command = ("classify", folder, *SHAPES, "--jsonl")
    plain = rows(unseen(*command, "-l", ",".join(LABELS[:6])).stdout)
    assert_same(rows(unseen(*command, "--adapter", mine).stdout), plain, 1e-5)


def test_a_broken_picture_is_named_and_the_rest_is_learnt(examples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    for label in LABELS[:4]:
        for seed in range(3):
            save(folder, label, seed)
    (folder / "a_red_circle" / "broken.png").write_bytes(b"no picture")
    mine = tmp_path / "mine.safetensors"
    done = unseen("adapt", folder, "-o", mine, *SHAPES, code=1)
    assert "broken.png" in done.stderr and "1 of 13 pictures could not be read" in done.stderr
    assert "12 pictures of 4 labels" in done.stdout and mine.exists()


def test_a_label_by_its_pictures_and_labels_from_a_file(examples: Path, tmp_path: Path) -> None:
    """One folder has a name that says nothing; of one label there is a text alone."""
    folder = tmp_path / "mixed"
    for label in LABELS[:6]:
        (folder / label).mkdir(parents=True)
        for seed in range(4):
            shapes.draw(shapes.scene(label), seed).save(folder / label / f"{seed}.png")
    (folder / LABELS[0]).rename(folder / "our_mascot")
    names = tmp_path / "labels.txt"
    names.write_text("\n".join(["our mascot", *LABELS[1:6], "a green ring"]), "utf-8")
    mine = tmp_path / "mine.safetensors"
    done = unseen("adapt", folder, "-l", names, "-o", mine, *SHAPES, "--by-pictures", "our mascot")
    assert "24 pictures of 6 labels" in done.stdout and "chosen: " in done.stdout
    picture = tmp_path / "new.png"
    shapes.draw(shapes.scene(LABELS[0]), 99).save(picture)
    ring = tmp_path / "ring.png"
    shapes.draw(shapes.scene("a green ring"), 99).save(ring)
    command = ("classify", picture, ring, "-l", names, *SHAPES, "--jsonl")
    labels = [row["label"] for row in rows(unseen(*command, "--adapter", mine).stdout).values()]
    assert labels == ["our mascot", "a green ring"]
    assert rows(unseen(*command).stdout)[str(picture)]["label"] != "our mascot"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("missing", "-o", "x.safetensors"), "there is no such folder"),
        (("examples", "-o", "x.safetensors"), "no folders in it"),
        (("tests/photographs", "-o", "x.bin"), "is a .safetensors file"),
        (("tests/photographs", "-o", "x.safetensors", "-l", "cat,dog"), "no such label"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    given = [str(tmp_path / a) if a.startswith("x.") else a for a in arguments]
    assert expected in unseen("adapt", *given, code=2).stderr
    assert not list(tmp_path.iterdir())


def test_classify_wants_labels_or_an_adapter() -> None:
    done = unseen("classify", "examples/cat.jpg", code=2)
    assert "no labels were given" in done.stderr and "--adapter" in done.stderr
    done = unseen("classify", "examples/cat.jpg", "--adapter", "missing.safetensors", code=2)
    assert "there is no such adapter" in done.stderr
