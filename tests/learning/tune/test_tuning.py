"""Tuning on the small trained CLIP: grainy shapes are learnt, clean ones are not forgotten."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import judging
import shapes
import unseen
from running import unseen as run
from tunings import EACH, LABELS, OPTIONS, grainy
from unseen.learning.tune.choice import CurvePoint, best_alpha, curve, verdict
from unseen.learning.tune.figures import Figures
from unseen.learning.tune.options import TuneOptions
from unseen.learning.tune.pictures import augmented
from unseen.learning.tune.split import split_labelled, split_leash
from unseen.learning.tune.training import learning_rate


def test_it_learns_and_does_not_forget(tuned: tuple[Any, Any], classifier: Any) -> None:
    report, _ = tuned
    assert report.after.seen.value > report.before.seen.value + 0.2
    assert report.after.retention.value >= 0.8
    other = unseen.load(report.folder, device="cpu")
    fresh = [(grainy(label, 900 + seed), label) for label in LABELS for seed in range(3)]
    right = {
        name: np.mean([clf.classify(image, LABELS).label == label for image, label in fresh])
        for name, clf in (("before", classifier), ("after", other))
    }
    assert right["after"] > right["before"] + 0.2
    clean = [(shapes.draw(shapes.scene(label), 950), label) for label in shapes.labels()]
    said = [other.classify(image, shapes.labels()).label == label for image, label in clean]
    assert np.mean(said) > 0.8


def test_others_read_the_folder_and_give_equal_vectors(tuned: tuple[Any, Any]) -> None:
    folder = tuned[0].folder
    differences = judging.differences(
        folder, judging.clip_judge(folder), ["a red circle", "a blue ring"]
    )
    assert max(differences.values()) < 1e-4, differences


def test_names_shapes_and_types_are_the_originals(
    tuned: tuple[Any, Any], shapes_clip: Path
) -> None:
    report, _ = tuned
    before = load_file(shapes_clip / "model.safetensors")
    after = load_file(report.folder / "model.safetensors")
    assert {n: (a.dtype, a.shape) for n, a in after.items()} == {
        n: (a.dtype, a.shape) for n, a in before.items()
    }
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    delta = load_file(report.folder / "delta.safetensors")
    assert changed <= {*delta} and len(changed) > 0.9 * len(delta)
    assert all(name.startswith(("vision_model.", "visual_projection.")) for name in delta)
    assert "vision_model.embeddings.patch_embedding.weight" not in delta  # it is folded, and stays
    for name, change in delta.items():
        expected = (before[name].astype(np.float32) + change).astype(before[name].dtype)
        assert (after[name] == expected).all()


def test_the_card_says_what_it_is(tuned: tuple[Any, Any], shapes_clip: Path, data: Path) -> None:
    report, steps = tuned
    card = json.loads((report.folder / "tune.json").read_text("utf-8"))
    assert card == json.loads(json.dumps(report.facts))
    assert card["base"]["model"] == str(shapes_clip)
    assert card["alpha"] == report.alpha and card["options"]["seed"] == 1
    assert card["data"]["pictures"] == len(LABELS) * EACH
    assert len(card["data"]["held_out_labels"]) == 3
    for name in ("before", "after"):
        for figure in card[name].values():
            assert figure["low"] <= figure["right"] / figure["of"] <= figure["high"]
    page = (report.folder / "README.md").read_text("utf-8")
    assert "Licence of the original" in page and "| **taken**" not in page
    assert f"| {report.alpha:g} **taken** |" in page
    log = [json.loads(line) for line in (report.folder / "training.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 36 and {"loss" not in log[-1], "seen" in log[-1]} == {True}
    assert [step.step for step in steps] == list(range(1, 37))
    assert steps[-1].retention is not None
    assert len(report.curve) == 5 and report.curve[0].alpha == 0


def test_shuffled_labels_are_refused(data: Path, shapes_clip: Path, tmp_path: Path) -> None:
    files = sorted(data.rglob("*.png"))
    labels = np.random.default_rng(3).permutation([file.parent.name for file in files])
    rows = [f"{file},{label}" for file, label in zip(files, labels, strict=True)]
    (tmp_path / "shuffled.csv").write_text("\n".join(["path,label", *rows]))
    arguments = [tmp_path / "shuffled.csv", "-m", shapes_clip, "-o", tmp_path / "out"]
    done = run("tune", *arguments, "--device", "cpu", "--json", code=3)
    report = json.loads(done.stdout)
    assert (report["decision"], report["reason"], report["folder"]) == ("original", "chance", None)
    assert [path.name for path in tmp_path.iterdir()] == ["shuffled.csv"]
    done = run("tune", *arguments, "--adapter", "a.safetensors", code=2)
    assert "the model itself is changed" in done.stderr


def test_other_families_say_so(data: Path, tmp_path: Path) -> None:
    with pytest.raises(unseen.ModelError, match=r"family builtin .* cannot be tuned; allowed are"):
        unseen.tune(unseen.load(device="cpu"), data, tmp_path / "out")
    assert not [*tmp_path.iterdir()]


def test_too_few_pictures_leave_nothing_behind(classifier: Any, data: Path, tmp_path: Path) -> None:
    pairs = [(file, file.parent.name) for file in sorted(data.rglob("*.png"))[:13]]
    with pytest.raises(unseen.SourceError, match=r"13 labelled pictures .* needs 16 or more"):
        unseen.tune(classifier, pairs, tmp_path / "out", OPTIONS)
    assert not [*tmp_path.iterdir()]


def test_torch_is_an_extra(data: Path, shapes_clip: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import unseen\n"
        f"clf = unseen.load({str(shapes_clip)!r}, device='cpu')\n"
        f"unseen.tune(clf, {str(data)!r}, {str(tmp_path / 'out')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "MissingExtraError: tuning a model needs torch" in done.stderr
    assert 'pip install "unseen[gpu]"' in done.stderr


def test_a_folder_in_the_way_is_left_alone(classifier: Any, data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(unseen.ModelError, match="already exists"):
        unseen.tune(classifier, data, tmp_path / "out", OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# what decides


def marks(seen: str, novel: str = "", retention: str = "1111") -> dict[str, Any]:
    kinds = {"seen": seen, "novel": novel, "retention": retention}
    return {kind: np.array([*map(int, bits)], dtype=bool) for kind, bits in kinds.items()}


def test_alpha_is_the_best_of_what_forgets_nothing() -> None:
    every = [
        marks("1000", "1100"),
        marks("1100", "1100"),
        marks("1110", "1110"),
        marks("1110", "1110", "1100"),
        marks("1111", "1000"),
    ]
    points = curve(every, 0.95)
    assert [point.allowed for point in points] == [True, True, True, False, False]
    assert best_alpha(points) == 0.5
    assert best_alpha(curve(every, 0.4)) == 0.5  # the least of equals
    assert best_alpha(curve([every[0], *[every[4]] * 4], 0.95)) is None


def test_a_net_must_gain_more_than_chance_and_more_than_an_adapter() -> None:
    before, after = marks("0" * 20, "11"), marks("1" * 12 + "0" * 8, "11")
    poor, good = marks("1" * 3 + "0" * 17, "11"), marks("1" * 11 + "0" * 9, "11")
    assert verdict(before, after, poor, 0.95)[0] == "gain"
    assert verdict(before, after, good, 0.95)[0] == "adapter"
    # As good about what both learnt, and better about labels without pictures.
    wide = marks("1" * 12 + "0" * 8, "1" * 20)
    known = marks("0" * 20, "0" * 20)
    assert verdict(known, wide, marks("1" * 11 + "0" * 9, "0" * 20), 0.95)[0] == "gain"
    assert verdict(known, wide, marks("1" * 20, "0" * 20), 0.95)[0] == "adapter"
    assert verdict(before, after, None, 0.95)[0] == "gain"
    assert verdict(before, before, None, 0.95)[0] == "no gain"
    assert verdict(before, marks("1" + "0" * 19, "11"), None, 0.95)[0] == "no gain"
    forgets = marks("1" * 12 + "0" * 8, "11", "1" + "0" * 29)
    assert verdict(before, forgets, None, 0.95)[0] == "harm"
    lost = marks("1" * 12 + "0" * 8, "0" * 20)
    assert verdict(marks("0" * 20, "1" * 20), lost, None, 0.95)[0] == "harm"


def test_figures_have_intervals() -> None:
    figures = Figures.of(marks("1110", "", "11"))
    assert figures.novel is None and figures.seen is not None
    assert str(figures.seen).startswith("0.750 (0.3")
    assert figures.to_dict()["retention"]["of"] == 2
    assert CurvePoint(0.5, figures, True).to_dict()["novel"] is None


# who learns, chooses and judges


def test_nobody_is_in_two_parts_and_copies_stay_together() -> None:
    rng = np.random.default_rng(0)
    ids = [(int(i),) for i in rng.integers(0, 10, 400)]
    groups = [row // 2 if ids[row] == ids[row - row % 2] else row + 1000 for row in range(400)]
    split = split_labelled(ids, groups, 10, seed=4)
    parts = [split.train, *split.choose.values(), *split.judge.values()]
    rows = np.concatenate(parts)
    assert len(rows) == len({*rows.tolist()}) == 400
    assert len(split.novel_labels) == 2
    of = {int(row): number for number, part in enumerate(parts) for row in part}
    by_group: dict[int, set[int]] = {}
    for row, group in enumerate(groups):
        by_group.setdefault(group, set()).add(of[row])
    assert all(len(numbers) == 1 for numbers in by_group.values())
    for part in (split.train, split.choose["seen"], split.judge["seen"]):
        assert not {ids[row][0] for row in part} & {*split.novel_labels}
    assert {ids[row][0] for row in split.judge["novel"]} == {*split.novel_labels}
    assert len(split.train) == pytest.approx(160, abs=10)
    again = split_labelled(ids, groups, 10, seed=4)
    assert (again.train == split.train).all()
    leash = split_leash(np.arange(100), 0)
    assert [len(part) for part in leash] == [50, 25, 25]
    assert len({*np.concatenate(leash).tolist()}) == 100


def test_a_picture_of_a_novel_label_teaches_nothing() -> None:
    ids = [(i % 6, (i + 1) % 6) for i in range(120)]
    split = split_labelled(ids, range(120), 6, seed=0)
    (novel,) = split.novel_labels
    assert all(novel not in ids[row] for row in split.train)
    assert all(novel in ids[row] for row in (*split.choose["novel"], *split.judge["novel"]))


def test_the_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 200, 1e-4) for step in range(200)]
    assert rates[0] == pytest.approx(1e-4 / 20) and max(rates) == pytest.approx(1e-4, rel=0.03)
    assert int(np.argmax(rates)) in range(18, 23) and rates[-1] < 1e-7
    assert learning_rate(0, 1, 1e-4) == 1e-4


def test_options_are_settled_and_checked() -> None:
    options = TuneOptions().settled(10_000, 768, 86_000_000, on_cpu=True)
    assert options.steps == 2000 and options.learning_rate == 1e-5 and options.blocks == 3
    assert TuneOptions().settled(100, 96, 10**6, on_cpu=True).blocks == 0
    assert TuneOptions(epochs=2).settled(100, 96, 10**6, on_cpu=True).steps == 5
    assert TuneOptions(rank=4).settled(100, 768, 1, on_cpu=False).learning_rate == 2e-4
    with pytest.raises(unseen.LabelError, match="keep is 2; allowed is a number from 0 to 1"):
        TuneOptions(keep=2)
    with pytest.raises(unseen.LabelError, match="not both"):
        TuneOptions(steps=3, epochs=1)


def test_augmented_pictures_are_parts_and_no_mirrors() -> None:
    picture = np.zeros((1, 40, 60, 3), np.uint8)
    picture[..., 0] = np.arange(60)[None, None, :] * 4
    other = augmented(picture, np.random.default_rng(0))
    assert other.shape == picture.shape and other.dtype == np.uint8
    row = other[0, 20, :, 0].astype(int)
    assert (np.diff(row) >= 0).all() and row[-1] - row[0] < 236
    assert (augmented(picture, np.random.default_rng(0)) == other).all()
