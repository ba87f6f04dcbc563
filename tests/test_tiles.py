"""Pictures and their tiles: what is encoded and cached, what wins, and what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import shapes
import unseen
from corners import OTHERS, THING, on_thing, scene
from running import unseen as run
from unseen.encoder import Encoder
from unseen.errors import ImageError, LabelError, UnseenWarning
from unseen.images.tiling import tile_boxes
from unseen.prediction.calibration_file import refuse_for_tiles
from unseen.results import read
from unseen.tiles import stream_tiles

LABELS = [THING, *OTHERS]
ORIENTATIONS = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip


class Counting(Encoder):
    """Remembers how many arrays each batch of the network had."""

    batches: list[int]

    def encode_pixels(self, pixels: Sequence[object]) -> np.ndarray:  # type: ignore[override]
        self.batches.append(len(pixels))
        return super().encode_pixels(pixels)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


def counting(shapes_clip: Path) -> Counting:
    encoder = Counting.load(unseen.LoadOptions(str(shapes_clip)))
    assert isinstance(encoder, Counting)
    encoder.batches = []
    return encoder


def tile_of(prediction: unseen.Prediction, label: str) -> tuple[int, int, int, int] | None:
    return next(scored.tile for scored in prediction.ranking if scored.label == label)


# what is encoded


def test_the_rows_are_those_of_the_pieces(classifier: unseen.Classifier) -> None:
    image = scene()
    (encoded,) = stream_tiles(classifier.encoder, [image], "pyramid")
    assert encoded.tiles is not None
    boxes = tile_boxes(image.size, "pyramid", 64)
    assert encoded.tiles.boxes == boxes
    pieces = classifier.encode_images([image, *(image.crop(box) for box in boxes)])
    np.testing.assert_allclose(encoded.embedding, pieces[0], atol=1e-6)
    np.testing.assert_allclose(encoded.tiles.embeddings, pieces[1:], atol=1e-6)


def test_no_batch_is_larger_than_without_tiles_and_each_tile_is_cached(
    shapes_clip: Path, fresh_home: Path, tmp_path: Path
) -> None:
    encoder = counting(shapes_clip)
    for number in range(3):
        scene(seed=number).save(tmp_path / f"{number}.png")
    first = list(stream_tiles(encoder, tmp_path, "pyramid", batch_size=5))
    count = 3 + sum(len(e.tiles.boxes) for e in first if e.tiles)
    assert max(encoder.batches) == 5 and sum(encoder.batches) == count
    again = list(stream_tiles(encoder, tmp_path, "pyramid", batch_size=5))
    assert sum(encoder.batches) == count  # nothing was encoded again
    for one, other in zip(first, again, strict=True):
        assert one.tiles is not None and other.tiles is not None
        assert one.tiles.boxes == other.tiles.boxes
        np.testing.assert_array_equal(one.embedding, other.embedding)
        np.testing.assert_array_equal(one.tiles.embeddings, other.tiles.embeddings)
    list(stream_tiles(encoder, tmp_path, "2x2"))
    assert sum(encoder.batches) == count  # the larger tiles of the pyramid are the same ones


def test_the_whole_is_what_it_is_without_tiles(
    classifier: unseen.Classifier, fresh_home: Path, photographs: Path
) -> None:
    files = sorted(photographs.glob("cat/*.jpg"))[:2]
    plain = classifier.encode_images(files)
    for row, encoded in zip(plain, stream_tiles(classifier.encoder, files, "2x2"), strict=True):
        np.testing.assert_array_equal(row, encoded.embedding)


def test_a_broken_picture_is_a_row_with_its_error(
    classifier: unseen.Classifier, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    Image.new("RGB", (1, 1), "red").save(tmp_path / "b.png")
    broken, tiny = classifier.classify_many(tmp_path, LABELS, tiles="3x3")
    assert broken.source.endswith("a.png") and "not a picture" in str(broken.error)
    assert tiny.ok and tiny.tile is None


def test_an_unknown_tiling_is_an_error_at_once(classifier: unseen.Classifier) -> None:
    with pytest.raises(ImageError, match="choose one of: auto, 2x2, 3x3, pyramid"):
        classifier.classify_many(["missing.png"], LABELS, tiles="9x9")


# what wins


@pytest.mark.parametrize("multi", [False, True])
def test_a_thing_in_the_corner_is_seen_and_placed(
    classifier: unseen.Classifier, multi: bool
) -> None:
    prediction = classifier.classify(scene(), LABELS, tiles="2x2", multi_label=multi)
    assert on_thing(tile_of(prediction, "a red circle"))
    if not multi:
        assert prediction.label == "a red circle" and prediction.tile is not None
    row = prediction.to_dict()
    place = next(s for s in row["ranking"] if s["label"] == "a red circle")
    assert place["tile"] == list(tile_of(prediction, "a red circle") or ())


def test_where_nothing_is_small_the_answer_is_that_without_tiles(
    classifier: unseen.Classifier,
) -> None:
    image = shapes.draw(shapes.scene("green triangle"), 3, 256)
    plain = classifier.classify(image, LABELS)
    tiled = classifier.classify(image, LABELS, tiles="2x2")
    assert tiled.label == plain.label == "a green triangle"


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_tile_lies_in_the_upright_picture(
    classifier: unseen.Classifier, orientation: int
) -> None:
    """The same picture, stored turned, with the tag that turns it back."""
    upright = scene()
    turn = ORIENTATIONS[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "PNG", exif=exif)
    with Image.open(io.BytesIO(file.getvalue())) as image:
        back = ImageOps.exif_transpose(image).convert("RGB")
    assert np.array_equal(np.asarray(back), np.asarray(upright))
    expected = classifier.classify(upright, LABELS, tiles="2x2")
    turned = classifier.classify(file.getvalue(), LABELS, tiles="2x2")
    assert turned.tile == expected.tile and on_thing(turned.tile)


# with what else there is


def test_what_was_learnt_of_whole_pictures_is_refused(
    classifier: unseen.Classifier, tmp_path: Path
) -> None:
    compiled = classifier.compile(LABELS)
    calibration = unseen.Calibration(
        classifier.model.name, classifier.model.fingerprint, tuple(LABELS), "", False, 9
    )
    for options in ({}, {"multi_label": True}):
        with pytest.raises(LabelError, match="learnt of whole pictures"):
            classifier.classify(scene(), LABELS, tiles="2x2", calibration=calibration, **options)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(LABELS))
    replace(calibration, temperature=2.0).save(tmp_path / "labels.calibration.json")
    with pytest.warns(UnseenWarning, match="is not used: it was learnt of whole pictures"):
        tiled = classifier.classify(scene(), labels, tiles="2x2")
    assert tiled == classifier.classify(scene(), LABELS, tiles="2x2")
    refuse_for_tiles(None, labels, compiled)  # nothing to say
    with pytest.raises(LabelError, match="tiles cannot be combined with transductive"):
        unseen.classify_to_file(
            classifier, [scene()], LABELS, tmp_path / "a.jsonl", transductive=True, tiles="2x2"
        )


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_file_of_answers_has_the_tile_and_goes_on_with_the_same_only(
    classifier: unseen.Classifier, tmp_path: Path, kind: str
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    scene().save(pictures / "a.png")
    labels, path = LABELS, tmp_path / f"answers.{kind}"
    unseen.classify_to_file(classifier, pictures, labels, path, tiles="2x2")
    (prediction,) = read(path)
    assert on_thing(prediction.tile)
    scene().save(pictures / "b.png")
    again = unseen.classify_to_file(classifier, pictures, labels, path, tiles="2x2", resume=True)
    assert (again.earlier, again.pictures) == (1, 1)
    for tiles in ("3x3", None):
        with pytest.raises(unseen.SourceError, match="options"):
            unseen.classify_to_file(classifier, pictures, labels, path, tiles=tiles, resume=True)


def test_from_the_command_line(shapes_clip: Path, tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    arguments = (
        "classify",
        tmp_path / "a.png",
        "-m",
        shapes_clip,
        "-l",
        ",".join(LABELS),
    )
    (row,) = json.loads(run(*arguments, "--tiles", "2x2", "--json").stdout)
    assert row["label"] == "a red circle" and on_thing(row["tile"])
    text = run(*arguments, "--tiles", "2x2").stdout
    left, top, right, bottom = row["tile"]
    assert f" in {left},{top}-{right},{bottom}" in text
    assert "choose one of" in run(*arguments, "--tiles", "8x8", code=2).stderr
    assert "--transductive" in run(*arguments, "--tiles", "auto", "--transductive", code=2).stderr
