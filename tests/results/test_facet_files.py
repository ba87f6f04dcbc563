"""The answers of several label sets in files: columns, keys, reading, resuming, comparing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import shapes
import unseen
from unseen.errors import SourceError
from unseen.prediction.facets import FacetPrediction
from unseen.prediction.prediction import Prediction, Scored
from unseen.results import read
from unseen.results.manifest import read_manifest
from unseen.results.records import FacetCsv

SETS = {"colour": ["red", "blue", "green"], "shape": ["a circle", "a star", "a square"]}
SCENES = ["a red circle", "a blue star", "a green square"]
SUFFIXES = [".jsonl", ".json", ".csv", ".parquet"]


@pytest.fixture(scope="module")
def clf(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, scene in enumerate(SCENES):
        shapes.draw(shapes.scene(scene), i).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"broken")
    return folder


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_set_reads_back_as_it_was(
    suffix: str, clf: unseen.Classifier, photos: Path, tmp_path: Path
) -> None:
    path, alone = tmp_path / f"a{suffix}", tmp_path / f"alone{suffix}"
    summary = unseen.classify_facets_to_file(clf, photos, SETS, path, top_k=3)
    assert (summary.pictures, summary.errors) == (4, 1)
    assert summary.answers["colour: red"] == summary.answers["shape: a star"] == 1
    for name, labels in SETS.items():
        unseen.classify_to_file(clf, photos, labels, alone, top_k=3, overwrite=True)
        same = [(p.source, p.label, p.probabilities, p.error) for p in read(alone)]
        assert [
            (p.source, p.label, p.probabilities, p.error) for p in read(path, facet=name)
        ] == same
    with pytest.raises(SourceError, match=r"several label sets; choose one.*colour, shape"):
        list(read(path))
    with pytest.raises(SourceError, match="no label set 'size' in it; it has: colour, shape"):
        list(read(path, facet="size"))
    with pytest.raises(SourceError, match="leave facet out"):
        list(read(alone, facet="colour"))


def test_the_columns_of_a_csv(clf: unseen.Classifier, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    unseen.classify_facets_to_file(clf, photos, SETS, path, unknown="auto")
    rows = list(csv.reader(path.read_text("utf-8").splitlines()))
    assert rows[0] == [
        "source",
        *("colour", "colour.score", "colour.unknown", "colour.evidence"),
        *("shape", "shape.score", "shape.unknown", "shape.evidence"),
        "error",
    ]
    assert all(len(row) == len(rows[0]) for row in rows)
    assert rows[1][1] == "red" and rows[4][1:9] == [""] * 8 and rows[4][9]


def test_metadata_beside_sets_of_the_same_name(tmp_path: Path) -> None:
    answer = Prediction("a.jpg", (Scored("cat", 0.75, 0.25), Scored("dog", 0.25, 0.1)))
    picture = FacetPrediction("a.jpg", {"=page": answer}, meta={"=page": 7, "label": "x"})
    form = FacetCsv({"=page": ()}, 2, ("=page", "label"))
    path = tmp_path / "a.csv"
    path.write_text(form.header + form.line(picture), "utf-8")
    (back,) = read(path, facet="=page")
    assert back.probabilities == answer.probabilities
    assert back.meta == {"=page": "7", "label": "x"}
    assert path.read_text("utf-8").startswith("source,'=page,")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_resuming(suffix: str, clf: unseen.Classifier, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    unseen.classify_facets_to_file(clf, photos, SETS, path)
    whole = [(p.source, p.label) for p in read(path, facet="shape")]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]) + b"hal")
    again = unseen.classify_facets_to_file(clf, photos, SETS, path, resume=True)
    assert again.earlier and again.pictures and again.earlier + again.pictures == 4
    assert [(p.source, p.label) for p in read(path, facet="shape")] == whole
    other = SETS | {"shape": ["a circle", "a star"]}
    with pytest.raises(SourceError, match="other labels"):
        unseen.classify_facets_to_file(clf, photos, other, path, resume=True)
    with pytest.raises(SourceError, match="options"):
        unseen.classify_facets_to_file(clf, photos, SETS, path, multi_label=["shape"], resume=True)
    with pytest.raises(SourceError, match="other labels"):
        unseen.classify_to_file(clf, photos, SETS["shape"], path, resume=True)


def test_comparing_one_set_of_two_runs(
    clf: unseen.Classifier, photos: Path, tmp_path: Path
) -> None:
    a, b = tmp_path / "a.jsonl", tmp_path / "b.csv"
    unseen.classify_facets_to_file(clf, photos, SETS, a)
    other = {"colour": ["red", "blue"], "shape": SETS["shape"]}
    unseen.classify_facets_to_file(clf, photos, other, b)
    difference = unseen.diff(a, b, facet="colour")
    assert [flip.a.answer for flip in difference.flips] == ["green"]
    assert difference.changes is not None
    assert [change.what for change in difference.changes] == ["label removed"]
    assert not unseen.diff(a, b, facet="shape").flips
    with pytest.raises(SourceError, match="choose one"):
        unseen.diff(a, b)
    manifest = read_manifest(a)
    assert manifest is not None and list(manifest["facets"]) == ["colour", "shape"]
    assert [label["name"] for label in manifest["facets"]["colour"]["labels"]] == SETS["colour"]


def test_a_table(clf: unseen.Classifier, photos: Path) -> None:
    pytest.importorskip("pandas")
    table = unseen.to_pandas(clf.classify_facets(photos, SETS))
    assert list(table.columns[:5]) == [
        "source", "colour", "colour.score", "colour.unknown", "colour.ranking",
    ]  # fmt: skip
    assert list(table["shape"][:3]) == SETS["shape"] and table["error"].notna().sum() == 1
    assert table["shape.score"].dtype == "float64"


def test_json_of_facets_is_an_object_for_each_set(clf: unseen.Classifier, photos: Path) -> None:
    first = next(clf.classify_facets(photos, SETS)).to_dict()
    assert list(first) == ["source", "facets"] and list(first["facets"]) == ["colour", "shape"]
    assert list(first["facets"]["colour"]) == ["label", "score", "unknown", "ranking", "left_out"]
    json.dumps(first)
