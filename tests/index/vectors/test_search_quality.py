"""What a search finds: captions of pictures never seen, and words for photographs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import shapes
import unseen
from blobs import blobs, matrix_of
from unseen.index.vectors import approximate, search
from unseen.index.vectors import matrix as derived


def test_captions_of_combinations_that_were_never_trained(
    tmp_path: Path, shapes_clip: Path
) -> None:
    """recall@1 of a caption among 80 combinations, each once; the fixture saw none of these 16."""
    for number, label in enumerate(shapes.labels()):
        shapes.draw(shapes.scene(label), 100 + number).save(tmp_path / f"{number:02} {label}.png")
    classifier = unseen.load(shapes_clip)
    with unseen.Index(tmp_path) as index:
        index.update(classifier.encoder)
        unseen_labels = shapes.labels(held_out=True)
        queries = classifier.encode_texts([f"a photo of {label}" for label in unseen_labels])
        best = [index.view(classifier).search(query, top=1)[0].paths[0][3:-4] for query in queries]
    right = sum(a == b for a, b in zip(best, unseen_labels, strict=True))
    assert right >= 0.9 * len(unseen_labels), (right, len(unseen_labels))


def test_words_for_photographs_with_the_built_in_model(tmp_path: Path, photographs: Path) -> None:
    """The first picture that is found for each of 69 words, among 117 photographs."""
    (tmp_path / "photographs").symlink_to(photographs)
    classifier = unseen.load()
    words = sorted(folder.name for folder in photographs.iterdir() if folder.is_dir())
    files = sorted(photographs.rglob("*.jpg"))
    for number, file in enumerate(files):
        (tmp_path / f"{number} {file.parent.name}.jpg").symlink_to(file)
    with unseen.Index(tmp_path) as index:
        index.update(classifier.encoder)
        prompts = [
            classifier.model.template.replace("{}", word.replace("_", " ")) for word in words
        ]
        first, in_three = 0, 0
        for word, query in zip(words, classifier.encode_texts(prompts), strict=True):
            hits = index.view(classifier).search(query, top=3)
            names = [Path(hit.paths[0]).stem.split(" ", 1)[1] for hit in hits]
            first += names[0] == word
            in_three += word in names
    assert first >= 0.72 * len(words) and in_three >= 0.78 * len(words), (first, in_three)


# by a graph of neighbours


def test_the_graph_finds_what_exact_search_finds(tmp_path: Path) -> None:
    rows, _ = blobs(60, 100, 0.9)
    matrix = matrix_of(rows)
    rng = np.random.default_rng(3)
    hits = 0
    for row in rng.integers(len(rows), size=50):
        query = np.float32(rows[row] + 0.1 * rng.normal(size=32))
        query /= np.linalg.norm(query)
        exact, cosines = search.nearest(matrix, query, 10)
        indices, guessed = approximate.nearest(matrix, tmp_path, 1, query, 10)
        hits += len({*exact.tolist()} & {*indices.tolist()})
        assert (np.diff(guessed) <= 0).all() and guessed[0] == pytest.approx(cosines[0], abs=1e-3)
    assert hits / 500 >= 0.95  # recall@10


def test_rows_that_no_search_finds_are_added_anew(tmp_path: Path) -> None:
    rows, _ = blobs(60, 10, 0.9)
    matrix, keys = matrix_of(rows), np.arange(600)
    approximate.nearest(matrix, tmp_path, 1, np.float32(rows[0]), 1)
    graph = approximate._usearch().restore(str(tmp_path / "vectors-1.graph"))
    lost = np.array([3, 77, 599])
    graph.remove(lost)
    graph.add(lost, np.array(matrix.vectors[:3]))  # of others: nobody finds these by their own
    vectors = np.array(matrix.vectors)
    assert (graph.search(vectors[lost], 1).keys.ravel() != lost).all()
    approximate._mend(graph, keys, vectors)
    assert graph.search(vectors[lost], 1).keys.ravel().tolist() == lost.tolist()
    assert len(graph) == 600


def test_the_graph_grows_with_the_matrix_and_is_made_again_when_it_does_not_fit(
    tmp_path: Path,
) -> None:
    rows, _ = blobs(5, 100, 0.5)
    whole = matrix_of(rows)
    part = derived.Matrix(whole.ids[:300], whole.vectors[:300])
    query = np.asarray(whole.vectors[450], dtype=np.float32)
    note = tmp_path / "vectors-1.graph.note"
    assert approximate.nearest(part, tmp_path, 1, query, 1)[0][0] < 300
    assert json.loads(note.read_text())["count"] == 300
    assert approximate.nearest(whole, tmp_path, 1, query, 1)[0][0] == 450
    assert json.loads(note.read_text())["count"] == 500
    assert approximate.nearest(whole, tmp_path, 1, query, 1)[0][0] == 450  # mapped
    other = derived.Matrix(whole.ids + 7, whole.vectors[::-1])
    assert approximate.nearest(other, tmp_path, 1, query, 1)[0][0] == 49
    note.write_text("{")
    assert approximate.nearest(whole, tmp_path, 1, query, 1)[0][0] == 450


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    matrix = matrix_of(blobs(2, 4, 0.1)[0])
    with pytest.raises(unseen.MissingExtraError, match=r"unseen\[ann\]"):
        approximate.nearest(matrix, tmp_path, 1, np.float32(matrix.vectors[0]), 1)


def test_a_large_index_uses_the_graph(
    tmp_path: Path, shapes_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unseen.index import view as module

    for number, label in enumerate(shapes.labels()[:12]):
        shapes.draw(shapes.scene(label), number).save(tmp_path / f"{label}.png")
    classifier = unseen.load(shapes_clip)
    with unseen.Index(tmp_path) as index:
        index.update(classifier.encoder)
        query = classifier.encode_texts([f"a photo of {shapes.labels()[3]}"])[0]
        exact = index.view(classifier).search(query, top=5)
        assert not list((tmp_path / ".unseen").glob("*.graph"))
        monkeypatch.setattr(module, "LARGE", 10)
        hits = index.view(classifier).search(query, top=5)
        assert [hit.paths for hit in hits] == [hit.paths for hit in exact]
        cosines = [[hit.cosine for hit in some] for some in (hits, exact)]
        np.testing.assert_allclose(*cosines, atol=1e-6)  # of another product, in the last bits
        assert list((tmp_path / ".unseen").glob("*.graph"))
