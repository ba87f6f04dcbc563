"""Distillation, and the files that it makes: onnxruntime by itself is the judge of these."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import shapes
import unseen
from unseen.errors import LabelError, ModelError
from unseen.learning.adapt import fit_adapter
from unseen.learning.distil.classifier import Distilled, DistilOptions, distil
from unseen.learning.distil.model_card import (
    Teacher,
    better_buy,
    figures,
    markdown,
    summary_lines,
)
from unseen.learning.distil.training import TrainingData, Trial
from unseen.learning.distil.training_set import TrainingPicture, TrainingSet
from unseen.models.families import distilled
from unseen.models.families.distilled import Student
from unseen.networks import distilled as networks
from unseen.networks.efficientnet import lite2_shapes
from unseen.prediction.score import softmax
from unseen.prediction.seen import example_digests
from unseen.runtimes import onnx_file

PHOTOGRAPHS = Path(__file__).parents[1] / "photographs"
NAMES = ("castle", "cat", "cathedral", "fish", "pliers", "solar panel")
SIDE = 128  # as quick as it gets
MADE = "2026-01-01T00:00:00+00:00"
QUICK = DistilOptions(side=SIDE, date=MADE)


def pictures() -> list[tuple[Path, int]]:
    return [
        (path, place)
        for place, name in enumerate(NAMES)
        for path in sorted((PHOTOGRAPHS / name.replace(" ", "_")).iterdir())
    ]


def training_pictures() -> list[TrainingPicture]:
    """Every third was reviewed; the teacher is fairly sure of all, and right."""
    k = len(NAMES)
    soft = 0.4 / k + 0.6 * np.eye(k, dtype=np.float32)
    return [
        TrainingPicture(path, soft[place], place if number % 3 == 0 else None, group=number)
        for number, (path, place) in enumerate(pictures())
    ]


def taught(**options: Any) -> Distilled:
    background = options.pop("background", ())
    training_set = TrainingSet(training_pictures(), NAMES, background)
    return distil(Teacher.of("builtin", None, None), training_set, replace(QUICK, **options))


@pytest.fixture(scope="module")
def made() -> Distilled:
    return taught()


@pytest.fixture(scope="module")
def file(made: Distilled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("distilled") / "small.onnx"
    path.write_bytes(made.content)
    return path


@pytest.fixture(scope="module")
def classifier(file: Path) -> unseen.Classifier:
    return unseen.load(file, exact=True)


def asked(file: Path, path: Path) -> dict[str, Any]:
    """What onnxruntime says of a picture that Pillow alone has prepared."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    with Image.open(path) as image:
        small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    names = [output.name for output in session.get_outputs()]
    found = session.run(None, {"images": np.asarray(small)[None]})
    return {name: value[0] for name, value in zip(names, found, strict=True)}


# the file


def test_the_file_says_of_itself_what_the_classifier_says(
    file: Path, classifier: unseen.Classifier
) -> None:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    assert labels == list(NAMES)
    for path, _ in pictures()[::5]:
        alone = asked(file, path)
        ours = {scored["label"]: scored["score"] for scored in classifier.classify(path)}
        np.testing.assert_allclose(
            [ours[name] for name in labels], alone["probabilities"], rtol=0, atol=2e-5
        )
        np.testing.assert_allclose(softmax(alone["logits"]), alone["probabilities"], atol=1e-6)
        embedding = classifier.encode_images([path])[0]
        np.testing.assert_allclose(embedding, alone["embedding"], rtol=0, atol=2e-5)
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)


def test_logits_longer_than_the_radius_are_cut_in_the_file_too(
    made: Distilled, file: Path, tmp_path: Path
) -> None:
    content = onnx_file.read(file)
    small = replace(Student.of(content.metadata, "it"), radius=0.5)
    path = tmp_path / "cut.onnx"
    path.write_bytes(distilled.to_bytes(small, content.parameters))
    picture, _ = pictures()[0]
    alone = asked(path, picture)
    assert np.linalg.norm(alone["logits"]) == pytest.approx(0.5, rel=1e-4)
    ours = unseen.load(path, exact=True).classify(picture)
    assert ours.score == pytest.approx(float(alone["probabilities"].max()), abs=1e-5)


