"""`unseen eval`, as a user types it."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sk

import shapes
from running import ROOT, unseen
from unseen import load

SHAPES = ("-m", "tests/fixtures/shapes-clip")
KINDS = ["red circle", "red square", "red star", "blue circle"]
EACH = 10


def judged(*arguments: object, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(unseen("eval", *arguments, "--json", code=code).stdout)
    return found


def spoiled(label: str, seed: int) -> Image.Image:
    """So coarse that the model is often wrong."""
    small = shapes.draw(shapes.scene(label), seed).resize((7, 7), Image.Resampling.BOX)
    return small.resize((64, 64), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures in four classes, hard to tell; one that is broken, one in no class."""
    folder = tmp_path_factory.mktemp("shapes")
    for kind in KINDS:
        place = folder / f"a_{kind.replace(' ', '_')}" / "deep"
        place.mkdir(parents=True)
        for seed in range(EACH):
            spoiled(kind, seed).save(place / f"{seed}.png")
    (folder / "a_blue_circle" / "broken.png").write_bytes(b"\x89PNG broken")
    shapes.draw(shapes.scene("red ring"), 0).save(folder / "loose.png")
    return folder


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def scores(files: Sequence[Path], names: Sequence[str], **how: Any) -> Any:
    """What `classify_many` says of each label (n, k)."""
    classifier = load(ROOT / "tests" / "fixtures" / "shapes-clip")
    p = np.zeros((len(files), len(names)))
    for row, prediction in zip(p, classifier.classify_many(files, names, **how), strict=True):
        for scored in prediction.ranking:
            row[names.index(scored.label)] = scored.score
    return p


def value(found: dict[str, Any], name: str, place: int = 0) -> float:
    figure: float = found["candidates"][place]["figures"][name]["value"]
    return figure


def test_a_folder_a_class_is_judged_as_scikit_learn_would(folder: Path) -> None:
    found = judged(folder, *SHAPES, code=1)  # one is broken
    files = sorted(folder.glob("*/deep/*.png"))
    names = sorted(f"a {kind}" for kind in KINDS)
    p = scores(files, names)
    p /= p.sum(1, keepdims=True)
    truth = np.array([names.index(f.parent.parent.name.replace("_", " ")) for f in files])
    said = p.argmax(1)
    assert 0.3 < (said == truth).mean() < 0.99  # or nothing would be told apart
    assert found["pictures"] == 40
    assert value(found, "top1") == pytest.approx(sk.accuracy_score(truth, said))
    assert value(found, "mean_recall") == pytest.approx(sk.balanced_accuracy_score(truth, said))
    assert value(found, "macro_f1") == pytest.approx(sk.f1_score(truth, said, average="macro"))
    assert value(found, "nll") == pytest.approx(sk.log_loss(truth, p), abs=1e-5)
    assert value(found, "brier") == pytest.approx(sk.brier_score_loss(truth, p), abs=1e-5)
    (one,) = found["candidates"]
    table = sk.confusion_matrix(truth, said)
    wrong = {(names.index(c["true"]), names.index(c["said"])): c["count"] for c in one["confused"]}
    assert wrong == {(i, j): table[i, j] for i, j in np.argwhere(table) if i != j}
    assert sorted(one["order"]) == names
    assert len(one["mistakes"]) == min(24, int((said != truth).sum()))
    sure = [mistake["score"] for mistake in one["mistakes"]]
    assert sure == sorted(sure, reverse=True)
    assert "top5" not in one["figures"]  # among four labels it would be 100 %
    top = one["figures"]["top1"]
    assert top["low"] < top["value"] < top["high"]


