"""`unseen distil`, and what takes its file, as a user types them."""

from __future__ import annotations

import inspect
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

import unseen as library
from cli.test_commands import ROOT, unseen
from serving import serving
from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import NOTHING, NOTHING_FROM
from unseen.annotation.training_set import training_set_of
from unseen.cli.commands.distil import distil
from unseen.learning.distil import classifier
from unseen.learning.distil.training import Teaching
from unseen.load_options import LoadOptions
from unseen.web.server.core.settings import Settings

NAMES = ("castle", "cat", "cathedral", "fish", "pliers", "solar panel")
OTHERS = ("dam", "hammer", "tower")  # of which the labels say nothing
FAST = ("--side", "128", "--no-latency", "-q", "--anyway")


def truth(path: str) -> str:
    return Path(path).parent.name.replace("_", " ")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled by the built-in model; some reviewed, a broken file and a copy among them."""
    folder = tmp_path_factory.mktemp("distil") / "photos"
    for name in (*NAMES, *OTHERS):
        inner = name.replace(" ", "_")
        shutil.copytree(ROOT / "tests" / "photographs" / inner, folder / inner)
    (folder / "broken.jpg").write_bytes(b"no picture")
    shutil.copy(folder / "cat" / "cat_1.jpg", folder / "cat_again.jpg")
    unseen("label", folder, "-l", ",".join(NAMES), "-q", code=1)
    with Labelling.open(folder) as labelling:
        for picture in labelling.pictures():
            name = truth(next((p for p in picture.paths if "/" in p), "/x"))
            number = int(picture.id, 16) % 3
            if name in OTHERS:
                labelling.decide(picture.id, "none")
            elif picture.pile != "error" and (picture.pile == "unsure" or number == 0):
                labelling.decide(picture.id, "label", name)
    return folder


@pytest.fixture(scope="module")
def model(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    done = unseen("distil", photos, "-o", path, *FAST, "--json")
    card = json.loads(done.stdout)
    assert card["bytes"] == path.stat().st_size < 25_000_000
    return path


def rows(text: str) -> dict[str, Any]:
    return {row["source"]: row for row in map(json.loads, text.splitlines())}


def test_the_command_takes_what_the_library_does() -> None:
    asked = {name: one.default for name, one in inspect.signature(distil).parameters.items()}
    usual = classifier.DistilOptions()
    assert {name: asked[name] for name in ("side", "head", "seed")} == {
        name: getattr(usual, name) for name in ("side", "head", "seed")
    }
    assert Teaching(asked["temperature"], asked["reviewed"]) == Teaching()


def test_the_card_says_what_it_was_taught_by_whom(model: Path, photos: Path) -> None:
    card = json.loads(unseen("models", "info", model, "--json").stdout)
    page = model.with_name("small.card.md").read_text("utf-8")
    assert unseen("models", "info", model).stdout.strip() == page.strip()
    assert card["teacher"]["name"] == "builtin"
    assert card["teacher"]["fingerprint"] == library.load().model.fingerprint
    with Labelling.open(photos) as labelling:
        verdicts = [p.verdict for p in labelling.pictures()]
    used = card["pictures"]
    assert used["reviewed"] == sum(v in ("label", "none") for v in verdicts)
    assert used["left_out"]["could not be read before"] == 1
    assert used["reviewed"] + used["proposed"] + sum(used["left_out"].values()) == len(verdicts)
    assert sum(row["reviewed"] + row["proposed"] for row in card["labels"]) == (
        used["reviewed"] + used["proposed"]
    )
    assert card["latency"] is None
    for figure in ("agreement", "accuracy", "teacher_accuracy"):
        found = card["figures"][figure]
        assert 0 <= found["low"] < found["right"] / found["of"] <= found["high"] <= 1


def test_it_classifies_with_labels_of_its_own_and_says_none_of_these(
    model: Path, photos: Path
) -> None:
    found = rows(unseen("classify", photos / "cat", photos / "dam", "-m", model, "--jsonl").stdout)
    assert all(row["label"] == "cat" for s, row in found.items() if "/cat/" in s)
    assert all(row["unknown"] for s, row in found.items() if "/dam/" in s)
    wrong = unseen("classify", photos / "cat", "-m", model, "-l", "cats,fish", code=2)
    assert "'cats' is not a label of" in wrong.stderr
    assert "Did you mean 'cat'?" in wrong.stderr
    unseen("classify", photos / "cat", "-m", model, "--multi", "-l", "cat,fish", code=2)


def test_an_index_of_it_answers_the_same(model: Path, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos / "fish", folder)
    direct = rows(unseen("classify", folder, "-m", model, "--jsonl").stdout)
    unseen("index", folder, "-m", model, "-q")
    kept = unseen("classify", folder, "-m", model, "--jsonl")
    assert "from the index" in kept.stderr
    for source, row in rows(kept.stdout).items():
        assert row["label"] == direct[source]["label"]
        assert row["score"] == pytest.approx(direct[source]["score"], abs=5e-3)
    assert "fish_" in unseen("search", "fish", "--index", folder).stdout


def test_eval_asks_for_all_of_its_labels(model: Path, photos: Path, tmp_path: Path) -> None:
    for name in ("cat", "fish"):
        shutil.copytree(photos / name, tmp_path / name)
    told = json.loads(unseen("eval", tmp_path, "-m", model, "--json").stdout)
    text = json.dumps(told)
    assert '"label_count": 7' in text  # the six, and unknown


def test_other_commands_take_its_labels(model: Path, photos: Path, tmp_path: Path) -> None:
    for name in ("cat", "fish", "castle"):
        shutil.copytree(photos / name, tmp_path / "photos" / name)
    learnt = tmp_path / "learnt.json"
    assert "say where it goes" in unseen("calibrate", tmp_path, "-m", model, code=2).stderr
    refused = unseen("calibrate", tmp_path / "photos", "-m", model, "-o", learnt, code=2)
    assert "0 pictures are new to the model" in refused.stderr  # it learnt from all of them
    for file in (tmp_path / "photos").rglob("*.jpg"):
        Image.open(file).rotate(5).save(file, quality=90)
    unseen("calibrate", tmp_path / "photos", "-m", model, "-o", learnt)
    done = unseen("classify", tmp_path / "photos", "-m", model, "--calibration", learnt, "--jsonl")
    assert all(row["likely"] for row in rows(done.stdout).values())
    into = tmp_path / "sorted"
    done = unseen("organize", tmp_path / "photos", "-m", model, "--into", into, "--dry-run")
    assert f"-> {into / 'cat' / 'cat_1.jpg'}" in done.stdout
    assert "there is no such file" in unseen("classify", photos, "-m", "no.onnx", code=2).stderr
    done = unseen("labels", "doctor", "cat,fish", "-m", model, code=2)
    assert "has no text network" in done.stderr
    done = unseen("classify", tmp_path / "photos", "-m", model, "--transductive", "--jsonl")
    together = rows(done.stdout).items()
    assert len(together) > 5 and all(row["label"] in source for source, row in together)
    unseen("embed", tmp_path / "photos", "-m", model, "-o", tmp_path / "vectors.npy")
    assert np.linalg.norm(np.load(tmp_path / "vectors.npy"), axis=1) == pytest.approx(1, abs=1e-5)


def test_a_server_of_it_needs_no_labels(model: Path, photos: Path) -> None:
    picture = (photos / "cat" / "cat_1.jpg").read_bytes()
    with serving(Settings(LoadOptions(str(model)), port=0)) as served, served.client() as client:
        found = client.post("/v1/classify", files={"image": picture})
        assert found.status_code == 200, found.text
        assert "cat" in found.text
        wrong = client.post("/v1/classify", files={"image": picture}, data={"labels": "cats,dog"})
        assert 400 <= wrong.status_code < 500
        assert "not a label of" in wrong.text


def test_what_is_there_stays_unless_it_is_to_go(model: Path, photos: Path) -> None:
    before = model.read_bytes()
    assert "already exists" in unseen("distil", photos, "-o", model, *FAST, code=2).stderr
    assert model.read_bytes() == before
    other = model.with_suffix(".pt")
    assert ".onnx file" in unseen("distil", photos, "-o", other, *FAST, code=2).stderr
    none = unseen("distil", photos / "cat", "-o", model.with_name("n.onnx"), *FAST, code=2)
    assert "there is no labelling" in none.stderr


def test_stopped_while_it_writes_it_leaves_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(file: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises((KeyboardInterrupt, typer.Abort)):
        distil(photos, tmp_path / "half.onnx", side=128, latency=False, anyway=True, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_has_gone_is_named_and_the_rest_is_learnt_from(
    photos: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    with Labelling.open(copy) as labelling:
        gone = next(p for p in labelling.pictures() if p.verdict == "label" and len(p.paths) == 1)
    (copy / gone.paths[0]).unlink()
    done = unseen("distil", copy, "-o", tmp_path / "a.onnx", *FAST, code=1)
    assert gone.paths[0] in done.stderr
    assert (tmp_path / "a.onnx").is_file()


def test_the_latency_of_both_is_measured_in_turns(photos: Path, tmp_path: Path) -> None:
    done = unseen("distil", photos, "-o", tmp_path / "a.onnx", "--side", 128, "--json", "--anyway")
    latency = json.loads(done.stdout)["latency"]
    for what in ("net", "picture"):
        own, other = latency["student_ms"][what], latency["teacher_ms"][what]
        assert latency["ratio"][what] == pytest.approx(other / own, rel=0.05)
    assert latency["student_ms"]["picture"] >= latency["student_ms"]["net"]
    assert f"{latency['ratio']['net']:.2f} times" in (tmp_path / "a.card.md").read_text("utf-8")


# lessons


def test_lessons_are_what_the_labelling_holds(photos: Path) -> None:
    with Labelling.open(photos) as labelling:
        pictures = {p.id: p for p in labelling.pictures() if p.pile != "error"}
        found = training_set_of(labelling)
        assert found.names == (*NAMES, NOTHING)
        assert found.background == (NOTHING,)
        by_file = {labelling.root / p.paths[0]: p for p in pictures.values()}
        assert len(found.pictures) == sum(
            p.verdict is not None or p.pile == "sure" for p in pictures.values()
        )
        for lesson in found.pictures:
            picture = by_file[lesson.source]
            if picture.verdict is None:
                assert lesson.label_id is None
                assert found.names[int(lesson.probabilities.argmax())] == picture.proposed
            else:
                assert found.names[lesson.label_id] == (picture.chosen or NOTHING)
            scores = labelling.scores([picture.id])[0]
            np.testing.assert_array_equal(lesson.probabilities[: len(NAMES)], scores)
        more = training_set_of(labelling, unsure=True)
        assert len(more.pictures) >= len(found.pictures)
        assert sum(more.left_out.values()) <= sum(found.left_out.values())


def test_a_few_that_are_none_of_these_make_no_label(photos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    with Labelling.open(copy) as labelling:
        nothing = [p for p in labelling.pictures() if p.verdict == "none"]
        assert len(nothing) >= NOTHING_FROM
        for picture in nothing[NOTHING_FROM - 1 :]:
            labelling.decide(picture.id, "skip")
        found = training_set_of(labelling)
    assert found.names == NAMES
    assert found.background == ()
    assert found.left_out["none of these"] == NOTHING_FROM - 1
    assert found.left_out["skipped"] == len(nothing) - NOTHING_FROM + 1