def test_the_file_holds_everything_and_is_small(file: Path, tmp_path: Path) -> None:
    assert file.stat().st_size < 25_000_000
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert not any(t.external_data for t in model.graph.initializer)
    assert [i.domain for i in model.opset_import] == [""]


def test_the_same_lessons_give_the_same_bytes(made: Distilled) -> None:
    assert taught().content == made.content
    assert taught(seed=1).content != made.content


def test_a_hidden_layer_goes_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "deep.onnx"
    deep = taught(head="mlp")
    path.write_bytes(deep.content)
    assert deep.card["head"]["hidden"] > 0
    picture, place = pictures()[0]
    ours = unseen.load(path, exact=True).classify(picture)
    assert ours.label == NAMES[place]
    probabilities = asked(path, picture)["probabilities"]
    assert ours.score == pytest.approx(float(probabilities.max()), abs=2e-5)


# loaded


def test_its_labels_are_its_own(classifier: unseen.Classifier) -> None:
    picture, place = pictures()[3]
    every = classifier.classify(picture)
    assert {scored["label"] for scored in every} == set(NAMES)
    assert every.label == NAMES[place]
    with pytest.raises(LabelError, match=r"'solar panels' is not a label.*mean 'solar panel'"):
        classifier.classify(picture, ["cat", "solar panels"])
    with pytest.raises(LabelError, match="knows no other words"):
        classifier.classify(picture, ["cat", "fish"], template="a photo of a {}")


def test_some_of_its_labels_compete_among_themselves(
    file: Path, classifier: unseen.Classifier
) -> None:
    picture, _ = pictures()[0]
    logits = asked(file, picture)["logits"]
    some = classifier.classify(picture, ["fish", "cat"])
    wanted = softmax(logits[[NAMES.index("fish"), NAMES.index("cat")]])
    found = {scored["label"]: scored["score"] for scored in some}
    np.testing.assert_allclose([found["fish"], found["cat"]], wanted, rtol=0, atol=2e-5)
    with_other = classifier.classify(picture, ["fish"], background=["castle"])
    assert with_other.unknown


def test_what_makes_no_sense_of_it_is_refused(classifier: unseen.Classifier) -> None:
    picture, _ = pictures()[0]
    with pytest.raises(LabelError, match="one label a picture"):
        classifier.classify(picture, multi_label=True)
    with pytest.raises(LabelError, match="knows only its own labels"):
        classifier.classify(picture, unknown="auto")
    rows = classifier.encode_images([p for p, _ in pictures()[:8]])
    with pytest.raises(LabelError, match="by_pictures"):
        fit_adapter(rows, [0, 1] * 4, classifier.compile(), by_pictures=["cat"])


def test_an_index_gives_the_same_answers(classifier: unseen.Classifier, tmp_path: Path) -> None:
    for number, (path, _) in enumerate(pictures()[::4]):
        (tmp_path / f"{number}{path.suffix}").write_bytes(path.read_bytes())
    with unseen.Index(tmp_path) as index:
        index.update(classifier.encoder)
        stream = index.view(classifier).classify(classifier.compile(), classifier.decision())
        again = {Path(p.source).name: p for p in stream}
        assert len(again) == len(pictures()[::4])
        for name, kept in again.items():
            direct = classifier.classify(tmp_path / name)
            # Embeddings are kept in 16 bits.
            assert kept.label == direct.label
            assert kept.score == pytest.approx(direct.score, abs=5e-3)
        query = tmp_path / next(iter(again))
        nearest = index.view(classifier).search(classifier.encode_images([query])[0])
        assert query.name in nearest[0].paths[0]


