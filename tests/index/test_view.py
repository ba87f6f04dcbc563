"""A view of an index: which model it is bound to, and that reading changes nothing."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import checkpoints
import shapes
import unseen
from unseen.errors import LabelError
from unseen.index.location import FILE, FOLDER
from unseen.index.stored import embeddings_of, index_of, recorded_options
from unseen.index.vectors.query import combine, parse_weight
from unseen.prediction.predict import Decision

LABELS = ["red circle", "blue square", "green star"]


@pytest.fixture(scope="module")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of each label."""
    root = tmp_path / "photos"
    root.mkdir()
    for seed in range(2):
        for label in LABELS:
            shapes.draw(shapes.scene(label), seed).save(root / f"{label} {seed}.png")
    return root


@pytest.fixture
def index(folder: Path, classifier: unseen.Classifier) -> Iterator[unseen.Index]:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        yield index


# which model


def test_a_view_is_bound_to_what_is_named(
    index: unseen.Index, shapes_clip: Path, tmp_path: Path
) -> None:
    exact = unseen.load(shapes_clip, exact=True)
    other = unseen.load(checkpoints.clip(tmp_path / "clip"))
    index.update(exact.encoder)
    index.update(other.encoder)
    plain_row, exact_row, other_row = index.models()
    for model, row in (
        (None, other_row),
        (other, other_row),
        (other.encoder, other_row),
        (str(shapes_clip), plain_row),
        (exact, exact_row),
        (exact.options, exact_row),
        (replace(exact.options, precision="auto", threads=2), exact_row),
        (exact_row.options, exact_row),
        (exact_row.id, exact_row),
    ):
        assert index.view(model).row == row, model
    assert index.view(replace(exact.options, threads=2)).options.threads == 2
    for model in (
        "fast",
        99,
        unseen.load(),
        unseen.LoadOptions(str(shapes_clip), precision="int8"),
    ):
        with pytest.raises(unseen.StoreError, match="has not encoded these pictures"):
            index.view(model)


def test_what_loads_the_same_encoder_again(index: unseen.Index, shapes_clip: Path) -> None:
    (row,) = index.models()
    again = unseen.load(row.options)
    assert index.view(again).row == row
    index.update(unseen.load(shapes_clip, precision="int8", exact=True).encoder)
    row = index.models()[-1]
    assert (row.options.precision, row.options.exact) == ("int8", True)
    assert str(row) == f"{shapes_clip} (int8, exact)"
    assert index.view(unseen.load(row.options)).row == row


def test_rows_that_hold_nothing_are_not_taken(index: unseen.Index) -> None:
    """0.1.0 left such rows when it read an index with another model."""
    index.database.execute(
        "INSERT INTO model (name, fingerprint, preprocess, precision, dimension) "
        "VALUES ('empty', 'f', 'p', 'fp32', 8)"
    )
    assert index.view().row.name != "empty"
    with pytest.raises(unseen.StoreError, match="empty has not encoded these pictures"):
        index.view("empty")


def test_without_a_row_it_says_what_to_do(tmp_path: Path) -> None:
    no_model = pytest.raises(unseen.StoreError, match="no model has encoded these pictures yet")
    with unseen.Index(tmp_path) as index, no_model:
        index.view()


def test_a_model_that_changed_is_refused(folder: Path, shapes_clip: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(shapes_clip, model)
    with unseen.Index(folder) as index:
        index.update(unseen.load(model).encoder)
        shutil.rmtree(model)
        checkpoints.clip(model)
        view = index.view()
        assert len(view.similar()) >= 0 and view.matrix().vectors.shape[0] == 6
        with pytest.raises(unseen.StoreError, match="has changed since it encoded"):
            view.search("a red circle")


# what it answers


def test_search_takes_words_pictures_and_vectors(
    index: unseen.Index, folder: Path, classifier: unseen.Classifier
) -> None:
    view = index.view()
    by_words = view.search("a photo of a red circle", top=2)
    assert {hit.paths[0] for hit in by_words} == {"red circle 0.png", "red circle 1.png"}
    vector = classifier.encode_texts(["a photo of a red circle"])[0]
    assert view.search(vector, top=2) == by_words
    path = folder / "blue square 0.png"
    for picture in (path, path.read_bytes()):
        (hit,) = view.search(picture, top=1)
        assert hit.paths == (path.name,) and hit.cosine == pytest.approx(1, abs=1e-3)
    stored = view.vector(hit.id)
    assert stored is not None and view.search(stored, top=1)[0].paths == (path.name,)
    assert view.vector(10**6) is None and view.hit(10**6) is None
    assert view.hit(hit.id).paths == (path.name,)
    total, page = view.page(2, 3)
    assert total == 6 and [hit.cosine for hit in page] == [1.0] * 3


def test_queries_are_added_weighed_and_subtracted(
    index: unseen.Index, classifier: unseen.Classifier
) -> None:
    red, blue, star = classifier.encode_texts(["a red circle", "a blue square", "a green star"])
    expected = red + 0.5 * blue - 2 * star
    expected /= np.linalg.norm(expected)
    query = index.view().query_vector(
        ["a red circle", (0.5, "a blue square")], [(2, "a green star")]
    )
    np.testing.assert_allclose(query, expected, atol=1e-6)
    with pytest.raises(LabelError, match="are the same"):
        index.view().query_vector(["a red circle"], ["a red circle"])
    with pytest.raises(LabelError, match="the query is empty"):
        combine(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5:snow", (0.5, "snow")),
        ("-1: snow", (-1.0, "snow")),
        ("snow", (1.0, "snow")),
        ("Zurich: a street", (1.0, "Zurich: a street")),
        ("2:", (1.0, "2:")),
    ],
)
def test_the_weight_of_a_query(text: str, expected: tuple[float, str]) -> None:
    assert parse_weight(text) == expected


