"""The rows of an explainable index: every label from them, and no picture opened."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

import checkpoints
import shapes
import unseen
from unseen.cli.app import app
from unseen.errors import LabelError, ModelError, StoreError
from unseen.explanation import trust
from unseen.system import cache

LABELS = ["a red circle", "a blue square", "a green star"]
CELLS, DIMENSION = 64, 64


@pytest.fixture(scope="module")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    for label in LABELS:
        shapes.draw(shapes.scene(label.removeprefix("a ")), 1).save(root / f"{label}.png")
    return root


@pytest.fixture
def index(folder: Path, classifier: unseen.Classifier) -> Iterator[unseen.Index]:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        index.keep_parts(classifier.explainer())
        yield index


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_any_label_is_explained_and_no_picture_opened(
    index: unseen.Index, classifier: unseen.Classifier, folder: Path
) -> None:
    compiled = classifier.compile(shapes.labels())
    files = sorted(folder.glob("*.png"))
    method = classifier.explainer().own_record().method
    direct = [
        *classifier.explainer().explain_many(files, compiled, method=method, extras=()),
    ]
    for file in files:
        file.unlink()
    stored = [*index.view(classifier).explain(compiled)]
    assert [e.source for e in stored] == [file.name for file in files]
    for explanation, whole in zip(stored, direct, strict=True):
        assert explanation.label == whole.label
        assert explanation.scores is not None and whole.scores is not None
        largest = np.abs(whole.scores).max()
        assert np.abs(explanation.scores - whole.scores).max() < 0.01 * largest  # float16
        assert explanation.geometry == whole.geometry
        assert explanation.without is None and explanation.picture is None
        assert "rows of an index" in explanation.notes[-1]
    (one,) = index.view(classifier).explain(compiled, "a green star", below="a red")
    assert one.label == "a green star"
    with pytest.raises(LabelError, match="not among"):
        next(index.view(classifier).explain(compiled, "a dragon"))


def test_rows_cost_what_is_said(
    index: unseen.Index, classifier: unseen.Classifier, folder: Path
) -> None:
    each = 2 * (CELLS + 1) * classifier.model.dimension
    assert classifier.model.dimension == DIMENSION
    (facts,) = index.info().to_dict()["models"]
    assert facts["explainable"] == 3 and facts["explainable_bytes"] == 3 * each
    assert "explainable: rows of 3 pictures, 0.0 MB, 8 kB a picture" in str(index.info())
    again = index.keep_parts(classifier.explainer())
    assert (again.pictures, again.new) == (3, 0)
    shapes.draw(shapes.scene("red star"), 2).save(folder / "new.png")
    index.update(classifier.encoder)
    *_, last = index.view(classifier).explain(LABELS)
    assert last.source == "new.png"
    assert last.error is not None and "--explainable" in last.error
    assert index.keep_parts(classifier.explainer()).new == 1
    (folder / "new.png").unlink()
    index.update(classifier.encoder)
    index.prune()
    assert index.info().parts[1].pictures == 3


def test_an_index_without_rows_is_as_it_was(folder: Path, classifier: unseen.Classifier) -> None:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        assert all(e.error for e in index.view(classifier).explain(LABELS))
        tables = {name for (name,) in index.database.execute("SELECT name FROM sqlite_master")}
        assert "part" not in tables
        version = index.database.execute("PRAGMA user_version").fetchone()
        index.keep_parts(classifier.explainer())
        assert index.database.execute("PRAGMA user_version").fetchone() == version


def test_what_knows_nothing_of_rows_still_deletes_them(index: unseen.Index, folder: Path) -> None:
    """As an older version does, which has the same foreign keys switched on."""
    index.close()
    database = sqlite3.connect(folder / ".unseen" / "index.sqlite")
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("DELETE FROM picture WHERE id = 1")
    database.commit()
    assert database.execute("SELECT count(*) FROM part").fetchone() == (2,)
    database.close()


def test_a_broken_picture_and_another_model_are_errors(
    folder: Path, classifier: unseen.Classifier, tmp_path: Path
) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG no picture")
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        assert index.keep_parts(classifier.explainer()).new == 3
        errors = [e.source for e in index.view(classifier).explain(LABELS) if e.error]
        assert errors == ["broken.png"]
        other = unseen.load(checkpoints.clip(tmp_path / "clip"))
        with pytest.raises(StoreError, match="has not encoded"):
            index.keep_parts(other.explainer())


def test_the_commands(folder: Path, shapes_clip: Path, tmp_path: Path) -> None:
    made = run("index", folder, "-m", shapes_clip, "--explainable")
    assert made.exit_code == 0, made.output
    assert "explainable: rows of 3 pictures" in made.stderr
    asked = run(
        "explain", folder, "-m", shapes_clip, "-l", ",".join(LABELS), "--from-index", "--json"
    )
    assert asked.exit_code == 0, asked.output
    rows = json.loads(asked.stdout)
    assert [row["label"] for row in rows] == ["a blue square", "a green star", "a red circle"]
    assert np.array(rows[0]["grid"]).shape == (1, 8, 8)
    page = run(
        "explain", folder, "-m", shapes_clip, "-l", "a,b", "--from-index", "-o", tmp_path / "x.html"
    )
    assert page.exit_code != 0 and "no picture is opened" in str(page.exception)
    none = run("explain", tmp_path, "-m", shapes_clip, "-l", "a,b", "--from-index")
    assert none.exit_code != 0 and "index FOLDER --explainable" in str(none.exception)


def test_a_model_whose_maps_earn_no_trust_is_refused(folder: Path, fresh_home: Path) -> None:
    """The built-in model, whose record is written here as if it had been measured."""
    model = unseen.load()
    cache.intact_folder(
        f"{model.model.fingerprint}-explained-v{trust.VERSION}",
        lambda made: (made / trust.FILE).write_text(
            json.dumps({"method": "none", "gaps": {"parts": -0.1}, "pictures": 2})
        ),
    )
    with unseen.Index(folder) as index:
        index.update(model.encoder)
        with pytest.raises(ModelError, match="cannot be explained by place"):
            index.keep_parts(model.explainer())