def test_a_compiled_set_of_it_comes_back(classifier: unseen.Classifier, tmp_path: Path) -> None:
    path = tmp_path / "labels.safetensors"
    classifier.compile(["cat", "fish"]).save(path)
    picture, place = pictures()[6]
    assert classifier.classify(picture, path).label == NAMES[place]


# what is learnt


def test_labels_without_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    few = [
        replace(one, probabilities=None, label_id=place)
        for one, (_, place) in zip(training_pictures(), pictures(), strict=True)
    ]
    few = [one for one in few if one.label_id != 0]
    made = distil(Teacher("someone"), TrainingSet(few, NAMES), QUICK)
    assert [row["label"] for row in made.card["labels"]] == list(NAMES[1:])
    assert made.card["untaught"] == [NAMES[0]]
    assert made.card["figures"]["agreement"] is None
    assert "not known here" in made.card["teacher"]["means"]
    with pytest.raises(LabelError, match="all are of 'cat'"):
        cats = [one for one in few if one.label_id == 1]
        distil(Teacher("someone"), TrainingSet(cats, NAMES), QUICK)


def test_it_knows_its_pictures_by_their_content(made: Distilled, file: Path) -> None:
    model = unseen.load(file).model
    contents = [hashlib.sha256(path.read_bytes()).hexdigest()[:32] for path, _ in pictures()]
    assert made.card["example_digests"] == contents
    other = hashlib.sha256(Path("examples/cat.jpg").read_bytes()).hexdigest()[:32]
    assert example_digests(model) == {*contents} and other not in contents
    model.card["example_digests"] = 3  # of a file that somebody made
    assert example_digests(model) == frozenset()


def test_each_label_needs_pictures() -> None:
    def of(*counts: tuple[int, int]) -> TrainingSet:
        """So many that a person gave each label, and so many that the teacher did."""
        rows = np.eye(len(counts), dtype=np.float32)
        reviewed = [
            TrainingPicture("a", None, i) for i, (n, _) in enumerate(counts) for _ in range(n)
        ]
        proposed = [
            TrainingPicture("b", rows[i]) for i, (_, n) in enumerate(counts) for _ in range(n)
        ]
        return TrainingSet([*reviewed, *proposed], ("cat", "dog", "cow")[: len(counts)])

    of((3, 0), (1, 2), (0, 10)).require_enough()
    with pytest.raises(LabelError, match=r"2 of 3 labels have too few .*: cat \(2\), cow \(none\)"):
        of((2, 0), (3, 3), (0, 0)).require_enough()
    with pytest.raises(LabelError, match=r"1 of 2 labels .*: dog \(9\)"):
        of((3, 0), (0, 9)).require_enough()


def card(own: tuple[int, int], teacher: tuple[int, int] | None, **facts: Any) -> dict[str, Any]:
    figure = lambda one: one and {"right": one[0], "of": one[1], "low": 0.0, "high": 1.0}  # noqa: E731
    figures = {"accuracy": figure(own), "teacher_accuracy": figure(teacher)}
    return {"figures": figures, "teacher": {"name": "builtin"}, **facts}


def test_it_says_where_an_adapter_is_the_better_buy() -> None:
    advice = str(better_buy(card((25, 40), (31, 40)), Path("photos")))
    assert "unseen adapt photos" in advice and "78 %" in advice and "62 %" in advice
    other = card((25, 40), (31, 40)) | {"teacher": {"name": "tuned"}}
    assert "`unseen adapt photos -m tuned -o" in str(better_buy(other, Path("photos")))
    several = card((25, 40), (31, 40))
    several["figures"]["f1"] = 0.5
    for no_reason in (several, card((31, 40), (25, 40)), card((1, 4), (4, 4)), card((1, 40), None)):
        assert better_buy(no_reason, Path("photos")) is None


