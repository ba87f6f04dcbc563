"""Exports: what is written is what was decided, it reads back, and nothing else is touched."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from labelled import HandLabel, label_by_hand, odd
from unseen.annotation import export as exporting
from unseen.annotation.export import HOW, export, select
from unseen.annotation.labelling import Labelling
from unseen.datasets.readers import read_annotations
from unseen.datasets.splits import fractions
from unseen.datasets.writers import FORMS
from unseen.errors import SourceError

SHARES = fractions("80/10/10")
NAMES = ["cat", "dog", "red panda"]
COPYING = [name for name, form in FORMS.items() if form.place is not None]

Exported = tuple[Path, list[dict[str, Any]]]


@pytest.fixture
def plain(tmp_path: Path) -> Labelling:
    """Sixty pictures of three labels; each tenth is nearly the one before it."""
    pictures = [
        HandLabel(f"{n % 4}/{n}.png", NAMES[n % 10 % 3], like=n - 1 if n % 10 == 4 else None)
        for n in range(60)
    ]
    return label_by_hand(tmp_path / "photos", pictures, NAMES)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "pictures.jsonl").read_text().splitlines()]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def cells(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8"), newline="")))


def id_of(labelling: Labelling, path: str) -> str:
    return next(p.id for p in labelling.pictures() if path in p.paths)


def read_back(form: str, folder: Path) -> list[tuple[str, str]]:
    """(file name, label) of each picture, through `unseen.datasets.readers`."""
    if form != "folders":
        return [(e.path.name, e.labels[0]) for e in read_annotations(folder / f"labels.{form}")]
    splits = (folder / name for name in SHARES)
    return [(e.path.name, e.labels[0]) for split in splits for e in read_annotations(split)]


# what is exported


@pytest.mark.parametrize("form", ["folders", "csv", "jsonl"])
def test_what_is_exported_reads_back(form: str, plain: Labelling, tmp_path: Path) -> None:
    plain.decide(id_of(plain, "1/1.png"), "label", "cat")
    report = export(plain, tmp_path / "out", form, SHARES)
    expected = [(Path(p.paths[0]).name, str(p.label)) for p in plain.pictures()]
    assert ("1.png", "cat") in expected
    assert sorted(read_back(form, tmp_path / "out")) == sorted(expected)
    assert report.pictures == 60 and not report.failed and not report.folders


def test_rows_say_what_is_known(plain: Labelling, tmp_path: Path) -> None:
    plain.add_label("yak")
    for path, label in (("0/0.png", "dog"), ("0/4.png", "yak")):
        plain.decide(id_of(plain, path), "label", label)
    for form in ("csv", "jsonl"):
        export(plain, tmp_path / form, form, SHARES)
        file = tmp_path / form / f"labels.{form}"
        for example in read_annotations(file):
            picture = plain.picture(id_of(plain, f"{example.path.parent.name}/{example.path.name}"))
            assert picture is not None
            columns = example.columns
            assert example.path.resolve() == (plain.root / picture.paths[0]).resolve()
            dimensions = (picture.width, picture.height)
            assert (int(columns["width"]), int(columns["height"])) == dimensions
            assert size(example.path) == dimensions
            assert columns["reviewed"] == str(picture.verdict is not None).lower()
            score = {**dict(picture.ranking)}.get(str(picture.label))
            assert (
                columns["score"] == ""
                if score is None
                else float(columns["score"]) == (pytest.approx(score, abs=1e-6))
            )
        unscored = [e.labels[0] for e in read_annotations(file) if e.columns["score"] == ""]
        assert unscored == ["yak"]


def test_a_score_beyond_the_ranking(tmp_path: Path) -> None:
    names = [f"label {n:02}" for n in range(30)]
    labelling = label_by_hand(tmp_path / "photos", [HandLabel("a.png", names[0])], names)
    labelling.decide(id_of(labelling, "a.png"), "label", names[29])
    export(labelling, tmp_path / "out", "jsonl", SHARES)
    row = json.loads((tmp_path / "out" / "labels.jsonl").read_text())
    assert row["label"] == names[29] and row["score"] == pytest.approx(0.1 / 30)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    piles = {"sure": 4, "unsure": 3, "none": 3, "error": 1}
    pictures = [
        HandLabel(f"{pile}{n}.png", "cat", pile)
        for pile, count in piles.items()
        for n in range(count)
    ]
    labelling = label_by_hand(tmp_path / "photos", pictures, NAMES)
    for path, *verdict in (
        ("sure0.png", "none"), ("sure1.png", "skip"), ("unsure0.png", "label", "dog"),
        ("none0.png", "label", "dog"), ("none1.png", "skip"), ("sure2.png", "label", "cat"),
    ):  # fmt: skip
        labelling.decide(id_of(labelling, path), *verdict)

    def names(**options: bool) -> tuple[set[str], dict[str, int]]:
        pictures, left_out = select(labelling, **options)
        return {p.paths[0].removesuffix(".png") for p in pictures}, {
            reason: count for reason, count in left_out.items() if count
        }

    exported_always = {"unsure0", "none0", "sure2"}
    left_out_always = {"skipped": 2, "none of these": 2, "unreadable": 1}
    assert names() == (exported_always | {"sure3"}, {**left_out_always, "unsure": 2})
    assert names(unsure=True) == (
        exported_always | {"sure3", "unsure1", "unsure2"},
        left_out_always,
    )
    assert names(reviewed_only=True) == (exported_always, {**left_out_always, "not reviewed": 3})
    report = export(labelling, tmp_path / "out", "folders", SHARES)
    manifest = json.loads((tmp_path / "out" / "export.json").read_text())
    assert report.left_out == manifest["left_out"] and report.left_out["unsure"] == 2


def test_an_export_of_nothing_is_an_error_that_says_why(tmp_path: Path) -> None:
    labelling = label_by_hand(tmp_path / "photos", [HandLabel("a.png", "cat", "unsure")], NAMES)
    with pytest.raises(SourceError, match=r"1 unsure.*label review.*--include unsure"):
        export(labelling, tmp_path / "out", "folders", SHARES)
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


def test_pictures_of_every_suffix_at_any_depth(tmp_path: Path) -> None:
    suffixes = [".png", ".PNG", ".jpg", ".jpeg", ".webp", ".bmp", ".tif"]
    pictures = [HandLabel(f"a/b{n}/c/{n}{s}", "cat") for n, s in enumerate(suffixes)]
    labelling = label_by_hand(tmp_path / "photos", pictures, NAMES)
    export(labelling, tmp_path / "out", "folders", fractions("100"))
    names = {p.name for p in (tmp_path / "out" / "train" / "cat").iterdir()}
    assert names == {f"{n}{s}" for n, s in enumerate(suffixes)}


# splits


@pytest.mark.parametrize("form", FORMS)
def test_near_duplicates_are_in_one_split(form: str, plain: Labelling, tmp_path: Path) -> None:
    report = export(plain, tmp_path / "out", form, fractions("40/30/30"))
    split = {p.id: report.splits.of[p.id] for p in plain.pictures()}
    pairs = [(id_of(plain, f"{(n - 1) % 4}/{n - 1}.png"), id_of(plain, f"{n % 4}/{n}.png"))
             for n in range(4, 60, 10)]  # fmt: skip
    assert len({split[a] for a, _ in pairs}) > 1
    assert all(split[a] == split[b] for a, b in pairs) and report.splits.groups == 6
    loose = export(
        plain, tmp_path / "loose", form, fractions("40/30/30"), near_duplicate_cosine=0.999
    )
    assert loose.splits.groups == 0


def test_the_same_seed_is_the_same_export(plain: Labelling, tmp_path: Path) -> None:
    contents = []
    for number, seed in enumerate((0, 0, 1)):
        export(plain, tmp_path / str(number), "jsonl", SHARES, seed=seed)
        contents.append((tmp_path / str(number) / "labels.jsonl").read_bytes())
    assert contents[0] == contents[1] != contents[2]


# the forms


def test_folders(plain: Labelling, tmp_path: Path) -> None:
    report = export(plain, tmp_path / "out", "folders", SHARES)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *SHARES, "export.json", "pictures.jsonl"
    }  # fmt: skip
    counts = {
        split: {f.name: len(list(f.iterdir())) for f in (tmp_path / "out" / split).iterdir()}
        for split in SHARES
    }
    assert counts == report.counts and sum(counts["train"].values()) == 48
    for row in rows_of(tmp_path / "out"):
        copy, original = tmp_path / "out" / row["file"], plain.root / row["original"]
        assert copy.read_bytes() == original.read_bytes()
        assert copy.stat().st_mtime == pytest.approx(original.stat().st_mtime, abs=1e-3)


def coco_faults(folder: Path) -> list[str]:
    """What is wrong with a split by the definition of the format
    (https://cocodataset.org/#format-data), and beside the pictures."""
    faults = []
    document = json.loads((folder / "_annotations.coco.json").read_text("utf-8"))
    keys = {
        "info": {"year", "version", "description", "contributor", "url", "date_created"},
        "licenses": {"id", "name", "url"},
        "images": {"id", "width", "height", "file_name", "license"},
        "annotations": {
            "id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd"
        },
        "categories": {"id", "name", "supercategory"},
    }  # fmt: skip
    for part, expected in keys.items():
        for entry in document[part] if part != "info" else [document[part]]:
            if not expected <= set(entry):
                faults.append(f"{part}: {expected - set(entry)}")
    for part in ("licenses", "images", "annotations", "categories"):
        ids = [entry["id"] for entry in document[part]]
        if len(set(ids)) < len(ids) or not all(isinstance(i, int) and 0 < i < 2**53 for i in ids):
            faults.append(f"{part}: ids")
    images = {image["id"]: image for image in document["images"]}
    categories = {category["id"] for category in document["categories"]}
    for entry in document["annotations"]:
        image = images[entry["image_id"]]
        if entry["category_id"] not in categories or entry["iscrowd"] != 0:
            faults.append("annotation")
        if entry["bbox"] != [0, 0, image["width"], image["height"]]:
            faults.append("bbox")
        if entry["area"] != image["width"] * image["height"] or len(entry["segmentation"][0]) < 6:
            faults.append("area")
    for image in images.values():
        if size(folder / image["file_name"]) != (image["width"], image["height"]):
            faults.append("size")
    pictures = {p.name for p in folder.iterdir()} - {"_annotations.coco.json"}
    if pictures != {image["file_name"] for image in images.values()}:
        faults.append("files")
    return faults


def test_coco(plain: Labelling, tmp_path: Path) -> None:
    export(plain, tmp_path / "out", "coco", SHARES)
    assert {p.name for p in (tmp_path / "out").iterdir() if p.is_dir()} == set(SHARES)
    rows = {row["file"]: row for row in rows_of(tmp_path / "out")}
    count = 0
    for split in SHARES:
        folder = tmp_path / "out" / split
        assert coco_faults(folder) == []
        document = json.loads((folder / "_annotations.coco.json").read_text("utf-8"))
        names = {c["id"]: c["name"] for c in document["categories"]}
        assert names == {1: "cat", 2: "dog", 3: "red panda"}
        files = {image["id"]: image["file_name"] for image in document["images"]}
        for entry in document["annotations"]:
            row = rows[f"{split}/{files[entry['image_id']]}"]
            assert names[entry["category_id"]] == row["label"]
            count += 1
    assert count == 60


def test_coco_ids_are_the_same_in_another_export(plain: Labelling, tmp_path: Path) -> None:
    def ids(folder: Path) -> dict[str, int]:
        id_of_file = {}
        for file in folder.rglob("_annotations.coco.json"):
            document = json.loads(file.read_text("utf-8"))
            id_of_file.update({image["file_name"]: image["id"] for image in document["images"]})
        return id_of_file

    export(plain, tmp_path / "a", "coco", SHARES)
    plain.decide(id_of(plain, "0/0.png"), "skip")
    export(plain, tmp_path / "b", "coco", fractions("50/50"), seed=5)
    before, after = ids(tmp_path / "a"), ids(tmp_path / "b")
    assert set(before) - set(after) == {"0.png"}
    assert all(before[name] == number for name, number in after.items())


def test_imagefolder(plain: Labelling, tmp_path: Path) -> None:
    """By the rules of the library: a folder for each split, in it the pictures and metadata.jsonl,
    whose `file_name` is below it (https://huggingface.co/docs/datasets/image_dataset)."""
    export(plain, tmp_path / "out", "imagefolder", SHARES)
    originals = {row["file"]: row for row in rows_of(tmp_path / "out")}
    for split in SHARES:
        folder = tmp_path / "out" / split
        rows = [json.loads(x) for x in (folder / "metadata.jsonl").read_text().splitlines()]
        assert {row["file_name"] for row in rows} == {p.name for p in folder.glob("*.png")}
        for row in rows:
            original = originals.pop(f"{split}/{row['file_name']}")
            assert list(row) == ["file_name", "label", "score", "reviewed"]
            assert [row["label"], row["score"]] == [original["label"], original["score"]]
    assert not originals


def test_imagefolder_without_scores_in_a_split(tmp_path: Path) -> None:
    """The library refuses splits of which one has only nulls in a column."""
    labelling = label_by_hand(
        tmp_path / "photos", [HandLabel(f"{n}.png", "cat") for n in range(3)], NAMES
    )
    export(labelling, tmp_path / "a", "imagefolder", fractions("50/50"))
    labelling.add_label("yak")
    for path in ("0.png", "1.png"):  # one of them is in valid, and the only cat in train
        labelling.decide(id_of(labelling, path), "label", "yak")
    export(labelling, tmp_path / "b", "imagefolder", fractions("50/50"))
    for folder, scored in (("a", True), ("b", False)):
        for file in (tmp_path / folder).rglob("metadata.jsonl"):
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            assert rows and all(("score" in row) == scored for row in rows)


def test_the_manifest(plain: Labelling, tmp_path: Path) -> None:
    report = export(plain, tmp_path / "out", "csv", SHARES, seed=3, near_duplicate_cosine=0.93)
    document = json.loads((tmp_path / "out" / "export.json").read_text())
    assert document["counts"] == report.counts and document["pictures"] == 60
    assert document["split"] == {
        "shares": SHARES, "seed": 3, "near": 0.93, "groups": 6, "largest_group": 2
    }  # fmt: skip
    assert document["labelling"] == plain.manifest and document["versions"]["python"]
    _, *table = cells(tmp_path / "out" / "labels.csv")
    counts = Counter((row[2], row[1]) for row in table)
    assert counts == {(s, n): c for s, row in document["counts"].items() for n, c in row.items()}


# names

HOSTILE = [
    "=cmd.png", "+1.png", "@a.png", "-dash.png", "'=a.png", "a\nb.png", "r\rr.png", 'a, "q";.png',
    " space.png", "tab\t.png", "#a%20[1]*.png", "_under.png", "con.png", "CON/nul.png",
    "train/test.png", "猫.png", "\u202egnp.png", "x" * 240 + ".png",
]  # fmt: skip
LABELS = ["train", "=1+1", "@home", "a/b", "a:b", "Cat", "cat", "frying pan", "frying_pan", "NA"]


@pytest.fixture
def hostile(tmp_path: Path) -> Labelling:
    pictures = [HandLabel(name, LABELS[n % len(LABELS)]) for n, name in enumerate(HOSTILE)]
    return label_by_hand(tmp_path / "photos", pictures, LABELS)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_hostile_names_read_back_from_rows(form: str, hostile: Labelling, tmp_path: Path) -> None:
    export(hostile, tmp_path / "out", form, SHARES)
    examples = read_annotations(tmp_path / "out" / f"labels.{form}")
    expected = {(hostile.root / p.paths[0]).resolve(): p.label for p in hostile.pictures()}
    assert {e.path.resolve(): e.labels[0] for e in examples} == expected
    assert all(e.path.is_file() for e in examples)


def test_no_cell_of_a_csv_is_a_formula(hostile: Labelling, tmp_path: Path) -> None:
    export(hostile, hostile.root / "here", "csv", SHARES)  # so that paths begin with the names
    export(hostile, tmp_path / "out", "csv", SHARES)
    for folder in (hostile.root / "here", tmp_path / "out"):
        for row in cells(folder / "labels.csv"):
            assert not [cell for cell in row if cell.lstrip().startswith(tuple("=+-@"))]


@pytest.mark.parametrize("form", COPYING)
def test_copies_have_names_for_every_system(form: str, hostile: Labelling, tmp_path: Path) -> None:
    report = export(hostile, tmp_path / "out", form, SHARES)
    assert report.pictures == len(HOSTILE)
    rows = rows_of(tmp_path / "out")
    assert len({row["file"].casefold() for row in rows}) == len(rows)
    for row in rows:
        assert (tmp_path / "out" / row["file"]).is_file()
        for part in row["file"].split("/"):
            assert not set(part) & set('<>:"\\|?*\n\r\t') and len(part.encode()) < 255
            assert part.split(".")[0].casefold() not in ("con", "nul")
    if form == "coco":
        assert not [f for s in report.counts if report.counts[s]
                    for f in coco_faults(tmp_path / "out" / s)]  # fmt: skip


def test_labels_never_share_a_folder(hostile: Labelling, tmp_path: Path) -> None:
    """Not on a system that ignores case, and not for a reader of _ as a space."""
    report = export(hostile, tmp_path / "out", "folders", fractions("100"))
    folders = {row["label"]: row["file"].split("/")[1] for row in rows_of(tmp_path / "out")}
    assert len(folders) == len(LABELS)
    alike = {name.casefold().replace("_", " ") for name in folders.values()}
    assert len(alike) == len(LABELS)
    assert report.folders == {name: folder for name, folder in folders.items() if name != folder}
    assert {"a:b", "cat", "frying_pan"} <= set(report.folders)
    back = Counter(e.labels for e in read_annotations(tmp_path / "out" / "train"))
    assert len(back) == len(LABELS)


@pytest.mark.parametrize("form", COPYING)
def test_files_of_one_name_are_numbered(form: str, tmp_path: Path) -> None:
    names = ["a/x.png", "b/x.png", "b/X.png", "c/x (2).png", "d/x.png"]
    labelling = label_by_hand(
        tmp_path / "photos", [HandLabel(name, "cat") for name in names], NAMES
    )
    export(labelling, tmp_path / "out", form, fractions("100"))
    rows = rows_of(tmp_path / "out")
    assert len({row["file"].casefold() for row in rows}) == 5
    for row in rows:
        copy = tmp_path / "out" / row["file"]
        assert copy.read_bytes() == (labelling.root / row["original"]).read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
@pytest.mark.parametrize("form", FORMS)
def test_a_name_that_is_no_utf8(form: str, tmp_path: Path) -> None:
    """Copied under another name; a row names it by escapes, which we undo, and pandas reads."""
    pictures = [
        HandLabel(odd(b"\xff.png"), "cat"),
        HandLabel("b.png", "cat"),
        HandLabel(odd(b"\xfe.png"), "cat", copies=["c.png"]),
    ]
    labelling = label_by_hand(tmp_path / "photos", pictures, NAMES)
    report = export(labelling, tmp_path / "out", form, fractions("100"))
    assert not report.failed
    for path in (tmp_path / "out").rglob("*"):
        path.name.encode("utf-8")
        if path.suffix in (".csv", ".json", ".jsonl"):
            path.read_text("utf-8")
    if FORMS[form].place is not None:
        return
    table = tmp_path / "out" / f"labels.{form}"
    frame = pd.read_csv(table) if form == "csv" else pd.read_json(table, lines=True)
    assert len(frame) == 3 and frame["path"].str.contains("udcff").sum() == 1
    paths = {annotation.path.resolve() for annotation in read_annotations(table)}
    assert (tmp_path / "photos" / odd(b"\xff.png")).resolve() in paths
    assert all(path.is_file() for path in paths) and len(paths) == 3


def test_a_label_of_several_is_refused_where_it_would_be_read_as_such(tmp_path: Path) -> None:
    labelling = label_by_hand(tmp_path / "photos", [HandLabel("a.png", "cat;dog")], ["cat;dog"])
    with pytest.raises(SourceError, match="stands between labels"):
        export(labelling, tmp_path / "out", "csv", SHARES)
    assert export(labelling, tmp_path / "out", "imagefolder", SHARES).pictures == 1


# how


@pytest.mark.parametrize("how", HOW)
def test_how_pictures_are_brought(how: str, plain: Labelling, tmp_path: Path) -> None:
    export(plain, tmp_path / "out", "folders", SHARES, how=how)
    for row in rows_of(tmp_path / "out"):
        target, original = tmp_path / "out" / row["file"], plain.root / row["original"]
        assert target.read_bytes() == original.read_bytes()
        assert target.is_symlink() == (how == "link")
        assert target.samefile(original) == (how != "copy")


# what goes wrong


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_that_is_gone_fails_alone(form: str, plain: Labelling, tmp_path: Path) -> None:
    (plain.root / "0/0.png").unlink()
    report = export(plain, tmp_path / "out", form, SHARES)
    assert report.failed == [("0/0.png", "it does not exist any more")] and report.pictures == 59
    document = json.loads((tmp_path / "out" / "export.json").read_text())
    assert document["failed"] == [["0/0.png", "it does not exist any more"]]


def test_a_copy_stands_in_for_a_picture_that_is_gone(tmp_path: Path) -> None:
    labelling = label_by_hand(
        tmp_path / "photos", [HandLabel("a.png", "cat", copies=["b.png"])], NAMES
    )
    (labelling.root / "a.png").unlink()
    report = export(labelling, tmp_path / "out", "folders", SHARES)
    assert not report.failed and (tmp_path / "out/train/cat/b.png").is_file()


def test_a_picture_that_became_another_is_not_exported(plain: Labelling, tmp_path: Path) -> None:
    """The label is of what was looked at."""
    (plain.root / "0/0.png").write_bytes((plain.root / "1/1.png").read_bytes())
    report = export(plain, tmp_path / "out", "folders", SHARES)
    ((path, why),) = report.failed
    assert path == "0/0.png" and "changed since it was labelled" in why
    assert not list((tmp_path / "out").rglob("0.png"))


def test_nothing_left_is_an_error_and_leaves_nothing(plain: Labelling, tmp_path: Path) -> None:
    for path in plain.root.rglob("*.png"):
        path.unlink()
    with pytest.raises(SourceError, match=r"none of 60 pictures.*does not exist any more"):
        export(plain, tmp_path / "out", "folders", SHARES)
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize("form", FORMS)
def test_stopped_at_any_picture_it_leaves_nothing(
    form: str, plain: Labelling, tmp_path: Path
) -> None:
    calls = 0

    def stop(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(plain, tmp_path / "out", form, SHARES, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


KILLED = """
import os, signal, sys
from unseen.annotation import export as exporting
from unseen.annotation.labelling import Labelling
owner = exporting.Path if sys.argv[2] == "rename" else exporting.os
real, left = getattr(owner, sys.argv[2]), [int(sys.argv[3])]
def die(*arguments, **named):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **named)
setattr(owner, sys.argv[2], die)
labelling = Labelling.open(sys.argv[1] + "/photos")
exporting.export(labelling, sys.argv[1] + "/out", "folders", {"train": 1.0}, overwrite=True)
"""


@pytest.mark.parametrize("call", [*(("utime", n) for n in (1, 30, 60)), ("fsync", 1),
                                  ("rename", 1), ("rename", 2)])  # fmt: skip
def test_killed_anywhere_what_stands_there_is_whole(
    call: tuple[str, int], plain: Labelling, tmp_path: Path
) -> None:
    """Between two pictures, before the manifest, before each renaming: the old export, or none."""
    export(plain, tmp_path / "out", "csv", SHARES)
    before = tree(tmp_path / "out")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), call[0], str(call[1])])
    assert done.returncode == -signal.SIGKILL
    if (tmp_path / "out").exists():
        assert tree(tmp_path / "out") == before
    else:  # between the two renamings: the old one lies beside it, whole
        (old,) = tmp_path.glob(".out.*.old")
        assert call == ("rename", 2) and tree(old) == before


