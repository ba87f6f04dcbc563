"""The index: what costs nothing, what is looked at again, what is lost (nothing)."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shapes
import unseen
from unseen.index import schema
from unseen.index.location import FILE, FOLDER, find
from unseen.index.vectors import matrix as derived
from unseen.index.vectors import search
from unseen.prediction.decision import Decision

LABELS = ["red circle", "blue square", "green star"]


@pytest.fixture(scope="module")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures in two folders: two of each label."""
    for seed in range(2):
        for label in LABELS:
            path = tmp_path / "photos" / f"part {seed}" / f"{label}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shapes.draw(shapes.scene(label), seed).save(path)
    return tmp_path / "photos"


class Counting:
    """Counts what is encoded by a classifier's image net."""

    def __init__(self, classifier: unseen.Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures = 0
        monkeypatch.setenv("UNSEEN_CACHE_BYTES", "0")  # else another test has encoded them
        net, lock = classifier.encoder._image, threading.Lock()

        def counted(pixels: np.ndarray) -> np.ndarray:
            with lock:  # several threads call
                self.pictures += len(pixels)
            return net(pixels)

        counted.begin, counted.called_by = net.begin, net.called_by  # type: ignore[attr-defined]
        target = classifier.encoder.target
        monkeypatch.setattr(classifier.encoder, "_image", counted)
        monkeypatch.setattr(type(classifier.encoder), "target", target)
        monkeypatch.setattr(type(classifier.encoder), "precision", "fp32")


@pytest.fixture
def counting(classifier: unseen.Classifier, monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(classifier, monkeypatch)


def rows(index: unseen.Index, query: str, *values: object) -> list[tuple[object, ...]]:
    return index.database.execute(query, values).fetchall()


def test_each_picture_is_looked_at_once(
    folder: Path, classifier: unseen.Classifier, counting: Counting
) -> None:
    with unseen.Index(folder) as index:
        first = index.update(classifier.encoder)
        assert (first.encoded, first.unchanged, counting.pictures) == (6, 0, 6)
        again = index.update(classifier.encoder)
        assert (again.encoded, again.unchanged, counting.pictures) == (0, 6, 6)
        for row in rows(index, "SELECT width, height, bytes, taken, error FROM picture"):
            assert row[:2] == (shapes.SIDE, shapes.SIDE) and row[2] > 0 and row[3:] == (None, None)


def test_a_picture_that_moved_or_was_copied_costs_nothing(
    folder: Path, classifier: unseen.Classifier, counting: Counting
) -> None:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        (folder / "part 0" / "red circle.png").rename(folder / "moved.png")
        shutil.copy(folder / "part 1" / "green star.png", folder / "copy.png")
        os.utime(folder / "part 1" / "blue square.png", (1, 1))
        report = index.update(classifier.encoder)
        assert (report.encoded, report.known, report.missing) == (0, 3, 1)
        assert counting.pictures == 6
        index.update(classifier.encoder)
        assert index.info().missing == 1 and index.info().files == 8


def test_two_copies_in_one_run_are_encoded_once(
    folder: Path, classifier: unseen.Classifier, counting: Counting
) -> None:
    for n in range(5):
        shutil.copy(folder / "part 0" / "red circle.png", folder / f"copy {n}.png")
    with unseen.Index(folder) as index:
        report = index.update(classifier.encoder)
        assert (report.encoded, report.known) == (6, 5) and counting.pictures == 6
        (hit, *_) = index.view(classifier).search(
            classifier.encode_images([folder / "copy 0.png"])[0]
        )
        assert len(hit.paths) == 6 and hit.cosine == pytest.approx(1, abs=1e-3)


def test_a_picture_that_changed_is_looked_at_again(
    folder: Path, classifier: unseen.Classifier, counting: Counting
) -> None:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        path = folder / "part 0" / "red circle.png"
        shapes.draw(shapes.scene("cyan ring"), 9).save(path)
        report = index.update(classifier.encoder)
        assert (report.encoded, report.missing, counting.pictures) == (1, 0, 7)
        hits = index.view(classifier).search(classifier.encode_images([path])[0], top=1)
        assert hits[0].paths == ("part 0/red circle.png",)


def test_what_vanished_is_marked_comes_back_and_can_be_pruned(
    folder: Path, classifier: unseen.Classifier, counting: Counting, tmp_path: Path
) -> None:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        (folder / "part 1").rename(tmp_path / "away")
        assert index.update(classifier.encoder).missing == 3
        query = classifier.encode_texts(["a red circle"])[0]
        assert len(index.view(classifier).search(query)) == 3
        (tmp_path / "away").rename(folder / "part 1")
        index.update(classifier.encoder)
        assert index.info().missing == 0 and counting.pictures == 6  # it was remembered
        shutil.rmtree(folder / "part 1")
        index.update(classifier.encoder)
        assert index.prune() == 3
        assert rows(index, "SELECT count(*) FROM picture") == [(3,)]
        assert len(index.view(classifier).search(query)) == 3
        assert len(index.view(classifier).matrix()) == 3


def test_only_what_lies_below_what_was_walked_can_be_missing(
    folder: Path, classifier: unseen.Classifier
) -> None:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        shutil.rmtree(folder / "part 1")
        (folder / "part 10").mkdir()
        shapes.draw(shapes.scene("red heart"), 3).save(folder / "part 10" / "a.png")
        assert index.update(classifier.encoder, [folder / "part 0"]).missing == 0
        assert index.update(classifier.encoder, [folder / "part 10"]).encoded == 1
        assert index.update(classifier.encoder).missing == 3


def test_a_broken_picture_is_a_row_and_is_tried_again_when_it_changes(
    folder: Path, classifier: unseen.Classifier, counting: Counting
) -> None:
    (folder / "broken.jpg").write_bytes(b"no picture")
    with unseen.Index(folder) as index:
        assert index.update(classifier.encoder).failed == 1
        assert (
            rows(index, "SELECT embedding, error FROM picture WHERE error IS NOT NULL")[0][0]
            is None
        )
        again = index.update(classifier.encoder)
        assert (again.failed, again.unchanged) == (0, 7)
        shapes.draw(shapes.scene("red heart"), 3).save(folder / "broken.jpg")
        assert index.update(classifier.encoder).encoded == 1 and counting.pictures == 7
        (folder / "part 0" / "empty.png").write_bytes(b"")
        assert index.update(classifier.encoder).failed == 1
        predictions = list(index.view(classifier).classify(classifier.compile(LABELS), Decision()))
        assert [p.source for p in predictions if p.error] == ["part 0/empty.png"]


def test_several_models_share_one_file(
    folder: Path, classifier: unseen.Classifier, tmp_path: Path
) -> None:
    import checkpoints

    other = unseen.load(checkpoints.clip(tmp_path / "clip"))
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        assert index.update(other.encoder).encoded == 6
        assert [row.pictures for row in index.models()] == [6, 6]
        for model in (classifier, other):
            paths = sorted(folder.rglob("*.png"))
            fresh = model.encode_images(paths)
            matrix = index.view(model).matrix()
            names = dict(
                rows(
                    index,
                    "SELECT path, id FROM file JOIN picture USING (content) WHERE model = ?",
                    index.view(model).row.id,
                )
            )
            index_of = {int(i): n for n, i in enumerate(matrix.ids)}
            stored = np.stack([matrix.vectors[index_of[names[index.name(p)]]] for p in paths])
            np.testing.assert_allclose(stored, fresh, atol=5e-4)  # float16
        with pytest.raises(unseen.StoreError, match="has not encoded these pictures"):
            index.view(unseen.load())


def test_classifying_from_the_index_is_classifying_the_files(
    folder: Path, classifier: unseen.Classifier, counting: Counting
) -> None:
    compiled = classifier.compile(shapes.labels())
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        before = counting.pictures
        indexed = {p.source: p for p in index.view(classifier).classify(compiled, Decision())}
    assert counting.pictures == before  # no image file was opened
    for prediction in classifier.classify_many(folder, compiled):
        mine = indexed[str(Path(prediction.source).relative_to(folder))]
        assert mine.label == prediction.label
        assert mine.score == pytest.approx(prediction.score, abs=2e-3)
    assert sorted(str(p.label) for p in indexed.values()) == sorted(f"a {x}" for x in LABELS * 2)


def test_search_finds_what_is_nearest(folder: Path, classifier: unseen.Classifier) -> None:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        for label in LABELS:
            query = classifier.encode_texts([f"a photo of a {label}"])[0]
            hits = index.view(classifier).search(query, top=2)
            assert {Path(h.paths[0]).stem for h in hits} == {label}
            assert hits[0].cosine >= hits[1].cosine


def test_nearest_is_exact(tmp_path: Path) -> None:
    """Against numpy's own sort, with ties, over several blocks."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(7000, 24)).astype(np.float16)
    vectors[5000] = vectors[10]
    matrix = derived.Matrix(np.arange(7000), vectors)
    query = vectors[10].astype(np.float32)
    cosines = vectors.astype(np.float32) @ query
    for top in (1, 5, 100, 7000):
        indices, similarities = search.nearest(matrix, query, top)
        order = np.lexsort((np.arange(7000), -cosines))[:top]
        np.testing.assert_allclose(similarities, cosines[order], atol=1e-3)
        if top <= 100:
            np.testing.assert_array_equal(indices, order)
    queries = rng.normal(size=(3, 24)).astype(np.float32)
    blocks = np.concatenate(list(search.products(matrix, queries)))
    np.testing.assert_allclose(blocks, vectors.astype(np.float32) @ queries.T, atol=1e-4)


# what is derived


def test_the_matrix_grows_and_is_made_again_when_it_does_not_fit(
    folder: Path, classifier: unseen.Classifier
) -> None:
    data = folder / FOLDER
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        whole = np.array(index.view(classifier).matrix().vectors)
        shapes.draw(shapes.scene("red heart"), 3).save(folder / "new.png")
        index.update(classifier.encoder)
        grown = np.array(index.view(classifier).matrix().vectors)
        np.testing.assert_array_equal(grown[:6], whole)
        assert len(grown) == 7
        for damage in (
            lambda: (data / "vectors-1.f16").write_bytes(b"short"),
            lambda: (data / "vectors-1.note").write_text("{"),
            lambda: (data / "vectors-1.ids").unlink(),
            lambda: derived.clear(data, 1),
        ):
            damage()
            np.testing.assert_array_equal(index.view(classifier).matrix().vectors, grown)


def test_what_a_killed_process_wrote_behind_its_last_note_is_written_over(
    folder: Path, classifier: unseen.Classifier
) -> None:
    data = folder / FOLDER
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        whole = np.array(index.view(classifier).matrix().vectors)
        with (data / "vectors-1.f16").open("ab") as file:
            file.write(b"half a row")
        shapes.draw(shapes.scene("red heart"), 3).save(folder / "new.png")
        index.update(classifier.encoder)
        grown = index.view(classifier).matrix()
        np.testing.assert_array_equal(grown.vectors[:6], whole)
        assert len(grown) == 7 and abs(np.linalg.norm(np.float32(grown.vectors[6])) - 1) < 1e-3


# the file


def test_it_is_readable_with_sqlite_alone(folder: Path, classifier: unseen.Classifier) -> None:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
    database = sqlite3.connect(folder / FOLDER / FILE)
    path, blob, dimension = database.execute(
        "SELECT path, embedding, dimension FROM file JOIN picture USING (content) "
        "JOIN model ON model.id = picture.model ORDER BY path LIMIT 1"
    ).fetchone()
    assert path == "part 0/blue square.png"
    vector = np.frombuffer(blob, dtype="<f2").astype(np.float32)
    assert vector.shape == (dimension,)
    np.testing.assert_allclose(vector, classifier.encode_images([folder / path])[0], atol=5e-4)
    assert database.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_an_older_file_is_migrated_and_a_later_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.sqlite"
    schema.connect(path).close()
    more = (*schema.MIGRATIONS, "ALTER TABLE file ADD COLUMN note TEXT;\nSELECT 1")
    monkeypatch.setattr(schema, "MIGRATIONS", more)
    monkeypatch.setattr(schema, "VERSION", len(more))
    database = schema.connect(path)
    database.execute("SELECT note FROM file")
    assert database.execute("PRAGMA user_version").fetchone() == (len(more),)
    database.close()
    monkeypatch.undo()
    with pytest.raises(unseen.StoreError, match="a later version of unseen"):
        schema.connect(path)


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.sqlite"
    schema.connect(path).close()
    more = (*schema.MIGRATIONS, "ALTER TABLE file ADD COLUMN note TEXT;\nNONSENSE")
    monkeypatch.setattr(schema, "MIGRATIONS", more)
    monkeypatch.setattr(schema, "VERSION", len(more))
    with pytest.raises(unseen.StoreError):
        schema.connect(path)
    monkeypatch.undo()
    database = schema.connect(path)
    assert "note" not in [row[1] for row in database.execute("PRAGMA table_info(file)")]
    database.close()


def test_no_index_and_nodatabase(tmp_path: Path) -> None:
    with pytest.raises(unseen.StoreError, match="there is no index here"):
        unseen.Index(tmp_path, create=False)
    with pytest.raises(unseen.SourceError, match="no such folder"):
        unseen.Index(tmp_path / "nowhere")
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE).write_bytes(b"this is no database at all" * 99)
    with pytest.raises(unseen.StoreError, match="not a valid index, or it is damaged"):
        unseen.Index(tmp_path)
    (tmp_path / FOLDER / FILE).unlink()
    (tmp_path / FOLDER / FILE).mkdir()
    with pytest.raises(unseen.StoreError, match="cannot be opened"):
        unseen.Index(tmp_path)


def test_it_is_found_from_below(folder: Path, tmp_path: Path) -> None:
    assert find(folder) is None
    unseen.Index(folder).close()
    assert find(folder / "part 0") == folder and find(folder) == folder
    assert find(tmp_path) is None


def test_exif_time_and_upright_size(tmp_path: Path, classifier: unseen.Classifier) -> None:
    image = Image.new("RGB", (60, 40), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    image.save(tmp_path / "a.jpg", exif=exif)
    with unseen.Index(tmp_path) as index:
        index.update(classifier.encoder)
        assert rows(index, "SELECT width, height, taken FROM picture") == [
            (40, 60, "2024-05-06T07:08:09")
        ]
    assert json.dumps(index.root.name)
