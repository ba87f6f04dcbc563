"""Near-duplicates and clusters."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

import unseen
from blobs import blobs, matrix_of
from unseen.index.vectors import clustering


def test_groups_are_near_their_first() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(size=(700, 32))  # more than are compared at once
    rows = np.concatenate([base, base[:5] + 0.01 * rng.normal(size=(5, 32)), base[:1]])
    matrix = matrix_of(rows)
    groups = clustering.duplicates(matrix, np.arange(len(rows)), 0.97)
    assert [group.tolist() for group in groups] == [
        [0, 700, 705], [1, 701], [2, 702], [3, 703], [4, 704]
    ]  # fmt: skip
    backwards = clustering.duplicates(matrix, np.arange(len(rows))[::-1], 0.97)
    assert [group[0] for group in backwards] == [705, 704, 703, 702, 701]


def test_a_group_does_not_drift() -> None:
    """A chain whose neighbours are near and whose ends are not: the first decides."""
    angles = np.radians(np.arange(0, 60, 5))
    rows = np.stack([np.cos(angles), np.sin(angles)], 1)
    matrix = matrix_of(rows)
    for group in clustering.duplicates(matrix, np.arange(len(rows)), np.cos(np.radians(11))):
        assert group.max() - group.min() <= 2


@pytest.mark.parametrize("k", [2, 5, 9])
def test_clusters_are_those_of_scikit_learn(k: int) -> None:
    rows, truth = blobs(k, 60, 0.3)
    matrix = matrix_of(rows)
    cluster_of, centres = clustering.clusters(matrix, k)
    judge = KMeans(k, n_init=10, random_state=0).fit_predict(matrix.vectors.astype(np.float32))
    assert (
        adjusted_rand_score(judge, cluster_of) > 0.99
        and adjusted_rand_score(truth, cluster_of) > 0.99
    )
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("k", [3, 6, 12])
def test_how_many_is_found(k: int) -> None:
    """Centres at right angles, so that it is clear how many there are."""
    rng = np.random.default_rng(k)
    truth = np.repeat(np.arange(k), 50)
    rows = np.eye(k, 32)[truth] + 0.06 * rng.normal(size=(len(truth), 32))
    cluster_of, centres = clustering.clusters(matrix_of(rows))
    assert len(centres) == k and adjusted_rand_score(truth, cluster_of) > 0.99


def test_the_largest_comes_first_and_all_is_repeatable() -> None:
    rows, _ = blobs(3, 40, 0.2)
    rows = np.concatenate([rows, rows[:40] + 0.01])
    first, again = (clustering.clusters(matrix_of(rows), 3)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.bincount(first).tolist() == [80, 40, 40]


def test_few_pictures() -> None:
    rows, _ = blobs(2, 1, 0.1)
    cluster_of, centres = clustering.clusters(matrix_of(rows))
    assert len(cluster_of) == 2 and len(centres) >= 1
    assert len(clustering.clusters(matrix_of(rows), 9)[1]) == 2


def test_names_tell_clusters_apart() -> None:
    centres = np.eye(3, 4, dtype=np.float32)
    texts = np.float32([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0.6, 0.55, 0.55, 0]])
    words = clustering.names(centres, ["cat", "dog", "bird", "animal"], texts, 1)
    assert words == [["cat"], ["dog"], ["bird"]]  # "animal" fits all, so it names none


def test_photographs_saved_again_are_duplicates_and_others_are_not(
    photographs: Path, tmp_path: Path
) -> None:
    """With the built-in model: smaller, darker in quality, another format; 30 photographs."""
    paths = sorted(photographs.rglob("*.jpg"))[::4]
    for path in paths:
        image = Image.open(path).convert("RGB")
        image.save(tmp_path / path.name)
        smaller = image.resize((image.width * 3 // 4, image.height * 3 // 4))
        smaller.save(tmp_path / f"small {path.name}", quality=70)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        (tmp_path / f"{path.stem}.png").write_bytes(buffer.getvalue())
    encoder = unseen.load().encoder
    with unseen.Index(tmp_path) as index:
        index.update(encoder)
        groups = index.view(encoder).duplicates(0.9)
    right = 0
    for group in groups:
        stems = {Path(p).stem.removeprefix("small ") for hit in group for p in hit.paths}
        assert len(stems) == 1, stems  # two photographs are never one
        right += sum(len(hit.paths) for hit in group)
    assert right >= 0.95 * 3 * len(paths)