def test_what_a_killed_one_left_goes_after_a_day(plain: Labelling, tmp_path: Path) -> None:
    old, young, other = (tmp_path / f".{name}.unfinished" for name in ("out.1", "out.2", "else.3"))
    for folder in (old, young, other):
        folder.mkdir()
        (folder / "pictures.csv").write_text("half")
    for folder in (old, other):
        os.utime(folder, (time.time() - 25 * 3600,) * 2)
    export(plain, tmp_path / "out", "csv", SHARES)
    assert not old.exists() and young.exists() and other.exists()


def test_what_a_killed_one_had_replaced_goes_after_a_day(plain: Labelling, tmp_path: Path) -> None:
    for name in (".out.1.old", ".out.2.old"):
        export(plain, tmp_path / "out", "csv", SHARES)
        (tmp_path / "out").rename(tmp_path / name)
        os.utime(tmp_path / name, (time.time() - 25 * 3600,) * 2)
    (tmp_path / ".out.2.old" / "mine.txt").write_text("of somebody else")
    os.utime(tmp_path / ".out.2.old", (time.time() - 25 * 3600,) * 2)
    export(plain, tmp_path / "out", "csv", SHARES)
    assert (tmp_path / ".out.1.old").exists(), "there was no other whole one until now"
    export(plain, tmp_path / "out", "csv", SHARES, overwrite=True)
    assert not (tmp_path / ".out.1.old").exists()
    assert [path.name for path in (tmp_path / ".out.2.old").iterdir()] == ["mine.txt"]


