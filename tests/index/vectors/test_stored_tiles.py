"""An index keeps tiles as rows of one picture: a search says where, and counts stay those of
pictures."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unseen
from corners import on_thing, scene
from running import unseen as run
from unseen.errors import ImageError, StoreError
from unseen.index.stored import index_of
from unseen.tiles import stream_tiles

QUERY = "a photo of a red circle"


@pytest.fixture(scope="module")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One picture with the thing, three without, a copy, and one that is broken."""
    root = tmp_path / "photos"
    root.mkdir()
    scene().save(root / "with.png")
    for seed in range(3):
        scene(None, seed=seed).save(root / f"without {seed}.png")
    (root / "copy.png").write_bytes((root / "with.png").read_bytes())
    (root / "broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture
def index(folder: Path, classifier: unseen.Classifier) -> Iterator[unseen.Index]:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        yield index


def test_a_search_in_tiles_says_where(index: unseen.Index, classifier: unseen.Classifier) -> None:
    view = index.view(classifier)
    before = {hit.paths: hit.cosine for hit in view.search(QUERY)}
    stored = index.keep_tiles(classifier.encoder, "2x2")
    assert (stored.tiling, stored.pictures, stored.tiles, stored.failed) == ("2x2", 4, 24, 0)
    hits = view.search(QUERY, tiles="auto")
    assert hits[0].paths == ("copy.png", "with.png")
    assert on_thing(hits[0].tile)
    assert len(hits) == 4 == len({hit.id for hit in hits})
    for hit in hits:
        assert hit.cosine >= before[hit.paths] - 1e-6
        assert hit.tile is not None or hit.cosine == pytest.approx(before[hit.paths])
    assert len(view.search(QUERY, top=2, tiles="2x2")) == 2
    assert {hit.paths: hit.cosine for hit in view.search(QUERY)} == before
    assert all(hit.tile is None for hit in view.search(QUERY))


def test_its_cosine_is_that_of_the_tile_that_it_names(
    index: unseen.Index, classifier: unseen.Classifier, folder: Path
) -> None:
    index.keep_tiles(classifier.encoder, "3x3")
    hit = index.view(classifier).search(QUERY, tiles="3x3")[0]
    assert hit.tile is not None
    with Image.open(folder / "with.png") as image:
        row = classifier.encode_images([image.convert("RGB").crop(hit.tile)])[0]
    expected = float(row @ classifier.encode_texts([QUERY])[0])
    assert hit.cosine == pytest.approx(expected, abs=2e-3)  # kept as 16 bits a number


def test_counts_and_groups_are_of_pictures(
    index: unseen.Index, classifier: unseen.Classifier
) -> None:
    view = index.view(classifier)
    duplicates, rows = view.duplicates(), len(view.matrix())
    total = view.page(0, 100)[0]
    index.keep_tiles(classifier.encoder, "pyramid")
    view = index.view(classifier)
    assert view.duplicates() == duplicates and len(view.matrix()) == rows == 4
    assert view.page(0, 100)[0] == total
    facts = index.info()
    assert (facts.models[0].pictures, facts.models[0].errors, facts.files) == (4, 1, 6)
    assert facts.tiles[view.row.id].tiles == 4 * 21
    assert "84 tiles (pyramid) of 4 pictures" in str(facts)
    assert facts.to_dict()["models"][0]["tiles"] == 84


def test_only_new_pictures_are_divided_and_another_tiling_takes_their_place(
    index: unseen.Index, classifier: unseen.Classifier, folder: Path
) -> None:
    encoder = classifier.encoder
    assert index.keep_tiles(encoder, "2x2").new == 4
    assert index.keep_tiles(encoder, "2x2").new == 0
    view = index.view(classifier)
    assert view.search(QUERY, tiles="2x2")[0].tile is not None
    scene(seed=7).save(folder / "new.png")
    index.update(encoder)
    assert index.keep_tiles(encoder, "2x2").new == 1
    assert {hit.paths[0] for hit in view.search(QUERY, top=2, tiles="2x2")} == {
        "copy.png",
        "new.png",
    }
    stored = index.keep_tiles(encoder, "3x3")
    assert (stored.tiling, stored.new, stored.tiles) == ("3x3", 5, 75)
    tile = view.search(QUERY, tiles="3x3")[0].tile
    assert tile is not None and tile[2] - tile[0] == 103
    with pytest.raises(StoreError, match="keeps only 3x3 tiles"):
        view.search(QUERY, tiles="2x2")
    for name in ("with.png", "copy.png", "new.png"):
        (folder / name).unlink()
    index.update(encoder)
    index.prune()
    assert index.info().tiles[view.row.id].pictures == 3
    assert len(view.search(QUERY, tiles="3x3")) == 3


def test_an_index_without_tiles_says_how_to_make_them(
    index: unseen.Index, classifier: unseen.Classifier
) -> None:
    with pytest.raises(StoreError, match=r"keeps no tiles of .*unseen index .* --tiles auto"):
        index.view(classifier).search(QUERY, tiles="auto")
    with pytest.raises(ImageError, match="unknown tiles '5x5'"):
        index.keep_tiles(classifier.encoder, "5x5")
    tables = "SELECT count(*) FROM sqlite_master WHERE name = 'tile'"
    with closing(sqlite3.connect(index.file)) as database:
        assert database.execute(tables).fetchone() == (0,)


def test_classify_takes_the_tiles_of_an_index(
    index: unseen.Index, classifier: unseen.Classifier, folder: Path
) -> None:
    encoder, name = classifier.encoder, str(folder)
    assert index_of(name, encoder, "2x2") is None  # it has none
    index.keep_tiles(encoder, "2x2")
    assert index_of(name, encoder, "2x2") == folder and index_of(name, encoder, "3x3") is None
    direct = {e.name: e for e in stream_tiles(encoder, folder, "2x2")}
    for encoded in index.view(classifier).encoded(tiles=True):
        other = direct[str(folder / encoded.name)]
        assert (encoded.error is None) == (other.error is None)
        if encoded.tiles is not None and other.tiles is not None:
            assert encoded.tiles.boxes == other.tiles.boxes
            np.testing.assert_allclose(encoded.tiles.embeddings, other.tiles.embeddings, atol=2e-3)


def test_from_the_command_line(folder: Path, shapes_clip: Path, tmp_path: Path) -> None:
    made = run("index", folder, "-m", shapes_clip, "--tiles", "2x2", code=1)  # one is broken
    assert "24 tiles (2x2) of 4 pictures" in made.stderr
    hits = run("search", QUERY, "--index", folder, "--tiles", "auto", "--json")
    first = json.loads(hits.stdout)[0]
    assert on_thing(first["tile"])
    lines = run("search", QUERY, "--index", folder, "--tiles", "auto", "--top", "1").stdout
    assert lines.rstrip().endswith("(and 1 copies)") and "  in 237,109-384,256" in lines
    page = tmp_path / "page.html"
    run("search", QUERY, "--index", folder, "--tiles", "auto", "--html", page)
    assert "in 237,109-384,256" in page.read_text("utf-8")
    answers = run(
        "classify", folder, "-l", "a red circle,a blue square", "-m", shapes_clip,
        "--tiles", "2x2", "--multi", "--jsonl", code=1,
    )  # fmt: skip
    assert "from the index" in answers.stderr
    rows = [json.loads(line) for line in answers.stdout.splitlines()]
    places = {
        row["source"]: scored.get("tile")
        for row in rows
        for scored in row.get("ranking", ())
        if scored["label"] == "a red circle"
    }
    assert on_thing(places[str(folder / "with.png")])
