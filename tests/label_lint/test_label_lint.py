"""The label doctor: each finding in its place, its figures against other ways to get them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import CLIPTokenizer

import unseen
from unseen.errors import LabelError
from unseen.label_lint import Finding, Subject, examine, look_at, semantic
from unseen.label_lint.context import vocabulary
from unseen.label_lint.lexical import fitting_prefix
from unseen.labels import spelling
from unseen.labels.label_set import LabelSet


@pytest.fixture(scope="module")
def builtin() -> unseen.Classifier:
    return unseen.load()


@pytest.fixture(scope="module")
def small(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


def findings_of(classifier: unseen.Classifier, labels: object, **options: object) -> list[Finding]:
    return examine(classifier, labels, **options)[0]  # type: ignore[arg-type]


Examined = tuple[Subject, np.ndarray, list[str], list[Finding]]


def of_kind(findings: list[Finding], kind: str) -> list[Finding]:
    return [finding for finding in findings if finding.kind == kind]


# letters


@pytest.mark.parametrize(
    "name, normal, singular",
    [
        ("A Red  Circle", "red circle", "red circle"),
        ("frying_pan", "frying pan", "frying pan"),
        ("FryingPans", "frying pans", "frying pan"),
        ("the dogs", "dogs", "dog"),
        ("berries", "berries", "berry"),
        ("foxes", "foxes", "fox"),
        ("horses", "horses", "horse"),
        ("shoes", "shoes", "shoe"),
        ("wild geese", "wild geese", "wild goose"),
        ("glass", "glass", "glass"),
        ("scissors", "scissors", "scissors"),
        ("octopus", "octopus", "octopus"),
        ("gas", "gas", "gas"),
        ("T-shirt!", "t shirt", "t shirt"),
        ("the", "", ""),
    ],
)
def test_normal_forms(name: str, normal: str, singular: str) -> None:
    assert (spelling.normal(name), spelling.singular_form(name)) == (normal, singular)


@pytest.mark.parametrize(
    "text, denied, asserted",
    [
        ("a street without cars", ["without"], "a street with cars"),
        ("no helmet", ["no"], "helmet"),
        ("Not a cat", ["not"], "a cat"),
        ("a man who isn't smiling", ["isn't"], "a man who smiling"),
        ("non-smoker", ["non-smoker"], "smoker"),
        ("a no parking sign", [], "a parking sign"),
        ("a knot", [], "a knot"),
        ("a forget-me-not", [], "a forget-me-not"),
        ("a notebook", [], "a notebook"),
    ],
)
def test_negations(text: str, denied: list[str], asserted: str) -> None:
    assert (spelling.negations(text), spelling.positive(text)) == (denied, asserted)


def test_the_tables_are_sound() -> None:
    words = vocabulary()
    assert len(words) == len(set(words)) > 900 and all(w == " ".join(w.split()) for w in words)
    table = semantic.senses()
    assert len(table) > 300 and {"crane", "mouse", "jaguar"} <= set(table)
    for word, known in table.items():
        assert word == word.lower() and len(known) > 1, word
        # Whoever writes the word is told of it, in the singular as in the plural.
        assert spelling.singular_form(word) in table, word


# tokens


def test_tokens_are_those_of_the_judge(small: unseen.Classifier, shapes_clip: Path) -> None:
    judge = CLIPTokenizer.from_pretrained(shapes_clip)
    context = small.model.context_length
    long = "a red circle left of a small blue square above a yellow heart, " * 3
    prompt = f"{long}and a green ring"
    labels = {"crowd": prompt, "one": "a red circle", "two": [f"{long} {i}" for i in range(2)]}
    findings, subject = examine(small, labels)
    about = of_kind(findings, "too-long")
    assert [f.labels for f in about] == [("crowd",), ("two",)]
    count = len(judge(prompt).input_ids)
    assert about[0].figures["tokens"] == count > context == about[0].figures["context"]
    prefix = fitting_prefix(subject, prompt)
    lost = about[0].problem.split("tokens, and")[1].split("'")[1]
    assert f"{prefix} {lost}" == prompt
    one_more = f"{prefix} {lost.split()[0]}"
    assert len(judge(prefix).input_ids) <= context < len(judge(one_more).input_ids)
    # What is advised: every clause fits, and the average is that of these prompts.
    parts = spelling.pieces(prompt)
    sizes = [len(judge(part).input_ids) for part in parts]
    assert f"{len(parts)} prompts" in about[0].advice and max(sizes) <= context
    assert about[0].figures["tokens_after"] == max(sizes)
    with pytest.warns(unseen.UnseenWarning, match="was cut"):
        rows = small.compile({"a": prompt.replace("red", "red "), "b": parts}).matrix
    assert about[0].figures["cosine"] == pytest.approx(float(rows[0] @ rows[1]), abs=1e-3)


def test_a_template_that_cuts_the_label_off_is_an_error(small: unseen.Classifier) -> None:
    template = "a small red circle left of a large blue square " * 4 + "and {}"
    findings = findings_of(small, ["cat", "dog"], template=template)
    assert {f.severity for f in of_kind(findings, "too-long")} == {"error"}
    assert "name with it" in of_kind(findings, "too-long")[0].problem
    (same,) = of_kind(findings, "same-tokens")
    assert same.labels == ("cat", "dog") and same.severity == "error"


def test_labels_of_the_same_tokens(builtin: unseen.Classifier) -> None:
    findings = findings_of(builtin, ["Cat", "cat", "dog", "猫"])
    assert [f.labels for f in of_kind(findings, "same-tokens")] == [("Cat", "cat")]
    assert [f.labels for f in of_kind(findings, "unreadable")] == [("猫",)]
    assert findings[0].severity == "error" and not of_kind(findings, "duplicate")
    assert not of_kind(findings, "near-synonym")  # it was said already


# what one label shows


KINDS = {
    "a street without cars": "negation",
    "other": "catch-all",
    "a photo of a castle": "template-inside",
    "frying_pan": "joined",
    "BrownBear": "joined",
    "IMG_1234.jpg": "file-name",
    "photos/cat": "file-name",
    "n01440764": "number",
    "17": "number",
    "x": "number",
    "a man who walks his dog along the beach": "sentence",
    "the bridge": "doubled-article",
    "crane": "homograph",
}


@pytest.mark.parametrize("label, kind", KINDS.items())
def test_one_bad_label_among_good_ones(label: str, kind: str, builtin: unseen.Classifier) -> None:
    good = ["castle tower", "red panda", "bicycle", "pizza"]
    findings = findings_of(builtin, [*good, label], background=["wallpaper"])
    assert kind in {f.kind for f in findings if label in f.labels}
    assert not [f for f in findings if {*f.labels} & {*good} and label not in f.labels]
    if kind != "file-name":
        # With a prompt of its own the name is only shown, and not read: but for what it means.
        with_prompt = findings_of(builtin, {**dict.fromkeys(good), label: "a large green lizard"})
        kinds = {f.kind for f in with_prompt if label in f.labels}
        assert kinds == ({kind} if kind in ("negation", "catch-all") else set())


def test_a_good_set_has_nothing_but_notes(builtin: unseen.Classifier) -> None:
    labels = ["cat", "castle", "bicycle", "pizza", "helicopter"]
    assert [f.kind for f in findings_of(builtin, labels)] == ["missing-other"]
    assert findings_of(builtin, labels, background=["wallpaper"]) == []


def test_capitals_matter_only_to_a_model_that_tells_them(
    builtin: unseen.Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not of_kind(findings_of(builtin, ["Castle", "bicycle"]), "capitals")
    monkeypatch.setattr(
        Subject, "ids", lambda self, texts, context=None: [[ord(c) for c in t] for t in texts]
    )
    (about,) = of_kind(findings_of(builtin, ["Castle", "bicycle"]), "capitals")
    assert about.labels == ("Castle",) and "'castle'" in about.advice


def test_given_twice_alone_and_a_set_that_cannot_be(builtin: unseen.Classifier) -> None:
    findings = findings_of(builtin, ["castle", "castle"])
    assert {f.kind for f in findings} == {"given-twice", "alone"}
    assert not of_kind(findings_of(builtin, ["castle"], background=["a tree"]), "alone")
    with pytest.raises(LabelError):
        findings_of(builtin, [])


def test_a_compiled_set(builtin: unseen.Classifier, tmp_path: Path) -> None:
    path = tmp_path / "labels.safetensors"
    builtin.compile(["no cat", "castle"], background=["a tree"]).save(path)
    assert [f.kind for f in findings_of(builtin, path)] == ["negation"]


# pairs


def test_what_is_usual_is_the_models_own(
    builtin: unseen.Classifier, small: unseen.Classifier
) -> None:
    for classifier in (builtin, small):
        subject = Subject(classifier, LabelSet.of(["castle", "bicycle"]))
        rows = subject.neutral
        all_pairs = [float(rows[i] @ rows[j]) for i in range(len(rows)) for j in range(i)]
        assert len(subject.usual_cosines) == len(all_pairs)
        for cosine in (0.2, 0.5, 0.9):
            below = sum(pair_cosine < cosine for pair_cosine in all_pairs) / len(all_pairs)
            assert subject.usual_part(cosine) == pytest.approx(below, abs=1e-3)
        assert subject.quantile(0.9) == pytest.approx(np.quantile(all_pairs, 0.9), abs=1e-5)


def test_the_predicted_share_is_what_classify_says(builtin: unseen.Classifier) -> None:
    """Of a picture that has the usual cosine to one label, and nothing else."""
    subject = Subject(builtin, LabelSet.of(["pliers", "wrench"]))
    first, second = subject.vectors
    outside = np.random.default_rng(0).normal(size=first.size).astype(np.float32)
    for vector in np.linalg.qr(subject.vectors.T)[0].T:
        outside -= vector * (vector @ outside)
    outside /= np.linalg.norm(outside)
    picture = subject.match * first + np.sqrt(1 - subject.match**2) * outside
    weights = np.exp(builtin.model.score.scale * (subject.vectors @ picture))
    expected = weights[1] / weights.sum()
    assert subject.share(float(first @ second)) == pytest.approx(expected, rel=1e-3)
    picture = builtin.encode_images(["src/unseen/data/check/cat.jpg"])[0]
    word = builtin.encode_texts(["a photo of a cat"])[0]
    assert subject.match == pytest.approx(float(picture @ word), abs=1e-5)


def test_synonyms_plurals_and_kinds(builtin: unseen.Classifier) -> None:
    labels = ["sofa", "couch", "dogs", "dog", "panda", "red panda", "pizza", "red_panda"]
    findings, subject = examine(builtin, labels, background=("wallpaper",))
    near_synonyms = {f.labels: f for f in of_kind(findings, "near-synonym")}
    assert ("sofa", "couch") in near_synonyms
    assert "two prompts" in near_synonyms["sofa", "couch"].advice
    assert "'panda' means all but" in near_synonyms["panda", "red panda"].advice
    assert [f.labels for f in of_kind(findings, "plural")] == [("dogs", "dog")]
    assert ("dogs", "dog") not in near_synonyms and ("red panda", "red_panda") not in near_synonyms
    pair = near_synonyms["sofa", "couch"]
    merged = builtin.compile({"sofa": ["a photo of a sofa", "a photo of a couch"]}).matrix[0]
    assert pair.figures["merged"] == pytest.approx(float(merged @ subject.vectors[0]), abs=1e-4)
    assert pair.figures["cosine"] == pytest.approx(float(subject.vectors[0] @ subject.vectors[1]))


def test_so_many_pairs_are_named_and_the_rest_counted(
    builtin: unseen.Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = ["sofa", "couch", "car", "automobile", "doughnut", "donut"]
    every = of_kind(findings_of(builtin, labels), "near-synonym")
    monkeypatch.setattr(semantic, "PAIRS", 1)
    findings = findings_of(builtin, labels)
    assert len(of_kind(findings, "near-synonym")) == 1 < len(every)
    (more,) = of_kind(findings, "more-near-synonym")
    assert more.figures["pairs"] == len(every) - 1
    cosines = [f.figures["cosine"] for f in every]
    assert cosines == sorted(cosines, reverse=True)


# homographs


@pytest.mark.parametrize(
    "labels, severity, sense",
    [
        ("crane heron stork pigeon", "warning", "bird"),
        ("crane excavator bulldozer truck", None, None),  # the model reads it so already
        ("cranes heron stork pigeon", "warning", "bird"),
        ("mouse rat hamster cat", "warning", "animal"),
        ("crane pizza", "note", "bird"),  # too little company: the other than the model reads
    ],
)
def test_company_says_which_sense_is_meant(
    labels: str, severity: str | None, sense: str | None, builtin: unseen.Classifier
) -> None:
    word = labels.split()[0]
    about = [
        f for f in of_kind(findings_of(builtin, labels.split()), "homograph") if f.labels == (word,)
    ]
    assert [f.severity for f in about] == ([severity] if severity else [])
    assert all(f"'{word} ({sense})'" in f.advice for f in about)
    assert all(f.advice.startswith("leave it if") == (severity == "note") for f in about)


def test_the_label_next_to_a_homograph(builtin: unseen.Classifier) -> None:
    labels = ["crane", "heron", "stork", "pigeon"]
    (about,) = of_kind(findings_of(builtin, labels), "homograph")
    prompt = "a photo of a crane, a tall bird with long legs"
    assert repr(prompt) in about.advice
    rows = builtin.compile(labels).matrix
    after = rows[1:] @ builtin.encode_texts([prompt])[0]
    nearest = int((rows[1:] @ rows[0]).argmax())
    assert f"now {labels[1 + nearest]!r} (cosine {(rows[1:] @ rows[0]).max():.2f})" in about.effect
    assert f"then {labels[1 + int(after.argmax())]!r} ({after.max():.2f})" in about.effect


# none of these


def test_what_background_labels_would_do(builtin: unseen.Classifier) -> None:
    labels = ["cat", "castle", "pizza"]
    (about,) = of_kind(findings_of(builtin, labels), "missing-other")
    assert 0.2 < about.figures["sure"] < 1 and about.figures["unknown"] > 0.5
    assert about.figures["kept"] == 1
    assert not of_kind(findings_of(builtin, labels, background=["a thing"]), "missing-other")


# pictures


@pytest.fixture(scope="module")
def examined_photographs(
    builtin: unseen.Classifier, photographs: Path
) -> tuple[Subject, np.ndarray, list[str], list[Finding]]:
    """Six animals on all photographs."""
    encoded = list(builtin.encoder.stream_images(photographs))
    rows = np.array([e.embedding for e in encoded], dtype=np.float32)
    names = [e.name for e in encoded]
    _, subject = examine(builtin, ["cat", "dog", "cow", "horse", "pig", "igloo"])
    return subject, rows, names, look_at(subject, rows, names)


def test_pictures_that_nothing_fits(
    examined_photographs: Examined,
    builtin: unseen.Classifier,
) -> None:
    subject, rows, names, findings = examined_photographs
    groups = of_kind(findings, "fits-nothing")
    folder_of = dict(zip(names, (Path(name).parent.name for name in names), strict=True))
    folders = {folder_of[name] for f in groups for name in f.pictures}
    assert len(groups) > 5 and not folders & {"cat", "dog", "cow", "horse"}
    tools = next(f for f in groups if "pliers" in f.advice)
    assert {folder_of[n] for n in tools.pictures} <= {
        "wrench", "scissors", "pliers", "screwdriver", "hammer", "nail_clipper", "measuring_tape"
    }  # fmt: skip
    # The effect is what classifying again with the suggested word gives.
    for group in groups[:4]:
        word = group.effect.split("'")[1]
        again = builtin.compile([*subject.names, word]).matrix
        won = (rows @ again.T).argmax(1) == len(subject.names)
        figures = group.figures
        assert figures["won"] + figures["won_lost"] + figures["won_fitting"] == won.sum()
        assert figures["won"] <= figures["pictures"]


def test_labels_that_never_win(
    examined_photographs: Examined,
    builtin: unseen.Classifier,
) -> None:
    subject, rows, names, findings = examined_photographs
    weights = rows @ builtin.compile(subject.names).matrix.T
    losers = {subject.names[i] for i in range(6) if not (weights.argmax(1) == i).any()}
    assert {f.labels[0] for f in of_kind(findings, "never-wins")} == losers
    # 117 pictures are many
    assert {f.severity for f in of_kind(findings, "never-wins")} <= {"warning"}
    few = of_kind(look_at(subject, rows[:3], names[:3]), "never-wins")
    assert few and {f.severity for f in few} == {"note"}
    assert look_at(subject, rows[:0], []) == []


def test_labels_that_always_tie(builtin: unseen.Classifier) -> None:
    _, subject = examine(builtin, ["castle", "pizza", "bicycle"])
    castle, pizza, bicycle = subject.compiled.matrix
    rng = np.random.default_rng(0)
    rows = [castle + pizza + rng.normal(size=castle.size) * 0.0005 for _ in range(8)]
    rows += [bicycle] * 4
    pictures = np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)
    findings = look_at(subject, pictures, [f"{i}.jpg" for i in range(12)])
    (tie,) = of_kind(findings, "always-ties")
    assert set(tie.labels) == {"castle", "pizza"}
    assert tie.figures["both"] == 8 and set(tie.pictures) <= {f"{i}.jpg" for i in range(8)}
    clear = np.array([castle] * 4 + [pizza] * 4 + [bicycle] * 4, dtype=np.float32)
    assert not of_kind(look_at(subject, clear, [str(i) for i in range(12)]), "always-ties")
