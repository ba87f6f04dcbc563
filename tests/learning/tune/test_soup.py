"""The mean of several tunings, and whose licence it has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import unseen
from running import unseen as run
from tunings import LABELS, grainy
from unseen.learning.distil.model_card import Teacher
from unseen.learning.tune.card import base_facts
from unseen.learning.tune.figures import Share
from unseen.learning.tune.soup import greedy, mean, soup


def test_a_soup_is_the_mean_of_what_each_has_changed(
    tuned: tuple[Any, Any], shapes_clip: Path, tmp_path: Path
) -> None:
    whole = tuned[0].folder
    nothing = tmp_path / "nothing"
    shutil.copytree(whole, nothing)
    delta = load_file(whole / "delta.safetensors")
    save_file({n: np.zeros_like(d) for n, d in delta.items()}, nothing / "delta.safetensors")
    done = run("models", "soup", whole, nothing, "-o", tmp_path / "mean", "--json")
    assert json.loads(done.stdout)["chosen"] == [str(whole), str(nothing)]
    before = load_file(shapes_clip / "model.safetensors")
    mean_of = load_file(tmp_path / "mean" / "model.safetensors")
    for name, array in before.items():
        half = delta[name] / 2 if name in delta else np.float32(0)
        expected = (array.astype(np.float32) + half).astype(array.dtype)
        assert (mean_of[name] == expected).all()
    card = json.loads((tmp_path / "mean" / "tune.json").read_text())
    assert card["soup"] == ["out", "nothing"]
    unseen.load(tmp_path / "mean", device="cpu").model.image_network()


def test_a_soup_leaves_out_what_makes_it_worse() -> None:
    values = {"a": 1.2, "b": 0.9, "c": 3.0}
    changes = {name: {"w": np.full(1, value, np.float32)} for name, value in values.items()}

    def judge(change: dict[str, Any]) -> Share:  # best at 1
        return Share(100 - round(50 * abs(float(change["w"][0]) - 1)), 100)

    chosen, alone, together = greedy(changes, judge)
    assert chosen == ("b", "a") and together.right == 98
    assert [alone[name].right for name in "abc"] == [90, 95, 0]
    assert mean([{"w": np.ones(1, np.float32)}, {}])["w"] == 0.5


def test_the_licence_is_the_originals(tuned: tuple[Any, Any], tmp_path: Path) -> None:
    folder = tmp_path / "tuned"
    shutil.copytree(tuned[0].folder, folder)
    assert Teacher.of(str(folder), None, None).licence is None  # nobody knows that of the original
    card = json.loads((folder / "tune.json").read_text())
    card["base"] |= {"licence": "CC-BY-NC-4.0", "commercial": False, "note": "research"}
    (folder / "tune.json").write_text(json.dumps(card))
    teacher = Teacher.of(str(folder), None, None)
    assert (teacher.licence, teacher.commercial) == ("CC-BY-NC-4.0", False)
    assert base_facts(unseen.load(folder, device="cpu").model)["licence"] == "CC-BY-NC-4.0"


def test_a_soup_is_of_tunings_of_one_original(
    tuned: tuple[Any, Any], shapes_clip: Path, tmp_path: Path
) -> None:
    whole = tuned[0].folder
    with pytest.raises(unseen.ModelError, match="two different folders"):
        soup([whole, whole], tmp_path / "x")
    with pytest.raises(unseen.ModelError, match="`unseen tune` did not make this"):
        soup([whole, shapes_clip], tmp_path / "x")
    other = tmp_path / "other"
    shutil.copytree(whole, other)
    card = json.loads((other / "tune.json").read_text())
    card["base"]["fingerprint"] = "0" * 32
    (other / "tune.json").write_text(json.dumps(card))
    with pytest.raises(unseen.ModelError, match="tunings of one original"):
        soup([whole, other], tmp_path / "x")


def test_pictures_choose_what_a_soup_is_of(tuned: tuple[Any, Any], tmp_path: Path) -> None:
    whole, spoiled = tuned[0].folder, tmp_path / "spoiled"
    shutil.copytree(whole, spoiled)
    delta = load_file(whole / "delta.safetensors")
    save_file({n: -3 * d for n, d in delta.items()}, spoiled / "delta.safetensors")
    rows = ["path,label"]
    for number, label in enumerate(LABELS * 2):
        grainy(label, 700 + number).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{label}")
    (tmp_path / "validation.csv").write_text("\n".join(rows))
    done = run("models", "soup", spoiled, whole, "--data", tmp_path / "validation.csv",
               "-o", tmp_path / "mean", "--device", "cpu", "--json")  # fmt: skip
    facts = json.loads(done.stdout)
    assert facts["chosen"] == [str(whole)]
    right = {name: share["right"] for name, share in facts["alone"].items()}
    assert right[str(whole)] > right[str(spoiled)] + 8 and facts["together"]["of"] == 32
    ours, theirs = (load_file(f / "model.safetensors") for f in (tmp_path / "mean", whole))
    assert all((ours[name] == theirs[name]).all() for name in ours)
    card = json.loads((tmp_path / "mean" / "tune.json").read_text("utf-8"))
    assert card["right"]["right"] == facts["together"]["right"]