def test_clusters_are_named_and_projected(index: unseen.Index) -> None:
    view = index.view()
    clusters = view.clusters(3, names=[f"a {label}" for label in LABELS])
    assert sorted(cluster.names[0] for cluster in clusters) == sorted(f"a {x}" for x in LABELS)
    for cluster in clusters:
        assert all(f"a {hit.paths[0][:-6]}" == cluster.names[0] for hit in cluster.pictures)
    assert view.clusters(3)[0].names == ()
    plane = view.projection()
    assert plane.positions.shape == (6, 2) and set(plane.ids) == {
        hit.id for cluster in clusters for hit in cluster.pictures
    }


def test_a_view_exports_its_own_rows(index: unseen.Index, tmp_path: Path) -> None:
    from pyarrow import parquet

    other = unseen.load(checkpoints.clip(tmp_path / "clip"))
    index.update(other.encoder)
    assert index.export(tmp_path / "all.parquet") == 12
    assert index.view(other).export(tmp_path / "own.parquet") == 6
    rows = parquet.read_table(tmp_path / "own.parquet").to_pylist()
    assert {row["fingerprint"] for row in rows} == {other.model.fingerprint}


def test_what_it_is_can_be_seen_and_sent(index: unseen.Index, folder: Path) -> None:
    view = index.view()
    assert repr(index) == f"Index({str(folder)!r})"
    assert "6 pictures" in repr(view) and "(fp32)" in repr(view) and str(folder) in repr(view)
    query = view.query_vector(["a red circle"])
    again = pickle.loads(pickle.dumps(view))
    with again.index:
        assert again.row == view.row and again.search(query) == view.search(query)
    with pickle.loads(pickle.dumps(index)) as other:
        assert other.models() == index.models()


# reading changes nothing

