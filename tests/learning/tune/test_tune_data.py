"""What a tuning learns from: captions, several labels a picture, an index, Parquet."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shapes
import unseen
from tunings import LABELS, OPTIONS, options
from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import Proposal
from unseen.datasets.content import content_digest
from unseen.learning.tune import report_text
from unseen.learning.tune.material import annotated
from unseen.learning.tune.run import TunePlan
from unseen.learning.tune.training import Batches, Lesson


def test_captions_are_found_among_those_held_out(classifier: Any, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    lines = ["path,caption"]
    for number, label in enumerate(shapes.labels()[:64]):
        file = tmp_path / "pictures" / f"{number}.png"
        shapes.draw(shapes.scene(label), number).save(file)
        lines.append(f"pictures/{number}.png,{label} on a light ground")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    how = options(steps=2)
    plans: list[TunePlan] = []
    report = unseen.tune(
        classifier, tmp_path / "pairs.csv", tmp_path / "out", how, on_plan=plans.append
    )
    (plan,) = plans
    assert (plan.pictures, plan.ordinary, plan.steps) == (32, 128, 2) and not plan.own_leash
    assert "there is no --leash" in [*report_text.plan(plan)][1]
    text = "\n".join(report_text.tuned(report))
    assert "the original is kept, nothing is written" in text and "0.75  " in text
    assert report.before.seen is not None and report.before.seen.of == 16
    assert report.before.seen.value > 0.5  # it knows them: nothing to gain
    assert report.before.novel is None and report.adapter is None
    assert report.reason in ("no gain", "harm")


def test_a_picture_with_several_labels_belongs_to_each(
    classifier: Any, data: Path, tmp_path: Path
) -> None:
    first, other = sorted(data.rglob("0.png"))[:2]
    pairs = [(first, ["a red circle", "a blue ring"]), (other, ["a blue ring"])]
    found = annotated(classifier, pairs, None)
    assert found.names == ("a blue ring", "a red circle") and found.is_multi_label
    assert found.label_ids == [(1, 0), (0,)]
    lesson = Lesson(
        "trial", np.zeros((2, 4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8),
        np.arange(2), np.arange(0), found.label_ids, found.texts, np.zeros((0, 64), np.float32),
    )  # fmt: skip
    network = SimpleNamespace(lower=lambda pixels: (pixels.astype(np.float16),))
    batches = Batches(network, lesson, OPTIONS, tmp_path)  # type: ignore[arg-type]
    for step in range(4):
        one = batches.batch(step)
        texts = [int((found.texts @ row).argmax()) for row in one.texts]
        rows = batches._rows(step)
        expected = [[text in found.label_ids[row] for text in texts] for row in rows]
        assert one.positive.tolist() == expected
        assert [text in found.label_ids[row] for text, row in zip(texts, rows, strict=True)] == [
            True, True,
        ]  # fmt: skip


# an index


@pytest.fixture(scope="module")
def pictures(classifier: Any, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labels of four pictures, in folders, looked at by an index; one more has a copy."""
    folder = tmp_path_factory.mktemp("indexed") / "pictures"
    for label in LABELS[:3]:
        (folder / label.replace(" ", "_")).mkdir(parents=True)
        for file in sorted((data / label.replace(" ", "_")).iterdir())[:4]:
            shutil.copy(file, folder / label.replace(" ", "_") / file.name)
    shutil.copy(next(folder.rglob("0.png")), folder / "copy.png")
    (folder / LABELS[0].replace(" ", "_") / "broken.png").write_bytes(b"no picture")
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
    return folder


def labels_of(found: Any) -> dict[str, list[str]]:
    return {
        Path(picture).name + "/" + Path(picture).parent.name: [found.names[i] for i in ids]
        for picture, ids in zip(found.pictures, found.label_ids, strict=True)
    }