def test_a_teacher_is_not_judged_by_what_it_was_taught() -> None:
    """Twenty pictures: the teacher is right on the ten that it had learnt from, on no other."""
    y_true = np.arange(20) % 2
    taught_by = np.arange(20) < 10
    teacher = np.eye(2, dtype=np.float32)[np.where(taught_by, y_true, 1 - y_true)]
    data = TrainingData(np.zeros((20, 3)), teacher, y_true, np.arange(20))
    trial = Trial(np.arange(20), np.eye(2)[y_true])
    facts = figures(data, trial, np.zeros(20, bool), taught_by)
    assert (facts["teacher_accuracy"]["right"], facts["teacher_accuracy"]["of"]) == (0, 10)
    assert facts["seen"] == 10 and facts["accuracy"]["of"] == 20


def test_the_card_names_what_was_lost_and_what_was_seen(made: Distilled) -> None:
    facts = deepcopy(made.card)
    facts["untaught"] = ["dragon", "unicorn"]
    facts["figures"]["seen"], facts["pictures"]["learnt"] = 7, 9
    page = markdown(facts, "small.onnx")
    assert "does not know 2 labels**, of which there were no pictures: dragon, unicorn" in page
    assert "Seen in training: 7 of the reviewed pictures" in page
    assert "had learnt from 9 answers of the review" in page
    lines = "\n".join(summary_lines(facts | {"bytes": 1}, Path("small.onnx")))
    assert "2 labels have no pictures, and are lost" in lines and "Seen in training: 7" in lines


def test_a_broken_picture_is_told_and_left_out(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    several = [*training_pictures(), TrainingPicture(broken, label_id=0)]
    made = distil(Teacher("someone"), TrainingSet(several, NAMES), QUICK)
    assert [source for source, _ in made.failed] == [broken]
    assert made.card["pictures"]["left_out"] == {"could not be read": 1}


def test_a_background_label_is_said_to_be_unknown(tmp_path: Path) -> None:
    path = tmp_path / "with.onnx"
    path.write_bytes(taught(background=["castle"]).content)
    castle, fish = ((PHOTOGRAPHS / name / f"{name}_1.jpg") for name in ("castle", "fish"))
    classifier = unseen.load(path)
    assert classifier.classify(castle).unknown
    assert classifier.classify(fish).label == "fish"


def test_figures_are_of_pictures_that_were_not_learnt_from() -> None:
    """Labels drawn by lot cannot be right of other pictures, however well they are learnt."""
    draw = np.random.default_rng(1)
    named = [TrainingPicture(path, label_id=int(draw.integers(2))) for path, _ in pictures()]
    made = distil(Teacher("chance"), TrainingSet(named, ("heads", "tails")), QUICK)
    accuracy = made.card["figures"]["accuracy"]
    assert accuracy["of"] >= len(named) - 2
    assert accuracy["low"] < 0.5


def test_it_learns_from_a_teacher_alone(tmp_path: Path, shapes_clip: Path) -> None:
    """Shapes of one colour: nobody has reviewed any, and the teacher's word is all there is."""
    teacher = unseen.load(shapes_clip)
    labels = [f"a red {shape}" for shape in ("circle", "square", "star", "cross")]
    drawn = [(shapes.draw(shapes.scene(one), n), one) for one in labels for n in range(24)]
    paths = []
    for number, (picture, _) in enumerate(drawn):
        paths.append(tmp_path / f"{number}.png")
        picture.save(paths[-1])
    said = [teacher.classify(path, labels) for path in paths]
    rows = [[{s["label"]: s["score"] for s in one}[name] for name in labels] for one in said]
    taught = [TrainingPicture(p, np.array(r, np.float32)) for p, r in zip(paths, rows, strict=True)]
    made = distil(Teacher("shapes-clip"), TrainingSet(taught, tuple(labels)), QUICK)
    agreement = made.card["figures"]["agreement"]
    assert agreement["of"] == len(paths)
    assert agreement["low"] > 0.7


# the card


def test_the_card_is_in_the_file_and_on_a_page(made: Distilled, file: Path) -> None:
    card = unseen.load(file).model.card
    assert card == {key: value for key, value in made.card.items() if key != "bytes"}
    page = markdown(made.card, "small.onnx")
    figures = made.card["figures"]
    for name in ("agreement", "accuracy", "teacher_accuracy"):
        assert f"| {figures[name]['right']} of {figures[name]['of']}, " in page
    assert "Apache-2.0" in page
    assert "| solar panel |" in page


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("builtin", "allows commercial use"),
        ("openai/clip-vit-base-patch32", "left open"),
        ("facebook/metaclip-b32-400m", "non-commercial use only"),
        ("nobody/knows-this", "not known here"),
    ],
)
def test_the_teachers_licence_is_said_plainly(model: str, words: str) -> None:
    assert words in Teacher.of(model, None, None).licence_line()