READ = """
import os
import sys
import unseen

def read(root):
    with unseen.Index(root, create=False) as index:
        view = index.view()
        ids = view.matrix().ids.tolist()
        assert len(ids) == 6 and len(view.search(view.vector(ids[0]))) == 6
        assert view.hit(ids[0]).paths and view.page(0, 9)[0] == 6
        assert len(list(view.encoded())) == len(list(view.contents())) == 6
        assert view.duplicates(0.5) and view.clusters(2) and len(view.projection().ids) == 6
        assert index.info().files == 6 and len(index.models()) == 1
        return index.prune()

read(sys.argv[1])  # loads what root may load, and nobody may not
if os.geteuid() == 0:
    os.setuid(65534)
assert not os.access(sys.argv[2], os.W_OK)
try:
    read(sys.argv[2])
except unseen.StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("derived", [True, False])
def test_a_read_only_index_is_read(
    derived: bool, folder: Path, classifier: unseen.Classifier
) -> None:
    """By a user who may write neither the files nor the folder; root becomes nobody."""
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o755)
        photos = Path(shutil.copytree(folder, root / "photos"))
        with unseen.Index(photos) as index:
            index.update(classifier.encoder)
            if derived:
                index.view().matrix()
        other = shutil.copytree(photos, root / "other")
        before = {path.name: path.read_bytes() for path in (photos / FOLDER).iterdir()}
        assert FILE in before and ("vectors-1.f16" in before) == derived
        for path in (photos / FOLDER).iterdir():
            path.chmod(0o444)
        (photos / FOLDER).chmod(0o555)
        home = root / "home"
        home.mkdir()
        home.chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", READ, str(other), str(photos)],
            capture_output=True,
            text=True,
            env={**os.environ, "UNSEEN_HOME": str(home)},
        )
        assert done.returncode == 0, done.stderr
        assert "cannot be written" in done.stdout
        after = {path.name: path.read_bytes() for path in (photos / FOLDER).iterdir()}
        assert after == before
    finally:
        (root / "photos" / FOLDER).chmod(0o755)
        shutil.rmtree(root)


def test_reading_with_another_model_leaves_no_row(
    index: unseen.Index, folder: Path, tmp_path: Path
) -> None:
    other = unseen.load(checkpoints.clip(tmp_path / "clip"))
    assert not index.has(other.encoder)
    assert index_of(folder, other.encoder) is None
    with pytest.raises(unseen.StoreError):
        index.view(other)
    assert len(index.models()) == 1


def test_stored_vectors_load_no_network(folder: Path, shapes_clip: Path) -> None:
    """The folder of the model is gone."""
    model = folder.parent / "model"
    shutil.copytree(shapes_clip, model)
    with unseen.Index(folder) as index:
        index.update(unseen.load(model).encoder)
    shutil.rmtree(model)
    with unseen.Index(folder) as index:
        view = index.view()
        (first, *_) = view.page(0, 1)[1]
        assert view.search(view.vector(first.id), top=1)[0].id == first.id
        assert view.duplicates(0.5) and view.similar() and view.clusters(2)
        assert len(view.projection().ids) == len(list(view.encoded())) == 6
        with pytest.raises(unseen.ModelError):
            view.search("a red circle")


# an index or the files


def test_the_index_of_a_folder_gives_what_the_files_give(
    index: unseen.Index, folder: Path, classifier: unseen.Classifier
) -> None:
    assert index_of(folder, classifier.encoder) == folder
    assert index_of([str(folder)], classifier.encoder) == folder
    shapes.draw(shapes.scene("red heart"), 1).save(folder / "new.png")
    (folder / "red circle 0.png").unlink()
    stored = list(embeddings_of(folder, classifier.encoder))
    read = list(classifier.encoder.stream_images(folder))
    assert [encoded.name for encoded in stored] == [encoded.name for encoded in read]
    assert str(folder / "new.png") in [encoded.name for encoded in stored]
    for mine, other in zip(stored, read, strict=True):
        np.testing.assert_allclose(mine.embedding, other.embedding, atol=5e-4)


def test_what_is_not_one_folder_is_read(
    index: unseen.Index, folder: Path, classifier: unseen.Classifier, tmp_path: Path
) -> None:
    paths = sorted(folder.iterdir())
    pictures = [path for path in paths if path.suffix == ".png"]
    for sources in (pictures[:1], pictures[0], [folder, folder], str(tmp_path / "*.png"), b"x"):
        assert index_of(sources, classifier.encoder) is None
    names = [encoded.name for encoded in embeddings_of(pictures[:2], classifier.encoder)]
    assert names == [str(path) for path in pictures[:2]]


def test_the_options_that_an_index_was_made_with(folder: Path, shapes_clip: Path) -> None:
    plain = unseen.LoadOptions(str(shapes_clip), threads=1)
    assert recorded_options(folder, plain) == (plain, [])  # no index
    with unseen.Index(folder) as index:
        index.update(unseen.load(replace(plain, precision="int8")).encoder)
        (row,) = index.models()
    assert recorded_options(folder, plain) == (replace(plain, precision="int8"), [row])
    assert recorded_options(folder, plain, ["precision"]) == (plain, [])
    assert recorded_options(folder, unseen.LoadOptions()) == (unseen.LoadOptions(), [])
    with unseen.Index(folder) as index:
        index.update(unseen.load(plain).encoder)
    assert recorded_options(folder, plain) == (plain, [])  # a row fits as it is


def test_classifying_by_a_view(index: unseen.Index, classifier: unseen.Classifier) -> None:
    labels = classifier.compile([f"a {label}" for label in LABELS])
    view = index.view()
    for prediction in view.classify(view.classifier.compile(labels), Decision(), below="red"):
        assert prediction.label == "a red circle"


# in a notebook


def test_hits_are_a_list_that_draws_itself(index: unseen.Index, folder: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>.png"
    (folder / "red circle 0.png").rename(folder / hostile)
    shutil.copy(folder / "red circle 1.png", folder / "copy of 1.png")
    encoder = index.view().encoder
    index.update(encoder)
    hits = index.view(encoder).search("a photo of a red circle", top=4)
    assert isinstance(hits, list) and isinstance(hits, unseen.Hits) and len(hits) == 4
    html = hits._repr_html_()
    assert html.count("<tr>") == 1 + 4 and html.count("<img") == 4  # found from another folder
    assert hostile not in html and "&lt;img src=x onerror=alert(1)&gt;.png" in html
    assert "copy of 1.png<br>red circle 1.png" in html
    assert f"{hits[0].cosine:.3f}" in html and f"{hits[0].width} × {hits[0].height}" in html
    first = hits[:1]
    assert isinstance(first, unseen.Hits) and first._repr_html_().count("<img") == 1
    assert isinstance(hits[0], unseen.Hit)
    assert pickle.loads(pickle.dumps(hits))._repr_html_() == html
    (folder / hostile).unlink()
    assert hits._repr_html_().count("<img") == 3
    for group in (index.view(encoder).page(0, 2)[1], index.view(encoder).duplicates(0.5)[0]):
        assert "<img" in group._repr_html_()


def test_a_hit_and_a_cluster_are_short_to_read(index: unseen.Index, folder: Path) -> None:
    shutil.copy(folder / "red circle 1.png", folder / "copy of 1.png")
    encoder = index.view().encoder
    index.update(encoder)
    view = index.view(encoder)
    shown = {repr(hit) for hit in view.page(0, 6)[1]}
    assert "Hit('copy of 1.png', cosine=1, files=2)" in shown
    assert "Hit('blue square 0.png', cosine=1)" in shown
    (cluster,) = view.clusters(1, names=["red circle"])
    assert repr(cluster) == "Cluster(6 pictures: red circle)"