def test_an_index_has_the_labels_of_its_folders(classifier: Any, pictures: Path) -> None:
    with unseen.Index(pictures, create=False) as index:
        found = annotated(classifier, index, None)
    assert len(found.pictures) == 12 and found.unlabelled == 0  # a copy is no other picture
    assert {*found.names} == {*LABELS[:3]}
    for source, ids in zip(found.sources, found.label_ids, strict=True):
        (label,) = (found.names[i] for i in ids)
        assert source.is_file() and label.replace(" ", "_") in {
            path.parent.name
            for path in pictures.rglob("*.png")
            if content_digest(path) == content_digest(source)
        }
    by_file = annotated(classifier, pictures / ".unseen" / "index.sqlite", None)
    assert labels_of(by_file) == labels_of(found)


def test_what_was_reviewed_counts_before_folders(
    classifier: Any, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    shutil.copytree(pictures, folder)
    files = sorted(path for path in folder.rglob("?.png") if path.parent != folder)
    labelling = Labelling(folder, create=True)
    names, scores = ["a red ring", "a blue ring"], np.full(2, 0.5, np.float32)
    proposals = [
        Proposal(
            bytes.fromhex(content_digest(file) or ""), (file.relative_to(folder).as_posix(),),
            64, 64, np.ones(4, np.float32), scores, "unsure",
        )
        for file in files
    ]  # fmt: skip
    labelling.propose({"asked": names, "model": "x", "options": {}}, names, proposals)
    for file, label in zip(files, [*names, names[0]], strict=False):
        labelling.decide(content_digest(file) or "", "label", label)
    labelling.close()
    files[1].write_bytes(files[-1].read_bytes())  # of another content than a person saw
    found = annotated(classifier, folder / ".unseen" / "index.sqlite", None)
    assert found.names == ("a red ring",)
    assert labels_of(found) == {
        f"{file.name}/{file.parent.name}": ["a red ring"] for file in (files[0], files[2])
    }


def test_an_index_without_any_label_says_so(classifier: Any, data: Path, tmp_path: Path) -> None:
    for number, file in enumerate(sorted(data.rglob("0.png"))[:3]):
        shutil.copy(file, tmp_path / f"{number}.png")
    with unseen.Index(tmp_path) as index:
        index.update(classifier.encoder)
        with pytest.raises(unseen.SourceError, match="has 3 pictures, and none of them has a lab"):
            annotated(classifier, index, None)


# Parquet


def as_bytes(label: str, seed: int, folder: Path) -> bytes:
    file = folder / "one.png"
    shapes.draw(shapes.scene(label), seed).save(file)
    return file.read_bytes()


def test_parquet_has_captions_or_labels(classifier: Any, tmp_path: Path) -> None:
    labels = shapes.labels()[:6]
    images = [
        {"bytes": as_bytes(label, i, tmp_path), "path": None} for i, label in enumerate(labels)
    ]
    table = tmp_path / "pairs.parquet"
    captions = [f"{label}, drawn" for label in labels]
    pq.write_table(pa.table({"image": images, "caption": captions}), table)
    found = annotated(classifier, table, None)
    assert found.compiled is None and list(found.names) == captions
    assert found.label_ids == [(i,) for i in range(6)]
    assert found.pictures[2].endswith("pairs.parquet#row=3")
    np.testing.assert_allclose(found.texts, classifier.encode_texts(captions), atol=1e-6)
    answers = classifier.encode_images(found.sources) @ found.texts.T
    assert (answers.argmax(1) == np.arange(6)).mean() > 0.6  # the pictures are those of the texts
    pq.write_table(pa.table({"image": images, "label": ["a;b", "b", "a", "", "a", "b"]}), table)
    found = annotated(classifier, table, None)
    assert found.compiled is not None and found.names == ("a", "b") and found.unlabelled == 1
    assert found.label_ids == [(0, 1), (1,), (0,), (0,), (1,)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [3, 4]}, "its column 'label' has 3; labels and captions are words"),
        ({"size": [3, 4]}, "no column of words; name one of them label, caption or text"),
    ],
)
def test_other_parquet_says_what_is_wrong(
    columns: dict[str, Any], message: str, classifier: Any, tmp_path: Path
) -> None:
    table = tmp_path / "x.parquet"
    pq.write_table(pa.table({"path": ["a.png", "b.png"], **columns}), table)
    with pytest.raises(unseen.SourceError, match=message):
        annotated(classifier, table, None)