def test_what_is_left_out_is_said(folder: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("A RED circle\na blue_circle\na red square\na pink ring\n")
    done = unseen("eval", folder, *SHAPES, "-l", labels, "-q", "--json", code=1)
    found = json.loads(done.stdout)
    assert found["pictures"] == 30
    (broken,) = found["left_out"]["unreadable"]
    assert broken["path"].endswith("broken.png") and "broken.png" in done.stderr
    assert found["left_out"]["unlabelled"] == 1
    assert found["left_out"]["unnamed"] == {"a red star": 10}
    assert found["candidates"][0]["idle"] == ["a pink ring"]
    for said in ("1 of 42 pictures could not be read", "a red star (10", "a pink ring"):
        assert said in done.stderr


def test_candidates_are_compared(folder: Path) -> None:
    names = [f"a {kind}" for kind in KINDS]
    done = unseen(
        "eval", folder, *SHAPES, *SHAPES, "--template", "{}", "--template", "a photo of {}",
        "-l", ",".join(names), "-l",
        ",".join(["a pink ring", *names]), "--json", code=1,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert [one["letter"] for one in found["candidates"]] == [*"ABCDEFGH"]
    assert [one["template"] for one in found["candidates"]] == ["{}", "a photo of {}"] * 4
    first, *_, same = found["candidates"][:5]  # the fifth is the first again
    assert same["against_first"]["top1"] == {"value": 0, "low": 0, "high": 0, "noise": True}
    assert first["figures"]["top1"]["value"] == same["figures"]["top1"]["value"]
    assert first["figures"]["top1"]["low"] == same["figures"]["top1"]["low"]
    tops = [value(found, "top1", place) for place in range(8)]
    best = [one["figures"]["top1"]["best"] for one in found["candidates"]]
    assert best == [top == max(tops) for top in tops]
    table = unseen("eval", folder, *SHAPES, "--template", "{}", "--template", "cat {}", code=1)
    assert "* best" in table.stdout and "template cat {}" in table.stdout


def test_a_clear_difference_is_told_from_none(folder: Path, tmp_path: Path) -> None:
    names = [f"a {kind}" for kind in KINDS]
    swapped = tmp_path / "swapped.json"
    prompts = dict(zip(names, names[1:] + names[:1], strict=True))
    swapped.write_text(json.dumps(prompts))
    right = tmp_path / "right.txt"
    right.write_text("\n".join(prompts))
    found = judged(folder, *SHAPES, "-l", right, "-l", swapped, code=1)
    against = found["candidates"][1]["against_first"]["top1"]
    assert against["high"] < 0 and not against["noise"]


def test_an_index_answers_without_opening_a_picture(folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(folder, photos)
    (photos / "a_blue_circle" / "broken.png").unlink()
    plain = judged(photos, *SHAPES)
    unseen("index", photos, *SHAPES)
    files = [*photos.glob("*/deep/*.png")]
    table = write(tmp_path / "t.csv", ["path", "label"], [
        (file, file.parent.parent.name.replace("_", " ")) for file in files
    ])  # fmt: skip
    for file in files:  # no pictures any more, and by size and time what they were
        times = file.stat()
        file.write_bytes(b"x" * times.st_size)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    done = unseen("eval", photos, *SHAPES, "--json")
    assert "from the index" in done.stderr
    found = json.loads(done.stdout)
    assert found["pictures"] == 40 and not found["left_out"]["unreadable"]
    for name in ("top1", "nll"):
        assert value(found, name) == pytest.approx(value(plain, name), abs=0.02)
    by_table = judged(shutil.copy(table, photos / "t.csv"), *SHAPES)
    assert value(by_table, "nll") == pytest.approx(value(found, "nll"), abs=1e-9)
    looked = unseen("eval", photos, *SHAPES, "--no-index", code=2)
    assert "no picture is left to judge" in looked.stderr


def test_several_labels_a_picture(tmp_path: Path) -> None:
    rows = []
    for seed in range(30):
        kind = KINDS[seed % 4]
        shapes.draw(shapes.scene(kind), seed).save(tmp_path / f"{seed}.png")
        rows.append((f"{seed}.png", f"a {kind}; old" if seed % 2 else f"a {kind}"))
    shapes.draw(shapes.scene("pink ring"), 1).save(tmp_path / "none.png")
    table = write(tmp_path / "t.csv", ["path", "label"], [*rows, ("none.png", "")])
    found = judged(table, *SHAPES, "--multi", "-l", ",".join(f"a {kind}" for kind in KINDS))
    assert found["kind"] == "multi" and found["pictures"] == 31
    assert found["left_out"]["unnamed"] == {"old": 15}
    names = [f"a {kind}" for kind in KINDS]
    files = [tmp_path / f"{seed}.png" for seed in range(30)] + [tmp_path / "none.png"]
    p = scores(files, names, multi_label=True, min_score=0.0)
    truth = np.array([[i % 4 == k for k in range(4)] for i in range(30)] + [[False] * 4])
    each = sk.average_precision_score(truth, p, average=None)
    assert 0.3 < each.mean() < 0.999
    assert value(found, "map") == pytest.approx(each.mean())
    rows_of = {row["label"]: row for row in found["candidates"][0]["labels"]}
    for name, precision in zip(names, each, strict=True):
        assert rows_of[name]["average_precision"] == pytest.approx(precision)
    f1 = sk.f1_score(truth, p >= 0.5, average="macro")
    assert value(found, "macro_f1") == pytest.approx(f1)
    assert value(found, "exact") == pytest.approx(sk.accuracy_score(truth, p >= 0.5))
    said = unseen("eval", table, *SHAPES, "--multi", "-l", "a red circle,a red star")
    assert "1 pictures have no label and count as having none" in said.stderr
    wrong = unseen("eval", table, *SHAPES, code=2)
    assert "--multi" in wrong.stderr


def test_captions_find_their_pictures_and_back(tmp_path: Path) -> None:
    rows = []
    for i, label in enumerate(shapes.labels()[:40]):
        shapes.draw(shapes.scene(label), i).save(tmp_path / f"{i}.png")
        rows += [(f"{i}.png", label), (f"{i}.png", f"a large {label[2:]}")]
    table = write(tmp_path / "pairs.csv", ["path", "caption"], [*rows, ("gone.png", "a cat")])
    found = judged(table, *SHAPES, "--retrieval", code=1)
    assert found["pictures"] == 40
    assert value(found, "image_to_text_10") > 0.9
    assert value(found, "text_to_image_1") > 0.5
    assert value(found, "text_to_image_1") <= value(found, "text_to_image_5")
    table = write(tmp_path / "shifted.csv", ["path", "caption"], [
        (path, rows[(i + 20) % len(rows)][1]) for i, (path, _) in enumerate(rows)
    ])  # fmt: skip
    found = judged(table, *SHAPES, "--retrieval")
    assert value(found, "text_to_image_1") < 0.2
    worst = found["candidates"][0]["mistakes"][0]
    assert worst["rank"] > 5 and worst["said"] not in worst["true"]
    for wrong in (["--multi"], ["-l", "cat"], ["--group", "x"]):
        unseen("eval", table, *SHAPES, "--retrieval", *wrong, code=2)


def test_groups_that_fare_worse_are_flagged(tmp_path: Path) -> None:
    rows = []
    for seed in range(200):
        kind, hard = KINDS[seed % 4], seed % 3 == 0
        picture = spoiled(kind, seed) if hard else shapes.draw(shapes.scene(kind), seed)
        picture.save(tmp_path / f"{seed}.png")
        camera = "old" if hard else "new" if seed % 3 == 1 else ""
        rows.append((f"{seed}.png", f"a {kind}", "few" if seed < 12 else camera))
    table = write(tmp_path / "t.csv", ["path", "label", "camera"], rows)
    found = judged(table, *SHAPES, "--group", "camera")
    groups = {group["name"]: group for group in found["candidates"][0]["groups"]}
    assert set(groups) == {"old", "new", "few", "(none)"}
    assert groups["old"]["gaps"]["top1"]["flagged"]
    assert groups["old"]["gaps"]["top1"]["value"] < 0 < groups["new"]["gaps"]["top1"]["value"]
    assert groups["few"] == {"name": "few", "pictures": 12, "figures": {}, "gaps": {}}
    done = unseen("eval", table, *SHAPES, "--group", "camera", "--min-group", 40)
    assert "gaps that are more than noise" in done.stdout and "old: top-1, p = " in done.stdout
    assert "12  fewer than 40 pictures: nothing is claimed" in done.stdout
    missing = unseen("eval", table, *SHAPES, "--group", "lens", code=2)
    assert "camera" in missing.stderr


def test_a_gate_that_is_not_met_is_an_exit_status(folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(folder, photos)
    (photos / "a_blue_circle" / "broken.png").unlink()
    top = value(judged(photos, *SHAPES), "top1")
    unseen("eval", photos, *SHAPES, "--min", f"top1={top}", "--max", "ece=1")
    done = unseen("eval", photos, *SHAPES, "--min", f"top1={top + 0.01}", "--json", code=1)
    (gate,) = json.loads(done.stdout)["gates"]
    assert gate == {
        "letter": "A", "figure": "top1", "value": top, "bound": top + 0.01, "at_least": True,
        "met": False,
    }  # fmt: skip
    assert "top1 is" in done.stderr
    for wrong in ("top9=0.5", "top1", "top1=many", "ece=0.1"):
        unseen("eval", photos, *SHAPES, "--min", wrong, code=2)
    unseen("eval", photos, *SHAPES, "--max", "top1=0.1", code=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "path"),
        ("name,kind\na.png,cat\n", "path and label"),
        ("path,label\n", "no rows"),
        ("path,label\n,cat\n", "line 2 has no path"),
        ("path,label\nmissing.png,cat\n", "no picture is left"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert message in unseen("eval", tmp_path / "t.csv", *SHAPES, code=2).stderr


def test_a_folder_without_classes_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    shapes.draw(shapes.scene("red ring"), 0).save(tmp_path / "loose.png")
    assert "each folder is a class" in unseen("eval", tmp_path, *SHAPES, code=2).stderr
    assert "no such" in unseen("eval", tmp_path / "gone", *SHAPES, code=2).stderr
