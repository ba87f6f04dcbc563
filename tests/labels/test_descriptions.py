"""Label files in the shapes of CuPL, DCLIP and Meta-Prompting."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unseen
from unseen.labels.descriptions import is_sentence, of_phrases, prompt
from unseen.labels.label_set import LabelSet

DEFAULT = "a photo of a {}."
CUPL = {
    "apple pie": [
        "An apple pie is a pie with a filling of apples.",
        "A close-up of a golden crust with apples below it.",
        "Apple pie looks brown on top",
    ],
    "hot dog": ["A hot dog is a sausage in a bun.", "The bun is soft.", "It has mustard on it."],
}
DCLIP = {
    "apple pie": ["a crust", "a filling of apples", "often round", "can be sliced"],
    "hot dog": ["a sausage", "a bun", "mustard or ketchup", "served on a plate"],
}


def written(folder: Path, data: Any, name: str = "labels.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(data), "utf-8")
    return path


def test_whole_sentences_are_prompts_as_they_are(tmp_path: Path) -> None:
    label_set = LabelSet.of(written(tmp_path, CUPL))
    assert label_set.prompts(DEFAULT) == [tuple(texts) for texts in CUPL.values()]


def test_phrases_stand_behind_the_label(tmp_path: Path) -> None:
    with pytest.warns(unseen.UnseenWarning, match="phrases that describe.*'apple pie, which has a"):
        label_set = LabelSet.of(written(tmp_path, DCLIP))
    assert label_set.prompts(DEFAULT) == [
        (
            "apple pie, which has a crust.",
            "apple pie, which has a filling of apples.",
            "apple pie, which is often round.",
            "apple pie, which can be sliced.",
        ),
        (
            "hot dog, which has a sausage.",
            "hot dog, which has a bun.",
            "hot dog, which has mustard or ketchup.",
            "hot dog, which is served on a plate.",
        ),
    ]


@pytest.mark.parametrize(
    "text, made",
    [
        ("a crust", "pie, which has a crust."),
        ("has a crust", "pie, which has a crust."),
        ("used as a dessert;", "pie, which is used as a dessert."),
        ("often has a crust", "pie, which often has a crust."),
        ("with a crust", "pie, with a crust."),
        ("a pie on a plate", "a pie on a plate"),
        ("A golden crust.", "A golden crust."),
        ("a {} on a plate", "a {} on a plate"),
        ("a spiel", "pie, which has a spiel."),
    ],
)
def test_one_text(text: str, made: str) -> None:
    assert prompt("pie", text) == made


@pytest.mark.parametrize(
    "data",
    [
        {"cat": ["a tabby", "a kitten"], "dog": ["a hound", "a puppy"]},  # two each: synonyms
        {"cat": ["a tabby", "a kitten", "a puss"]},  # one label
        {"cat": ["a tabby", "a kitten", "a puss"], "dog": None},
        {"cat": ["a tabby", "a kitten", "a puss"], "dog": "a hound"},
        {"cat": {"prompts": ["a", "b", "c"]}, "dog": {"prompts": ["a", "b", "c"]}},
        {"cat": ["a tabby cat", "a kitten", "puss"], "dog": ["a big dog", "puppy", "hound"]},
        {"cat": ["a", "b", ""], "dog": ["a", "b", "c"]},
        ["cat", "dog"],
        {"labels": ["a", "b", "c"]},
    ],
)
def test_any_other_content_means_what_it_meant(data: Any, tmp_path: Path) -> None:
    assert of_phrases(data) is None


def test_a_few_sentences_among_phrases_stay_as_they_are(tmp_path: Path) -> None:
    data = {name: [*texts, *texts[:2]] for name, texts in DCLIP.items()}
    data["hot dog"][-1] = "It lies in a bun."
    with pytest.warns(unseen.UnseenWarning):
        prompts = LabelSet.of(written(tmp_path, data)).prompts(DEFAULT)[1]
    assert prompts[-1] == "It lies in a bun." and prompts[0] == "hot dog, which has a sausage."


def test_only_json_is_read_so(tmp_path: Path) -> None:
    """A YAML file of these lists is written by hand, and its texts are prompts as ever."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        label_set = LabelSet.of(written(tmp_path, DCLIP, "labels.yaml"))
    assert label_set.prompts(DEFAULT)[0][0] == "a crust"


def test_the_key_descriptions_takes_both(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(
        "labels:\n  apple pie:\n    prompts: a picture of a {}\n"
        "    descriptions: [a crust, An apple pie on a plate.]\n    threshold: 0.4\n"
    )
    label_set = LabelSet.of(path)
    assert label_set.prompts(DEFAULT)[0] == (
        "a picture of a apple pie",
        "apple pie, which has a crust.",
        "An apple pie on a plate.",
    )
    assert label_set.labels[0].threshold == 0.4


@pytest.mark.parametrize(
    "data, words",
    [
        ({"cat": ["a", ""], "dog": ["b"]}, "labels.json: the label 'cat' .* number 2"),
        ({"cat": {"descriptions": 5}}, "labels.json: the prompts of the label 'cat'"),
        ({"cat": {"description": "x"}}, "labels.json: 'cat' has unknown keys"),
    ],
)
def test_refused(data: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(unseen.LabelError, match=words):
        LabelSet.of(written(tmp_path, data))
    broken = tmp_path / "broken.json"
    broken.write_text('{\n"cat": [\n"a",\n]}')
    with pytest.raises(unseen.LabelError, match=r"line [34]"):
        LabelSet.of(broken)


def test_they_are_averaged_as_any_prompts(shapes_clip: Path, tmp_path: Path) -> None:
    clf = unseen.load(shapes_clip)
    with pytest.warns(unseen.UnseenWarning):
        matrix = clf.compile(written(tmp_path, DCLIP)).matrix
    for row, (name, texts) in zip(matrix, DCLIP.items(), strict=True):
        rows = clf.encode_texts([prompt(name, text) for text in texts])
        mean = rows.mean(0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)


def test_a_name_is_found_as_whole_words() -> None:
    assert is_sentence("hot dog", "a Hot-Dog in a bun") and not is_sentence("dog", "a dogma")