def taught_by(teacher: dict[str, Any], file: Path, path: Path) -> Path:
    """A file like another, by another teacher."""
    content = onnx_file.read(file)
    other = replace(Student.of(content.metadata, "it"), card={"teacher": teacher})
    path.write_bytes(distilled.to_bytes(other, content.parameters))
    return path


def test_a_distilled_teacher_hands_its_teachers_licence_down(file: Path, tmp_path: Path) -> None:
    for name in ("builtin", "facebook/metaclip-b32-400m", "nobody/knows-this"):
        first = Teacher.of(name, None, None)
        path = taught_by(asdict(first), file, tmp_path / "small.onnx")
        then = Teacher.of(str(path), None, None)
        assert then.name == str(path) and then.licence_line() == first.licence_line()


def test_commercial_asks_for_the_licence_of_the_teacher(file: Path, tmp_path: Path) -> None:
    assert unseen.load(file, commercial=True).model.labels == NAMES
    for teacher in ("facebook/metaclip-b32-400m", "nobody/knows-this"):
        licence = {"commercial": Teacher.of(teacher, None, None).commercial}
        path = taught_by(licence, file, tmp_path / "small.onnx")
        with pytest.raises(ModelError, match="licence of its teacher"):
            unseen.load(path, commercial=True)
        unseen.load(path)


def test_a_label_is_no_markup(made: Distilled) -> None:
    card = deepcopy(made.card)
    card["labels"][0]["label"] = "<script>a|b"
    assert "| &lt;script>a\\|b |" in markdown(card, "it")


# what others may hand in


def signed(file: Path, path: Path, **metadata: str) -> Path:
    """The file with other metadata, as if it had been written so."""
    content = onnx_file.read(file)
    like = Student.of(content.metadata, "it")
    parameters = content.parameters
    config = like.image_config(len(like.labels) + len(parameters["looks"]))
    network = networks.image_network(config, parameters)
    names = ("logits", "probabilities", "embedding")
    path.write_bytes(onnx_file.write(network, names, {**like.metadata(), **metadata}))
    return path


@pytest.mark.parametrize(
    "metadata",
    [
        {"format": "unseen-classifier-3"},
        {"labels": "["},
        {"labels": "[" * 100_000},
        {"labels": '"abcdef"'},
        {"labels": '["a", "b", "c", "d", "e", "a"]'},
        {"labels": '["a", "b", "c", "d", "e", 6]'},
        {"labels": '["a", "b", "c", "d", "e", ""]'},
        {"labels": '["a", "b", "c", "d", "e"]'},
        {"labels": "{}"},
        {"background": '["another"]'},
        {"background": json.dumps(NAMES)},
        {"radius": "NaN"},
        {"radius": "-1"},
        {"radius": "[]"},
        {"card": "[]"},
        {"card": '{"teacher": "me"}'},
        {"preprocess": "null"},
        {"preprocess": '{"resize": [1e9, 1e9]}'},
        {"preprocess": '{"resize": [100000, 100000]}'},
        {"preprocess": '{"resize": [224, 200]}'},
    ],
)
def test_metadata_that_cannot_be_used_is_refused(
    file: Path, tmp_path: Path, metadata: dict[str, str]
) -> None:
    path = signed(file, tmp_path / "odd.onnx", **metadata)
    with pytest.raises(ModelError, match=r"odd\.onnx"):
        unseen.load(path)