def test_a_full_disk_is_said_and_leaves_nothing(
    plain: Labelling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_copy", full)
    with pytest.raises(SourceError, match="out: it cannot be written: No space left"):
        export(plain, tmp_path / "out", "folders", SHARES)
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize("inside", ["photos", "photos/0/out"])
def test_not_among_the_pictures(inside: str, plain: Labelling, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="inside the folder of the labelling"):
        export(plain, tmp_path / inside, "folders", SHARES)


# what is there already


def test_a_folder_that_is_not_empty_is_left_alone(plain: Labelling, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(SourceError):
            export(plain, out, "folders", SHARES, overwrite=overwrite)
    assert tree(out) == {"mine.txt": b"mine"}
    (out / "mine.txt").unlink()
    assert export(plain, out, "folders", SHARES).pictures == 60  # an empty one is taken
    with pytest.raises(SourceError, match="--overwrite"):
        export(plain, out, "folders", SHARES)


@pytest.mark.parametrize(
    ("form", "how"), [*((form, "copy") for form in FORMS), *(("folders", how) for how in HOW[1:])]
)
def test_an_export_gives_way_to_another(
    form: str, how: str, plain: Labelling, tmp_path: Path
) -> None:
    originals = tree(plain.root)
    export(plain, tmp_path / "out", form, SHARES, how=how)
    before = tree(tmp_path / "out")
    plain.decide(id_of(plain, "0/0.png"), "skip")
    assert export(plain, tmp_path / "out", "folders", SHARES, overwrite=True).pictures == 59
    assert tree(tmp_path / "out") != before
    assert {p.name for p in tmp_path.iterdir()} == {"photos", "out"}
    assert {k: v for k, v in tree(plain.root).items() if not k.startswith(".unseen")} == {
        k: v for k, v in originals.items() if not k.startswith(".unseen")
    }


def add_file(out: Path) -> None:
    (out / "train" / "notes.txt").write_text("mine")


def crop(out: Path) -> None:
    picture = next((out / "train").rglob("*.png"))
    Image.new("RGB", (3, 3)).save(picture)


def add_folder(out: Path) -> None:
    (out / "mine").mkdir()


def add_link(out: Path) -> None:
    (out / "link").symlink_to(out.parent / "photos")


def replace_by_link(out: Path) -> None:
    picture = next((out / "train").rglob("*.png"))
    picture.unlink()
    picture.symlink_to("elsewhere")


@pytest.mark.parametrize("change", [add_file, crop, add_folder, add_link, replace_by_link])
def test_what_no_export_made_is_never_deleted(
    change: Callable[[Path], None], plain: Labelling, tmp_path: Path
) -> None:
    export(plain, tmp_path / "out", "folders", SHARES)
    change(tmp_path / "out")
    before = tree(tmp_path / "out"), tree(plain.root)
    with pytest.raises(SourceError, match="did not make"):
        export(plain, tmp_path / "out", "folders", SHARES, overwrite=True)
    assert (tree(tmp_path / "out"), tree(plain.root)) == before


def test_a_manifest_that_lies_deletes_nothing_elsewhere(plain: Labelling, tmp_path: Path) -> None:
    export(plain, tmp_path / "out", "csv", SHARES)
    path = tmp_path / "out" / "export.json"
    document = json.loads(path.read_text())
    document["files"]["../precious.txt"] = 4
    path.write_text(json.dumps(document))
    (tmp_path / "precious.txt").write_text("mine")
    export(plain, tmp_path / "out", "csv", SHARES, overwrite=True)
    assert (tmp_path / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": "other", "files": {}}'])
def test_a_folder_without_a_manifest_is_nobodys(
    damage: str, plain: Labelling, tmp_path: Path
) -> None:
    export(plain, tmp_path / "out", "csv", SHARES)
    (tmp_path / "out" / "export.json").write_text(damage)
    with pytest.raises(SourceError, match="no export made this folder"):
        export(plain, tmp_path / "out", "csv", SHARES, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_comes_while_it_is_made_is_left_alone(
    overwrite: bool, plain: Labelling, tmp_path: Path
) -> None:
    def put(done: int, total: int) -> None:
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "mine.txt").write_text("mine")

    with pytest.raises(SourceError):
        export(plain, tmp_path / "out", "folders", SHARES, overwrite=overwrite, progress=put)
    assert tree(tmp_path / "out") == {"mine.txt": b"mine"}
    assert {p.name for p in tmp_path.iterdir()} == {"photos", "out"}


def test_what_comes_while_it_is_replaced_is_kept(
    plain: Labelling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is put there after the last look."""
    out = tmp_path / "out"
    export(plain, out, "folders", SHARES)
    for module in ("annotation.export", "datasets.staging"):
        monkeypatch.setattr(f"unseen.{module}.check", lambda *_: None)
    add_file(out)
    with pytest.warns(UserWarning, match="were kept here"):
        export(plain, out, "folders", SHARES, overwrite=True)
    (aside,) = tmp_path.glob(".out.*.old")
    assert tree(aside) == {"train/notes.txt": b"mine"}
    assert len(rows_of(out)) == 60


def test_in_any_order_of_the_database(tmp_path: Path) -> None:
    """The draw is of the pictures, not of how they were found."""
    pictures = [HandLabel(f"{n}.png", NAMES[n % 3]) for n in range(40)]
    labelling = label_by_hand(tmp_path / "photos", pictures, NAMES)
    first = export(labelling, tmp_path / "a", "jsonl", SHARES).splits.of
    for n in random.Random(0).sample(range(40), 40):  # other paths, so another order
        (labelling.root / f"{n}.png").rename(labelling.root / f"moved {99 - n}.png")
    proposals = list(labelling.pictures())
    again = {
        p.id: (labelling.root / p.paths[0]).parent / f"moved {99 - int(Path(p.paths[0]).stem)}.png"
        for p in proposals
    }
    labelling._database.executemany(
        "UPDATE picture SET paths = ?, first = ? WHERE content = ?",
        [(json.dumps([p.name]), json.dumps(p.name), bytes.fromhex(i)) for i, p in again.items()],
    )
    second = export(labelling, tmp_path / "b", "jsonl", SHARES).splits.of
    assert first == second
