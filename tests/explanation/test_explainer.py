"""What an explanation says, on the trained fixture, and at the edges."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import checkpoints
import shapes
import unseen
from unseen.errors import ImageError, LabelError, ModelError
from unseen.explanation.masking import Masking, windows
from unseen.explanation.page import lines
from unseen.explanation.parts import OpenedPicture, PartsEncoder
from unseen.explanation.trust import Curve, Record, marked, order, record, remembered
from unseen.system.cache import build_folder

LABELS = shapes.labels()
PAIR = shapes.Scene(
    (shapes.Thing("red", "circle", "large"), shapes.Thing("blue", "square", "large")), "left of"
)


@pytest.fixture(scope="module")
def clf(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


def inside(explanation: unseen.Explanation, outline: np.ndarray) -> bool:
    assert explanation.map is not None
    y, x = np.unravel_index(np.argmax(explanation.map), explanation.map.shape)
    return bool(outline[y, x])


def test_two_things_each_label_peaks_on_its_own(clf: unseen.Classifier) -> None:
    hits = 0
    for seed in range(10):
        picture = shapes.draw(PAIR, seed)
        red, blue = shapes.outlines(PAIR, seed)
        for label, outline in (("a red circle", red), ("a blue square", blue)):
            hits += inside(clf.explain(picture, LABELS, label, method="parts"), outline)
    assert hits >= 18


def test_against_turns_the_map_around(clf: unseen.Classifier) -> None:
    picture = shapes.draw(PAIR, 3)
    one = clf.explain(picture, LABELS, "a red circle", "a blue square", method="parts")
    other = clf.explain(picture, LABELS, "a blue square", "a red circle", method="parts")
    assert one.map is not None and other.map is not None
    assert np.allclose(one.map, -other.map, atol=1e-4)
    assert one.against == "a blue square"
    with pytest.raises(LabelError, match="against itself"):
        clf.explain(picture, LABELS, "a blue square", "a blue square")


def test_the_map_is_what_the_sentence_says(clf: unseen.Classifier) -> None:
    picture = shapes.draw(shapes.scene("a red circle"), 5)
    explanation = clf.explain(picture, LABELS, method="parts")
    assert explanation.label == "a red circle" and explanation.exact
    assert explanation.probability == pytest.approx(
        clf.classify(picture, LABELS).probabilities["a red circle"], abs=1e-4
    )
    assert explanation.without is not None and explanation.only is not None
    assert explanation.without < explanation.probability
    assert 0.3 < (explanation.coverage or 0) < 1.3
    assert explanation.sentence.startswith("Without the marked tenth: a red circle ")
    assert "what speaks for a red circle rather than the others" in explanation.sentence


def test_taking_away_is_not_attending(clf: unseen.Classifier) -> None:
    """With every place visible the masked net is the net; without the thing its label falls."""
    source = clf.explainer().parts_encoder
    picture = source.open(shapes.draw(shapes.scene("a red circle"), 5))
    assert isinstance(picture, OpenedPicture)
    (parts,) = source.parts([picture])
    masking = clf.explainer().masking
    visible = np.ones((2, picture.geometry.cells), dtype=bool)
    outline = shapes.outlines(shapes.scene("a red circle"), 5)[0]
    visible[1] = ~outline.reshape(8, 8, 8, 8).any((1, 3)).ravel()
    whole, without = masking.embeddings(picture.pixels, visible)
    assert np.abs(whole - parts.embedding).max() < 1e-5
    compiled = clf.compile(LABELS)
    row = LABELS.index("a red circle")
    assert compiled.matrix[row] @ without < compiled.matrix[row] @ whole - 0.05


def test_drop_finds_the_thing(clf: unseen.Classifier) -> None:
    hits = 0
    for seed in range(5):
        red, _ = shapes.outlines(PAIR, seed)
        picture = shapes.draw(PAIR, seed)
        explanation = clf.explain(picture, LABELS, "a red circle", method="drop")
        assert explanation.method == "drop" and not explanation.exact
        hits += inside(explanation, red)
    assert hits >= 4


@pytest.mark.parametrize("grid", [(7, 7), (8, 8), (14, 14), (16, 16), (24, 24), (3, 9), (1, 1)])
def test_windows_cover_every_cell(grid: tuple[int, int]) -> None:
    cover = windows(grid)
    assert cover.any(0).all() and cover.any(1).all()
    assert cover.shape[1] == grid[0] * grid[1]


def test_shuffled_weights_give_another_map(
    clf: unseen.Classifier, shapes_clip: Path, tmp_path: Path
) -> None:
    """A map that does not change with the weights explains nothing (Adebayo et al. 2018,
    arXiv:1810.03292). One shuffled net may agree with ours by chance; several do not."""
    weights = load_file(shapes_clip / "model.safetensors")
    pictures = [shapes.draw(PAIR, seed) for seed in range(4)]
    direction = clf.explainer().contrast(
        clf.compile(LABELS), clf.compile(LABELS).matrix[0], "a red circle"
    )
    correlations = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        shuffled = {
            name: rng.permutation(array.ravel()).reshape(array.shape)
            if name.startswith("vision_model.")
            else array
            for name, array in weights.items()
        }
        folder = tmp_path / str(seed)
        shutil.copytree(shapes_clip, folder)
        save_file(shuffled, folder / "model.safetensors")
        encoders = [PartsEncoder(c.encoder) for c in (clf, unseen.load(folder))]
        for picture in pictures:
            maps = [scores(encoder, picture, direction.direction) for encoder in encoders]
            correlations.append(float(np.corrcoef(maps)[0, 1]))
    assert abs(np.mean(correlations)) <= 0.3, correlations


def scores(encoder: PartsEncoder, picture: Image.Image, direction: np.ndarray) -> np.ndarray:
    opened = encoder.open(picture)
    assert isinstance(opened, OpenedPicture)
    return encoder.parts([opened])[0].scores(direction)[0]


def test_the_method_is_chosen_once_and_remembered(
    clf: unseen.Classifier, shapes_clip: Path, fresh_home: Path
) -> None:
    fresh = unseen.load(shapes_clip)
    pictures = [shapes.draw(PAIR, seed) for seed in range(3)]
    explainer, compiled = fresh.explainer(), fresh.compile(LABELS)
    calls: list[tuple[int, int]] = []
    first = list(
        explainer.explain_many(
            pictures, compiled, extras=(), progress=lambda d, n: calls.append((d, n))
        )
    )
    assert calls == [(i, 5) for i in range(5)]  # three, and two that ship
    found = explainer.record(compiled)
    assert found.method == first[0].method in ("parts", "drop")
    assert {*found.gaps} == {"parts", "drop", "random"} and found.pictures >= 3
    assert found.gaps[found.method] > found.gaps["random"] + 0.1
    calls.clear()
    again = unseen.load(shapes_clip).explainer()
    list(
        again.explain_many(
            pictures, compiled, extras=(), progress=lambda d, n: calls.append((d, n))
        )
    )
    assert calls == []


def test_a_method_that_does_not_earn_trust_is_not_drawn(fresh_home: Path) -> None:
    control = {"random": Curve(0.6, 0.55)}
    poor = {"parts": Curve(0.5, 0.54), "drop": Curve(0.6, 0.5), **control}
    assert record("aa", lambda: [poor]).method == "none"
    assert record("bb", list).method == "none"
    good = {"parts": Curve(0.1, 0.9), "drop": Curve(0.0, 0.9), **control}
    assert record("cc", lambda: [good, good]).method == "drop"
    assert record("cc", lambda: [poor]).method == "drop"  # remembered
    assert record("aa", lambda: [good]).method == "drop"  # one poor picture was not
    assert record("dd", lambda: [poor] * 6).method == "none"
    assert record("dd", lambda: [good]).method == "none"


def keep_record(clf: unseen.Classifier, gap: float) -> None:
    curves = {"parts": Curve(0.5, 0.5 + gap), "random": Curve(0.9, 0.2)}
    assert record(clf.model.fingerprint, lambda: [curves] * 6).method == "parts"


def test_a_map_that_shows_where_and_not_how_much_says_so(
    shapes_clip: Path, fresh_home: Path
) -> None:
    """Its gap is above that of random maps, and not above 0: drawn, with a caution everywhere."""
    clf = unseen.load(shapes_clip)
    keep_record(clf, -0.22)
    picture = shapes.draw(PAIR, 1)
    for method in ("auto", "parts"):  # a method that is named is no excuse
        explanation = clf.explain(picture, LABELS, "a red circle", method=method)
        assert explanation.map is not None
        (caution,) = (note for note in explanation.notes if "where, not how much" in note)
        assert "-0.22" in caution and "-0.70" in caution
        assert caution in lines(explanation)  # the terminal and the page
        assert caution in explanation.to_dict()["notes"]
        assert caution in explanation._repr_html_()


def test_a_map_whose_places_hold_the_answer_has_no_caution(
    shapes_clip: Path, fresh_home: Path
) -> None:
    clf = unseen.load(shapes_clip)
    assert not clf.explain(shapes.draw(PAIR, 1), LABELS, method="parts").notes  # not measured
    assert remembered(clf.model.fingerprint) is None
    keep_record(clf, 0.01)
    assert not clf.explain(shapes.draw(PAIR, 1), LABELS).notes
    assert not clf.explain(shapes.draw(PAIR, 1), LABELS, method="parts").notes


def test_the_caution_of_a_record() -> None:
    measured = Record("drop", {"parts": -0.35, "drop": -0.1, "random": -0.4}, 6)
    assert "where, not how much" in (measured.caution("drop") or "")
    assert "do not rely on it" in (measured.caution("parts") or "")  # 0.05 above random maps
    assert Record("drop", {"drop": 0.0, "random": -0.4}, 6).caution("drop") is not None
    assert Record("drop", {"drop": 0.3, "random": -0.4}, 6).caution("drop") is None
    assert Record("parts", {"parts": 0.3}, 6).caution("drop") is None  # not measured
    assert Record("none", {}, 0).caution("parts") is None


def test_records_of_before_are_read(shapes_clip: Path, fresh_home: Path) -> None:
    """The form of the file in the cache stays."""
    clf = unseen.load(shapes_clip)
    text = '{"method": "parts", "gaps": {"parts": -0.2, "random": -0.6}, "pictures": 7}'

    def write(folder: Path) -> None:
        (folder / "method.json").write_text(text)

    build_folder(f"{clf.model.fingerprint}-explained-v1", write)
    explanation = clf.explain(shapes.draw(PAIR, 1), LABELS)
    assert explanation.method == "parts"
    assert any("-0.20; of random maps -0.60" in note for note in explanation.notes)


def test_a_model_without_a_map_still_says_words_and_concepts(clf: unseen.Classifier) -> None:
    explainer = clf.explainer()
    picture = explainer.parts_encoder.open(shapes.draw(PAIR, 1))
    assert isinstance(picture, OpenedPicture)
    compiled = clf.compile(LABELS)
    explanation = explainer.explain_opened(picture, compiled, method="none", extras=("words",))
    assert explanation.map is None and explanation.mask() is None and explanation.boxes() == []
    assert "cannot be explained by place" in explanation.sentence
    assert explanation.words
    assert explanation.to_image().size == (64, 64)
    assert json.loads(json.dumps(explanation.to_dict()))["method"] == "none"


def test_rows_that_are_kept_answer_any_label(clf: unseen.Classifier) -> None:
    """No network runs: what a hover over a label asks for."""
    explainer, compiled = clf.explainer(), clf.compile(LABELS)
    picture = explainer.parts_encoder.open(shapes.draw(PAIR, 2))
    assert isinstance(picture, OpenedPicture)
    (parts,) = explainer.parts_encoder.parts([picture])
    kept = replace(parts, rows=parts.rows.astype(np.float16).astype(np.float32))
    for label in ("a red circle", "a blue square"):
        contrast = explainer.contrast(compiled, kept.embedding, label)
        quick = explainer.from_rows(kept, compiled, contrast)
        full = clf.explain(shapes.draw(PAIR, 2), LABELS, label, method="parts")
        assert quick.scores is not None and full.scores is not None
        assert np.abs(quick.scores - full.scores).max() < 0.02 * np.abs(full.scores).max()


# edges


def test_a_hundred_labels_and_one_that_is_absent(clf: unseen.Classifier) -> None:
    labels = [
        *LABELS,
        *(f"a {size} {label[2:]}" for size in ("small", "large") for label in LABELS),
    ]
    picture = shapes.draw(shapes.scene("a red circle"), 1)
    explanation = clf.explain(picture, labels[:100], "a green cross", method="parts")
    assert explanation.label == "a green cross"
    assert explanation.probability is not None and explanation.probability < 0.5
    assert explanation.sentence
    with pytest.raises(LabelError, match="'a lynx' is not among the labels"):
        clf.explain(picture, LABELS, "a lynx")


def test_few_labels_are_set_against_everyday_things(clf: unseen.Classifier) -> None:
    explanation = clf.explain(shapes.draw(PAIR, 1), ["a red circle"], method="parts")
    assert explanation.map is not None and np.abs(explanation.map).max() > 0


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2, 2)])
def test_tiny_pictures(clf: unseen.Classifier, size: tuple[int, int]) -> None:
    explanation = clf.explain(Image.new("RGB", size, "red"), LABELS, method="parts")
    assert explanation.map is not None and explanation.map.shape == size[::-1]
    assert np.isfinite(explanation.map).all()
    assert explanation.to_image().width >= 1
    assert explanation.sentence


def test_a_picture_cropped_to_a_third(clf: unseen.Classifier) -> None:
    wide = Image.new("RGB", (192, 64), "white")
    wide.paste(shapes.draw(shapes.scene("a red circle"), 5), (64, 0))
    explanation = clf.explain(wide, LABELS, method="parts")
    assert explanation.cropped == pytest.approx(2 / 3, abs=0.02)
    assert any("did not see 67%" in note for note in explanation.notes)
    assert explanation.map is not None and (explanation.map[:, :62] == 0).all()
    assert explanation.to_image().width == 384  # twice as large, for the scale


def test_a_broken_file_is_a_row(clf: unseen.Classifier, tmp_path: Path) -> None:
    broken = tmp_path / "a.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing")
    shapes.draw(PAIR, 1).save(tmp_path / "b.png")
    with pytest.raises(ImageError):
        clf.explain(broken, LABELS, method="parts")
    rows = list(
        clf.explainer().explain_many(tmp_path, clf.compile(LABELS), method="parts", extras=())
    )
    assert [row.ok for row in rows] == [False, True]
    assert rows[0].to_dict() == {"source": str(broken), "error": rows[0].error}
    assert rows[0].error in rows[0]._repr_html_()


def test_int8_is_explained_through_fp32_and_says_so(shapes_clip: Path) -> None:
    small = unseen.load(shapes_clip, precision="int8")
    picture = shapes.draw(PAIR, 1)
    explanation = small.explain(picture, LABELS, "a red circle", method="parts")
    full = unseen.load(shapes_clip).explain(picture, LABELS, "a red circle", method="parts")
    assert any("int8" in note and "fp32" in note for note in explanation.notes)
    assert explanation.scores is not None and full.scores is not None
    assert np.abs(explanation.scores - full.scores).max() < 1e-4


def test_nets_without_tokens_have_no_drop() -> None:
    clf = unseen.load()
    with pytest.raises(ModelError, match="no tokens to drop"):
        clf.explain("examples/cat.jpg", ["cat", "dog", "castle"], method="drop")
    with pytest.raises(ModelError, match="unknown method 'grad'; choose one of: auto, parts, drop"):
        clf.explain("examples/cat.jpg", ["cat", "dog", "castle"], method="grad")


def test_builtin_is_masked_by_blur() -> None:
    clf = unseen.load()
    source = clf.explainer().parts_encoder
    picture = source.open("examples/cat.jpg")
    assert isinstance(picture, OpenedPicture)
    masking = Masking(clf.encoder, source.grid)
    visible = np.stack([np.ones(162, bool), np.zeros(162, bool)])
    whole, blurred = masking.embeddings(picture.pixels, visible)
    assert np.abs(whole - source.parts([picture])[0].embedding).max() < 1e-4
    cat = clf.encode_texts(["a photo of a cat"])[0]
    assert blurred @ cat < whole @ cat
    explanation = clf.explain("examples/cat.jpg", ["cat", "dog", "castle"], method="parts")
    assert explanation.map is not None and explanation.map.shape == (750, 1000)
    assert any("first order" in note for note in explanation.notes)


def test_order_begins_where_the_map_says_most(clf: unseen.Classifier) -> None:
    source = clf.explainer().parts_encoder
    picture = source.open(shapes.draw(PAIR, 1))
    assert isinstance(picture, OpenedPicture)
    scores = np.arange(64, dtype=np.float32)
    assert order(picture.geometry, scores)[:2].tolist() == [63, 62]
    assert len(marked(picture.geometry, scores)) == 6


def test_a_counterfactual_is_verified(clf: unseen.Classifier) -> None:
    picture = shapes.draw(shapes.scene("a red circle"), 5)
    explanation = clf.explain(picture, LABELS, method="parts")
    change = explanation.counterfactual
    assert change is not None and change.label != "a red circle"
    source = clf.explainer().parts_encoder
    opened = source.open(picture)
    assert isinstance(opened, OpenedPicture) and explanation.scores is not None
    visible = np.ones((1, 64), bool)
    visible[0, order(opened.geometry, explanation.scores)[: change.cells]] = False
    (embedding,) = clf.explainer().masking.embeddings(opened.pixels, visible)
    assert LABELS[int((clf.compile(LABELS).matrix @ embedding).argmax())] == change.label


def test_an_explanation_is_plain_data_and_a_picture(clf: unseen.Classifier) -> None:
    explanation = clf.explain(shapes.draw(PAIR, 1), LABELS, "a red circle", method="parts")
    plain = json.loads(json.dumps(explanation.to_dict()))
    assert plain["size"] == [64, 64] and np.array(plain["grid"]).shape == (1, 8, 8)
    html = explanation._repr_html_()
    assert "data:image/png;base64," in html and 'alt="Map of' in html
    assert explanation.map is not None and explanation.map.dtype == np.float32
    region = explanation.mask()
    assert region is not None and region.shape == (64, 64) and 0 < region.mean() < 0.5
    assert explanation.boxes()
    drawn = np.asarray(explanation.to_image().convert("RGB")).astype(int)
    y, x = np.unravel_index(np.argmax(explanation.map), (64, 64))
    scale = drawn.shape[1] // 64
    pixel = drawn[y * scale + scale // 2, x * scale + scale // 2]
    assert pixel[0] > pixel[2] + 40  # red where most speaks for it


def test_random_checkpoints_are_explained_too(tmp_path: Path) -> None:
    checkpoints.clip(tmp_path)
    clf = unseen.load(tmp_path)
    explanation = clf.explain(shapes.draw(PAIR, 1), LABELS)
    assert explanation.method in ("parts", "drop", "none")
    assert explanation.sentence