def test_signing_alone_changes_nothing(file: Path, tmp_path: Path) -> None:
    """The helper above makes files that are taken: what it refuses is the metadata."""
    assert signed(file, tmp_path / "same.onnx").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [
        ("stem.weight", np.zeros((32, 3, 5, 5), np.float32)),
        ("looks", np.zeros((0, 1280), np.float32)),
        ("output.bias", np.full(6, np.nan, np.float32)),
        ("output.weight", np.full((6, 1280), np.nan, np.float32)),
        ("output.weight", np.zeros((7, 1280), np.float32)),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(
    file: Path, tmp_path: Path, name: str, spoilt: Any
) -> None:
    content = onnx_file.read(file)
    path = tmp_path / "odd.onnx"
    like = Student.of(content.metadata, "it")
    with np.errstate(all="ignore"):
        path.write_bytes(distilled.to_bytes(like, content.parameters | {name: spoilt}))
    with pytest.raises(ModelError, match=name):
        unseen.load(path)


def foreign(path: Path, location: str | None) -> Path:
    """An ONNX file of someone else; where it is given, its parameter lies in another file."""
    value = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [1.0])
    if location is not None:
        value.ClearField("float_data")
        value.data_location = onnx.TensorProto.EXTERNAL
        value.external_data.add(key="location", value=location)
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])],
        "foreign",
        [info("x", onnx.TensorProto.FLOAT, [1])],
        [info("y", onnx.TensorProto.FLOAT, [1])],
        initializer=[value],
    )
    model = onnx.helper.make_model(graph)
    if location is not None:
        onnx.helper.set_model_props(model, {onnx_file.DIGEST: "0" * 64})
    path.write_bytes(model.SerializeToString())
    return path


def test_files_of_others_are_refused_and_none_beside_them_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="was not written by unseen"):
        unseen.load(foreign(tmp_path / "foreign.onnx", None))
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"1234")
    path = foreign(tmp_path / "external.onnx", "secret.bin")
    secret.chmod(0)
    opened: list[str] = []
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: opened.append(self.name) or plain(self))
    with pytest.raises(ModelError, match="does not write: w"):
        unseen.load(path)
    assert opened == ["external.onnx"]


@pytest.mark.parametrize("content", [b"", b"no model", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"odd\.onnx"):
        unseen.load(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(onnx_file.LARGEST + 1)
    with pytest.raises(ModelError, match="at most 64000000 are read"):
        unseen.load(path)


def test_a_flipped_bit_is_found_or_does_not_matter(file: Path, tmp_path: Path) -> None:
    content, draw = bytearray(file.read_bytes()), np.random.default_rng(5)
    like = onnx_file.read(file)
    path = tmp_path / "flipped.onnx"
    # Most bits are of parameters; the ends of the file are of everything else.
    places = [*draw.integers(len(content), size=15), *range(20), *range(-15, 0)]
    found = 0
    for place in places:
        content[place] ^= 4
        path.write_bytes(content)
        content[place] ^= 4
        try:
            again = onnx_file.read(path)
            assert again.metadata == like.metadata
            assert all((again.parameters[n] == v).all() for n, v in like.parameters.items())
        except ModelError:
            found += 1
    assert found >= 15


def test_the_table_of_the_image_net_is_the_built_in_one() -> None:
    from unseen.learning.distil.features import ImageNet

    own = {name: value.shape for name, value in ImageNet.builtin().parameters.items()}
    assert own == lite2_shapes()
