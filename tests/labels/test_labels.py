"""Label sets from every source, templates, and what is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpoints
import unseen
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import Label, LabelSet
from unseen.labels.templates import fill, template_names, templates

DEFAULT = "This is a photo of {}."


def prompts(labels: Any, **options: Any) -> list[tuple[str, ...]]:
    return LabelSet.of(labels, **options).prompts(DEFAULT)


def test_lists_strings_and_dicts() -> None:
    wanted = [("This is a photo of cat.",), ("This is a photo of guinea pig.",)]
    assert prompts(["cat", "guinea pig"]) == wanted
    assert prompts("cat, guinea pig") == wanted
    assert prompts(label for label in ("cat", "guinea pig")) == wanted
    assert prompts({"cat": None, "guinea pig": []}) == wanted
    assert prompts({"cat": "a tabby", "dog": ["a hound", "my {}"]}) == [
        ("a tabby",),
        ("a hound", "my dog"),
    ]


def test_files(tmp_path: Path) -> None:
    files = {
        "a.txt": "\ufeffcat\n\n# a comment\nladder, wooden\n",
        "a.csv": 'label,prompt\ncat\n"ladder, wooden",a wooden ladder,steps\n',
        "a.json": json.dumps({"cat": None, "ladder, wooden": ["a wooden ladder", "steps"]}),
        "a.yaml": "cat:\nladder, wooden: [a wooden ladder, steps]\n",
        "list.yml": "[cat, 'ladder, wooden']",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.write_text(text, "utf-8")
        for given in (path, str(path)):
            label_set = LabelSet.of(given)
            assert label_set.names == ("cat", "ladder, wooden")
            if name[2:] in ("csv", "json", "yaml"):
                assert label_set.prompts(DEFAULT)[1] == ("a wooden ladder", "steps")


def test_a_document_with_everything(tmp_path: Path) -> None:
    path = tmp_path / "pets.yaml"
    path.write_text(
        "name: pets\ntemplates: ['a {}', 'the {}']\nbackground: [something else]\n"
        "labels:\n  cat: {threshold: 0.3}\n  dog: {prompts: a hound}\n"
    )
    label_set = LabelSet.of(path)
    assert [(la.name, la.threshold, la.background) for la in label_set.labels] == [
        ("cat", 0.3, False),
        ("dog", None, False),
        ("something else", None, True),
    ]
    assert label_set.prompts(DEFAULT) == [
        ("a cat", "the cat"),
        ("a hound",),
        ("a something else", "the something else"),
    ]


def test_named_templates_are_the_published_ones() -> None:
    assert template_names() == ["action", "default", "imagenet", "simple"]
    assert (len(templates("imagenet")), len(templates("simple"))) == (80, 7)
    assert templates("default") == (DEFAULT,)
    assert len(prompts(["cat"], template="imagenet")[0]) == 80
    assert prompts(["cat"], template=["a {}", "{}, a pet"]) == [("a cat", "cat, a pet")]


def test_only_the_braces_of_a_template_are_replaced() -> None:
    assert fill("{0.__class__} {{}} {}", "cat") == "{0.__class__} {cat} cat"
    assert fill("a {}", "$& {0} %s \\1") == "a $& {0} %s \\1"


def test_duplicates_are_merged_with_a_warning() -> None:
    with pytest.warns(unseen.UnseenWarning, match="'cat'"):
        assert LabelSet.of(["cat", "dog", " cat "]).names == ("cat", "dog")


@pytest.mark.parametrize(
    "labels, options, words",
    [
        ([], {}, "no labels"),
        ("", {}, "empty label"),
        (["cat", " "], {}, "empty label"),
        (["cat", 7], {}, "7 is of the type int"),
        (7, {}, "list or a dict"),
        ({"cat": {"prompt": "x"}}, {}, "unknown keys"),
        ({"cat": ""}, {}, "prompt that is empty"),
        ({"cat": {"threshold": 7}}, {}, "not in 0…1"),
        (["cat"], {"template": "a photo"}, r"no \{\}"),
        (["cat"], {"template": []}, "list of templates is empty"),
        (["cat"], {"background": ["cat"]}, "both"),
        ([], {"background": ["other"]}, "no labels"),
        ("nowhere.txt", {}, "no such label file"),
        (Path("labels.xml"), {}, "label files end in"),
    ],
)
def test_refused(labels: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(unseen.LabelError, match=words):
        LabelSet.of(labels, **options)


# Ten of ten of ten …: a line that holds a billion.
BOMB = "&a [x, x]"
for _before, _letter in itertools.pairwise("abcdefghij"):
    BOMB = f"&{_letter} [{BOMB}, {', '.join([f'*{_before}'] * 9)}]"


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.yaml", BOMB, "of the type list"),
        ("a.yaml", f"labels: [cat]\nconcept: {BOMB}", "concept is"),
        ("a.yaml", f"cat: {{threshold: {BOMB}}}", "not a number"),
        ("a.yaml", f"labels: [cat]\ntemplates: [{BOMB}]", "no {}"),
        ("a.yaml", f"labels: [cat]\nbackground: [{BOMB}]", "of the type list"),
        ("a.json", "{", "not valid JSON"),
        ("a.yaml", "a: [", "not valid YAML"),
        ("a.yaml", "", "list or a dict"),
        ("a.txt", "# nothing\n", "no labels"),
        ("a.txt", b"\xff\xfe\x00", "cannot be read"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a.json", '{"labels": ["a"], "colour": 1}', "unknown keys"),
        ("a.yaml", "labels:\n  cat: {threshold: high}\n", "'high', which is not a number"),
        ("a.yaml", "cat: {threshold: [1]}", "not a number"),
        ("a.json", '{"cat": {"threshold": 1%s}}' % ("0" * 400), "not a number"),
        ("a.yaml", "cat: {threshold: .nan}", "not in 0…1"),
        ("a.yaml", "cat: {prompts: true}", "'cat' are a text or a list of texts, not True"),
        ("a.yaml", "cat: {prompts: 5}", "not 5"),
        ("a.yaml", "cat: {prompts: {a: b}}", "not {'a': 'b'}"),
        ("a.yaml", "cat: {prompts: [[a]]}", "empty or not text"),
        ("a.yaml", "cat: {1: a, b: c}", r"unknown keys \['b', 1\]"),
        ("a.yaml", "labels: [cat]\n1: a\nb: c\n", r"unknown keys \['b', 1\]"),
        ("a.yaml", "labels: [cat]\nbackground: true\n", "background is a list"),
        ("a.yaml", "labels: [cat]\nbackground: other\n", "background is a list"),
        ("a.yaml", "labels: [cat]\nbackground: [1]\n", "1 is of the type int"),
        ("a.yaml", "labels: [cat]\ntemplates: 5\n", "templates are a text or a list"),
        ("a.yaml", "labels: [cat]\ntemplates: {a: b}\n", "templates are a text or a list"),
        ("a.yaml", "labels: [cat]\ntemplates: [a]\n", "no {}"),
        ("a.yaml", "[" * 20_000, "nested too deeply"),
        ("a.yaml", "a: &a [*a]", "empty or not text"),
        ("a.yaml", "&a [*a]", "is of the type list"),
        ("a.yaml", "- !!bool maybe", "not valid YAML"),
        ("a.yaml", "- !!int ''", "not valid YAML"),
        ("a.yaml", "- 2026-13-45", "not valid YAML"),
        ("a.yaml", "- 9" + "9" * 5000, "not valid YAML"),
        ("a.yaml", "- 0x" + "f" * 5000, "a value of the type int is of the type int"),
        ("a.yaml", "? 0x" + "f" * 5000 + "\n: {threshold: high}", "the type int"),
        ("a.json", "[" * 200_000, "nested too deeply"),
        ("a.json", "[" + "9" * 5000 + "]", "not valid JSON"),
        ("a.csv", "label,prompt\ncat,a cat\ndog," + "x" * 140_000, r"a\.csv:3: .*field larger"),
        ("a.csv", "cat\n,a prompt\n", "empty label"),
    ],
)
def test_broken_files(name: str, content: str | bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(unseen.LabelError, match=words) as raised:
        LabelSet.of(path)
    message = str(raised.value)
    assert message.startswith(str(path)) and message.count(str(path)) == 1
    assert len(message) < 500 and "\n" not in message


# compiled


@pytest.fixture(scope="module")
def clf(tmp_path_factory: pytest.TempPathFactory) -> unseen.Classifier:
    return unseen.load(checkpoints.clip(tmp_path_factory.mktemp("clip") / "a"))


def test_prompts_are_averaged_after_they_were_normalised(clf: unseen.Classifier) -> None:
    compiled = clf.compile({"cat": ["one", "a second, longer"], "dog": "three"})
    rows = clf.encode_texts(["one", "a second, longer", "three"])
    mean = rows[:2].mean(0)
    np.testing.assert_allclose(compiled.matrix[0], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(compiled.matrix[1], rows[2], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(compiled.matrix, axis=1), 1, atol=1e-6)


def test_saved_and_loaded(clf: unseen.Classifier, tmp_path: Path) -> None:
    labels = {"猫": {"threshold": 0.2}, "dog, big": None}
    compiled = clf.compile(labels, background=["other"])
    compiled.save(tmp_path / "a.safetensors")
    loaded = CompiledLabels.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(loaded.matrix, compiled.matrix)
    assert [(la.name, la.threshold, la.background) for la in loaded.labels] == [
        ("猫", 0.2, False),
        ("dog, big", None, False),
        ("other", None, True),
    ]
    picture = np.zeros((20, 30, 3), np.uint8)
    for given in (loaded, tmp_path / "a.safetensors", str(tmp_path / "a.safetensors")):
        assert clf.classify(picture, given) == clf.classify(picture, compiled)


def test_what_may_be_said_of_a_picture(clf: unseen.Classifier) -> None:
    plain = clf.compile(["cat", "dog"])
    assert plain.answers == ("cat", "dog") and not plain.background_mask.any()
    rows = np.array([[0.1, 0.2, 0.3, 0.4]])
    assert plain.of_answers(rows[:, :2]).tolist() == [[0.1, 0.2]]
    some = clf.compile({"sky": {"background": True}, "cat": None, "dog": None}, background=["sea"])
    assert some.background_mask.tolist() == [True, False, False, True]
    assert some.answers == ("cat", "dog", "unknown")
    np.testing.assert_allclose(some.of_answers(rows), [[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(some.cosines_of_answers(rows), [[0.2, 0.3, 0.4]])
    with pytest.raises(unseen.LabelError, match="rename that label"):
        clf.compile(["unknown"], background=["sea"]).answers  # noqa: B018
    assert clf.compile(["unknown", "cat"]).answers == ("unknown", "cat")


def test_vectors_that_are_known_make_a_set(clf: unseen.Classifier) -> None:
    compiled = clf.compile(["cat", "dog"])
    labels = [Label("cat", ("a cat",)), Label("dog")]
    made = CompiledLabels.of_vectors(labels, compiled.matrix, clf.model, name="pets")
    assert made.prompts == (("a cat",), ()) and made.name == "pets"
    picture = np.full((20, 30, 3), 90, np.uint8)
    assert clf.classify(picture, made) == clf.classify(picture, compiled)
    with pytest.raises(unseen.LabelError, match="multi-label"):
        clf.classify(picture, made, multi_label=True)
    neutral = CompiledLabels.of_vectors(
        labels, compiled.matrix, clf.model, neutral=compiled.neutral
    )
    several = clf.classify(picture, compiled, multi_label=True)
    assert clf.classify(picture, neutral, multi_label=True) == several
    for vectors in (compiled.matrix[:1], compiled.matrix[:, 1:]):
        with pytest.raises(unseen.LabelError, match=r"2 labels of .* need \(2, "):
            CompiledLabels.of_vectors(labels, vectors, clf.model)


def test_another_model_refuses_it(clf: unseen.Classifier, tmp_path: Path) -> None:
    clf.compile(["cat"]).save(tmp_path / "a.safetensors")
    other = unseen.load(checkpoints.clip(tmp_path / "other", seed=1))
    with pytest.raises(unseen.LabelError, match="compile it again"):
        other.compile(tmp_path / "a.safetensors")
    with pytest.raises(unseen.LabelError, match="cannot be changed"):
        clf.compile(tmp_path / "a.safetensors", template="a {}")


def test_damaged_and_foreign_files(clf: unseen.Classifier, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(unseen.LabelError, match="no such"):
        clf.compile(path)
    clf.compile(["cat"]).save(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(unseen.LabelError, match="damaged"):
        clf.compile(path)
    from safetensors.numpy import save_file

    save_file({"matrix": np.zeros((1, 2), np.float32)}, path)
    with pytest.raises(unseen.LabelError, match="not a valid compiled label set"):
        clf.compile(path)
    with pytest.raises(unseen.LabelError, match="safetensors file"):
        clf.compile(["cat"]).save(tmp_path / "a.npz")


def test_a_prompt_over_the_context_is_cut_with_a_warning(clf: unseen.Classifier) -> None:
    long = "a very long label " * 40
    with pytest.warns(unseen.UnseenWarning, match="longer than the 77 tokens.*a very long label"):
        row = clf.encode_texts([long])
    assert row.shape == (1, 48)


@pytest.mark.parametrize("texts", ["cat", ["cat", None], [b"cat"]])
def test_texts_are_a_list_of_texts(texts: Any, clf: unseen.Classifier) -> None:
    with pytest.raises(unseen.LabelError):
        clf.encode_texts(texts)
    assert clf.encode_texts([]).shape == (0, 48)


def test_batches_of_texts_hold_every_index_once() -> None:
    from unseen.models.text_batches import batches_of_like_length

    lengths = [5, 77, 3, 9, 9, 77, 4] * 30
    batches = list(batches_of_like_length(lengths, 200))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(b) * max(lengths[i] for i in b) <= 200 for b in batches)
