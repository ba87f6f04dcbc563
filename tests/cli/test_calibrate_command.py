"""`unseen calibrate`, and `classify` with what it leaves."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

import shapes
from running import ROOT, unseen

MODEL = ["-m", str(ROOT / "tests" / "fixtures" / "shapes-clip")]
LABELS = shapes.labels()[:10]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """labels.txt, and labelled/ with a folder a label."""
    place = tmp_path_factory.mktemp("calibrate")
    (place / "labels.txt").write_text("\n".join(LABELS), "utf-8")
    for label in LABELS:
        (place / "labelled" / label).mkdir(parents=True)
        for seed in range(3):
            image = shapes.draw(shapes.scene(label), 60 + seed)
            blurred = image.filter(ImageFilter.GaussianBlur(3.5))
            blurred.save(place / "labelled" / label / f"{seed}.png")
    Image.new("RGB", (64, 64), "grey").save(place / "grey.png")
    return place


def test_what_is_learnt_lies_beside_the_labels_and_is_used(place: Path) -> None:
    labels = place / "labels.txt"
    picture = place / "labelled" / LABELS[0] / "0.png"
    plain = json.loads(unseen("classify", picture, "-l", labels, *MODEL, "--json").stdout)[0]
    done = unseen("calibrate", place / "labelled", "-l", labels, *MODEL)
    assert done.stdout == "" and "30 pictures, temperature" in done.stderr
    file = place / "labels.calibration.json"
    learnt = json.loads(file.read_text("utf-8"))
    done = unseen("classify", picture, "-l", labels, *MODEL, "--json")
    assert "calibrated by" in done.stderr
    said = json.loads(done.stdout)[0]
    assert said["likely"][0] == said["label"] and said["score"] != plain["score"]
    given = unseen("classify", picture, "-l", labels, *MODEL, "--json", "--calibration", file)
    assert json.loads(given.stdout)[0] == said
    done = unseen("classify", picture, "-l", labels, *MODEL, "--json", "--no-calibration")
    assert json.loads(done.stdout)[0] == plain and done.stderr == ""
    table = unseen("classify", picture, "-l", labels, *MODEL).stdout
    assert f"with 90% coverage: {', '.join(said['likely'])}" in table
    # Again is refused, and as JSON it is the file.
    assert "--overwrite" in unseen(
        "calibrate", place / "labelled", "-l", labels, *MODEL, code=2
    ).stderr  # fmt: skip
    again = unseen(
        "calibrate", place / "labelled", "-l", labels, *MODEL, "--overwrite", "--json"
    )  # fmt: skip
    assert json.loads(again.stdout) == learnt


def test_one_that_does_not_fit_is_said_and_one_that_is_given_is_refused(place: Path) -> None:
    file = place / "other.calibration.json"
    unseen("calibrate", place / "labelled", "-l", place / "labels.txt", *MODEL, "-o", file)
    (place / "other.txt").write_text("\n".join(LABELS[:5]), "utf-8")
    picture = place / "labelled" / LABELS[0] / "0.png"
    done = unseen("classify", picture, "-l", place / "other.txt", *MODEL, "--json")
    assert "is not used" in done.stderr and "likely" not in json.loads(done.stdout)[0]
    done = unseen(
        "classify", picture, "-l", place / "other.txt", *MODEL, "--calibration", file, code=2
    )  # fmt: skip
    assert "does not fit" in done.stderr
    for wrong, reason in {
        ("--calibration", file, "--no-calibration"): "give one of",
        ("--calibration", file, "--transductive"): "cannot be combined",
        ("--calibration", place / "missing.json"): "no such calibration",
    }.items():
        done = unseen("classify", picture, "-l", place / "labels.txt", *MODEL, *wrong, code=2)
        assert reason in done.stderr


def test_several_labels_and_pictures_without_labels(place: Path) -> None:
    common = ["-l", place / "labels.txt", *MODEL]
    made = place / "multi.json"
    unseen("calibrate", place / "labelled", *common, "--multi", "-o", made)
    picture = place / "labelled" / LABELS[1] / "1.png"
    rows = json.loads(
        unseen("classify", picture, *common, "--multi", "--calibration", made, "--json").stdout
    )
    thresholds = json.loads(made.read_text("utf-8"))["thresholds"]
    assert all(s["score"] >= thresholds[s["label"]] for s in rows[0]["ranking"])
    assert rows[0]["left_out"] == len(LABELS) - len(rows[0]["ranking"]) > 0
    prior = place / "prior.json"
    done = unseen("calibrate", place / "labelled", *common, "--unlabelled", "mean", "-o", prior)
    assert "a prior of the labels" in done.stderr
    assert set(json.loads(prior.read_text("utf-8"))["prior"]) == set(LABELS)
    for wrong, reason in {
        ("--unlabelled", "mean", "--multi"): "leave --multi out",
        ("--unlabelled", "x"): "unknown prior 'x'; choose one of: mean, em",
        ("--target-precision", "0.9"): "--multi",
        ("--sets", "x"): "unknown method 'x' for sets; choose one of: lac, aps",
        ("--unknown", "auto"): "not a label",
    }.items():
        done = unseen(
            "calibrate", place / "labelled", *common, *wrong, "-o", place / "no.json", code=2
        )  # fmt: skip
        assert reason in done.stderr
    done = unseen("calibrate", place / "labelled", "-l", "a,b", *MODEL, code=2)
    assert "-o FILE" in done.stderr


def test_a_csv_has_what_the_json_has(place: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.json"
    common = ["-l", place / "labels.txt", *MODEL]
    unseen("calibrate", place / "labelled", *common, "-o", made)
    asked = [place, *common, "--calibration", made, "--unknown", "auto", "--top", "2"]
    said = json.loads(unseen("classify", *asked, "--json", "-q").stdout)
    out = tmp_path / "out.csv"
    unseen("classify", *asked, "-o", out, "-q")
    text = out.read_text("utf-8")
    assert text.startswith("source,label,score,unknown,error,label_2,score_2,likely,evidence\n")
    rows = [*csv.DictReader(text.splitlines())]
    assert len(rows) == len(said) == 31
    for row, one in zip(rows, said, strict=True):
        assert row["likely"].split(";") == one["likely"]
        assert float(row["evidence"]) == pytest.approx(one["evidence"], abs=1e-3)
    assert any(";" in row["likely"] for row in rows)
    # It is gone on with where it stopped.
    out.write_text("".join(text.splitlines(keepends=True)[:20]), "utf-8")
    unseen("classify", *asked, "-o", out, "-q", "--resume")
    assert out.read_text("utf-8") == text
    unseen("classify", place / "grey.png", *common, "--no-calibration", "-o", tmp_path / "b.csv")
    head = (tmp_path / "b.csv").read_text("utf-8").splitlines()[0]
    assert head == "source,label,score,unknown,error"


def test_organize_takes_a_calibration_and_auto(place: Path, tmp_path: Path) -> None:
    """Scores that are less sure leave more pictures out; so does evidence."""
    labels = ["-l", place / "labels.txt", *MODEL]
    made, wrong = tmp_path / "made.json", tmp_path / "wrong.csv"
    pictures = sorted((place / "labelled").rglob("*.png"))
    # Half of the labels are those of others, so that scores had better be small.
    rows = [f"{p},{LABELS[0] if i % 2 else p.parent.name}" for i, p in enumerate(pictures)]
    wrong.write_text("\n".join(["path,label", *rows]), "utf-8")
    unseen("calibrate", wrong, *labels, "-o", made)

    def filed(*more: object) -> set[str]:
        common = ["--into", tmp_path / "out", "--dry-run", "--json", "--min-score", "0.9"]
        steps = json.loads(unseen("organize", place, *labels, *common, *more).stdout)["steps"]
        return {step["source"] for step in steps}

    plain = filed("--no-calibration")
    calibrated = filed("--calibration", made)
    assert calibrated < plain and len(calibrated) < len(plain) - 5
    some = filed("--no-calibration", "--unknown", "auto")
    assert some <= plain and str(place / "grey.png") not in some


def test_an_index_is_used_and_what_cannot_be_read_is_named(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "labelled"
    shutil.copytree(place / "labelled", folder)
    broken = folder / LABELS[0] / "broken.png"
    broken.write_bytes(b"no picture")
    common = ["-l", place / "labels.txt", *MODEL, "--json"]
    done = unseen("calibrate", folder, *common, "-o", tmp_path / "a.json", code=1)
    plain = json.loads(done.stdout)
    assert plain["pictures"] == 30 and "1 of 31 pictures could not be read" in done.stderr
    assert str(broken) in done.stderr
    broken.unlink()
    unseen("index", folder, *MODEL)
    for path in folder.rglob("*.png"):  # rubbish of the same size and time
        was = path.stat()
        path.write_bytes(bytes(was.st_size))
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    done = unseen("calibrate", folder, *common, "-o", tmp_path / "b.json")
    again = json.loads(done.stdout)
    assert "from the index" in done.stderr and again["pictures"] == 30
    assert again["temperature"] == pytest.approx(plain["temperature"], rel=0.01)
    done = unseen("calibrate", folder, *common, "--unlabelled", "mean", "-o", tmp_path / "c.json")
    assert json.loads(done.stdout)["pictures"] == 30
    done = unseen(
        "calibrate", folder, *common, "--no-index", "-o", tmp_path / "d.json", code=2
    )  # fmt: skip
    assert "0 pictures are too few" in done.stderr


def test_what_fits_no_label_is_unknown(place: Path) -> None:
    common = ["-l", LABELS[0], *MODEL, "--unknown", "auto"]
    row = json.loads(unseen("classify", place / "grey.png", *common, "--json").stdout)[0]
    assert row["unknown"] and row["label"] is None and row["evidence"] < 2.3
    assert "too little evidence" in unseen("classify", place / "grey.png", *common).stdout
    both = unseen("classify", place, *common, "--unknown", "a grey wall").stdout
    assert "unknown" in both
    done = unseen(
        "labels", "compile", "a,b", "-o", place / "x.safetensors", "--unknown", "auto", code=2
    )  # fmt: skip
    assert "unseen classify" in done.stderr


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """labels.txt; learn/ with ten pictures of three labels and four of another; judge/."""
    place = tmp_path_factory.mktemp("promises")
    (place / "labels.txt").write_text("\n".join(LABELS[:4]), "utf-8")
    for folder, first, each in (("learn", 300, (10, 10, 10, 4)), ("judge", 400, (6, 6, 6, 6))):
        for label, count in zip(LABELS, each, strict=False):
            (place / folder / label).mkdir(parents=True)
            for seed in range(count):
                image = shapes.draw(shapes.scene(label), first + seed)
                blurred = image.filter(ImageFilter.GaussianBlur(2.5))
                blurred.save(place / folder / label / f"{seed}.png")
    return place


def test_what_is_promised_is_said_kept_and_measured(many: Path, tmp_path: Path) -> None:
    labels = many / "labels.txt"
    common = ["-l", labels, *MODEL]
    options = ["--class-conditional", "--max-wrong", "20%"]
    done = unseen("calibrate", many / "learn", *common, *options)
    assert "likely labels with 90% coverage, of each of 3 labels." in done.stderr
    assert "1 of 4 labels have fewer than 9 pictures and take the reach of all" in done.stderr
    assert f"{LABELS[3]} (4)" in done.stderr
    assert "at most 20.0% of the answers are wrong, with 90% confidence" in done.stderr
    assert "calibration error (ECE) of pictures held out:" in done.stderr
    learnt = json.loads((many / "labels.calibration.json").read_text("utf-8"))
    assert set(learnt["likely"]["reach_by_label"]) == set(LABELS[:3])
    assert set(learnt["error"]) == {"before", "after", "by_chance"}
    assert learnt["selective"]["max_wrong"] == 0.2

    done = unseen("eval", many / "judge", *common)
    assert "sets: 90% coverage promised, of each of 3 labels; worst label" in done.stdout
    assert "answers: at most 20.0 % wrong promised, with 90% confidence" in done.stdout
    page = tmp_path / "report.html"
    done = unseen("eval", many / "judge", *common, "--json", "--html", page, "--max", "wrong=1")
    (candidate,) = json.loads(done.stdout)["candidates"]
    rows = json.loads(unseen("classify", many / "judge", *common, "--json", "-q").stdout)
    true = [Path(row["source"]).parent.name for row in rows]
    covered = [label in row["likely"] for label, row in zip(true, rows, strict=True)]
    figures = candidate["figures"]
    assert figures["coverage"]["value"] == pytest.approx(sum(covered) / 24)
    assert figures["set_size"]["value"] == pytest.approx(sum(len(r["likely"]) for r in rows) / 24)
    answered = [row["label"] is not None for row in rows]
    wrong = [row["label"] not in (None, label) for label, row in zip(true, rows, strict=True)]
    assert figures["answered"]["value"] == pytest.approx(sum(answered) / 24)
    assert figures["wrong"]["value"] == pytest.approx(sum(wrong) / max(sum(answered), 1))
    by_label = {row["label"]: row for row in candidate["labels"]}
    for label in LABELS[:4]:
        own = [c for c, t in zip(covered, true, strict=True) if t == label]
        assert by_label[label]["coverage"]["value"] == pytest.approx(sum(own) / 6)
    assert candidate["worst_coverage"]["label"] in by_label
    assert "coverage" in page.read_text("utf-8")

    # Without it, and on the pictures that taught it.
    plain = unseen("eval", many / "judge", *common, "--calibration", "none")
    assert "coverage" not in plain.stdout
    seen = unseen("eval", many / "learn", *common)
    assert "seen in training: 34 of 34" in seen.stdout


def test_promises_that_cannot_be_shown_are_refused(many: Path, tmp_path: Path) -> None:
    common = [many / "learn", "-l", many / "labels.txt", *MODEL, "-o", tmp_path / "no.json"]
    for wrong, reason in {
        ("--max-wrong", "1%"): "it takes at least 230 labelled pictures",
        ("--max-wrong", "x"): "give a share of the answers, such as 1% or 0.01",
        ("--max-wrong", "100%"): "give a share of the answers",
        ("--max-wrong", "0.2", "--multi"): "leave --multi and --unlabelled out",
        ("--class-conditional", "--coverage", "0"): "leave --multi, --unlabelled and --coverage 0",
        ("--class-conditional", "--coverage", "0.95"): "no label has the 19 pictures",
    }.items():
        done = unseen("calibrate", *common, *wrong, code=2)
        assert reason in done.stderr
    assert not (tmp_path / "no.json").exists()
