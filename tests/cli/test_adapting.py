"""`unseen adapt`, and what takes its file, as a user types them."""

from __future__ import annotations

import json
import os
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
    methods = ["zero-shot", "prototypes", "cache", "probe", "gda"]
    assert [line.split()[0] for line in lines[2:7]] == methods
    assert lines[7].startswith("chosen: ") and lines[8].startswith(f"{mine}: ")
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
    assert facts[0]["shots_limit"] == 2 and facts[0]["not_drawn"] == 48
    done = unseen(
        "adapt", examples, "-o", tmp_path / "a.safetensors", *SHAPES, "--shots", 2, "--overwrite"
    )
    assert done.stdout.splitlines()[1] == "48 of 96 pictures are not used: --shots 2"
    assert facts[0] == facts[1] and facts[0]["tried"] != facts[2]["tried"]
    done = unseen("adapt", examples, "-o", tmp_path / "a.safetensors", *SHAPES, code=2)
    assert "already exists" in done.stderr
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


def spoil(folder: Path) -> None:
    """Every picture becomes rubbish of the same size and time: only an index knows them now."""
    for path in folder.rglob("*.png"):
        was = path.stat()
        path.write_bytes(bytes(was.st_size))
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def test_a_csv_and_an_index_teach_the_same_as_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "examples"
    table = ["path,label,by"]
    for label in LABELS[:5]:
        for seed in range(3):
            path = save(folder, label, seed)
            table.append(f"{path.relative_to(tmp_path)},{label.replace('a ', 'A_')},me")
    table += [f"examples/a_red_ring/{seed}.png,a dragon,me" for seed in range(2)]
    (tmp_path / "examples.csv").write_text("\n".join(table), "utf-8")
    labels = ("-l", ",".join(LABELS[:6]), *SHAPES, "--json")

    def learnt(source: Path, name: str) -> tuple[dict, str]:
        done = unseen("adapt", source, "-o", tmp_path / f"{name}.safetensors", *labels)
        facts = json.loads(done.stdout)
        facts.pop("date")
        return facts, done.stderr

    from_folder, said = learnt(folder, "a")
    assert said == "" and from_folder["pictures"] == 15 and len(from_folder["labels"]) == 5
    from_table, said = learnt(tmp_path / "examples.csv", "b")
    assert from_table == from_folder
    assert said.splitlines() == [
        "warning: classes that no label stands for are left out with their pictures: "
        "a dragon (2 pictures)."
    ]
    unseen("index", folder, *SHAPES)
    spoil(folder)
    indexed, said = learnt(folder, "c")
    assert "from the index" in said and indexed["method"] == from_folder["method"]
    assert indexed["example_digests"] == from_folder["example_digests"]  # no file was opened
    assert len(indexed["example_digests"]) == 15
    for one, other in zip(indexed["tried"], from_folder["tried"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=0.01)
    table = tmp_path / "examples" / "inside.csv"
    lines = [f"{p.relative_to(folder)},{p.parent.name}" for p in sorted(folder.rglob("*.png"))]
    table.write_text("\n".join(["path,label", *lines]), "utf-8")
    assert learnt(table, "d")[0]["tried"] == indexed["tried"]
    done = unseen(
        "adapt", folder, "-o", tmp_path / "e.safetensors", *labels, "--no-index", code=2
    )  # fmt: skip
    assert "none of its pictures could be read" in done.stderr


def test_eval_and_calibrate_know_adapters(examples: Path, pictures: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.safetensors"
    unseen("adapt", examples, "-o", mine, *SHAPES, "-q")
    common = (pictures, *SHAPES, "--json")
    both = unseen("eval", *common, "--adapter", "none", "--adapter", mine, "-q", code=0)
    plain, own = json.loads(both.stdout)["candidates"]
    assert (plain["adapter"], own["adapter"]) == (None, str(mine))
    assert own["figures"]["top1"]["value"] > plain["figures"]["top1"]["value"]
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(LABELS), "utf-8")
    learnt = tmp_path / "learnt.json"
    with_both = ("-l", labels, "--adapter", mine)
    unseen("calibrate", pictures, *SHAPES, *with_both, "-o", learnt, "-q")
    found = unseen("eval", *common, *with_both, "--calibration", "none", "--calibration", learnt)
    before, after = json.loads(found.stdout)["candidates"]
    assert before["figures"]["top1"] == {**after["figures"]["top1"], "best": True}
    assert after["figures"]["nll"]["value"] < before["figures"]["nll"]["value"]
    into = ("--into", tmp_path / "out", "--dry-run", "--json")
    steps = json.loads(unseen("organize", pictures, *SHAPES, "--adapter", mine, *into).stdout)
    found = rows(unseen("classify", pictures, *SHAPES, "--adapter", mine, "--jsonl", "-q").stdout)
    assert {s["source"]: Path(s["target"]).parent.name for s in steps["steps"]} == {
        source: row["label"] for source, row in found.items()
    }
    picture = next(pictures.rglob("*.png"))
    done = unseen("classify", picture, *SHAPES, *with_both, "--calibration", learnt, "--json")
    assert json.loads(done.stdout)[0]["likely"]
    # What is learnt of adapted labels is not for others, and the other way round.
    done = unseen("eval", *common, "-l", labels, "--calibration", learnt, code=2)
    assert "does not fit" in done.stderr
    done = unseen("eval", "tests/photographs", "--adapter", mine, code=2)
    assert "was made for" in done.stderr
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"path,caption\n{picture},a red circle\n", "utf-8")
    done = unseen("eval", pairs, "--retrieval", "--adapter", mine, code=2)
    assert "--adapter" in done.stderr


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
        (("examples", "-o", "x.safetensors"), "each folder is a class"),
        (("tests/photographs", "-o", "x.bin"), "is a .safetensors file"),
        (
            ("tests/photographs", "-o", "x.safetensors", "-l", "unicorn,dragon"),
            "no picture has one",
        ),
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
