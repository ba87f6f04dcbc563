"""The table of known models says what was published, and nothing that no source says."""

from __future__ import annotations

import json
import re
from importlib import resources

import pytest

from unseen.models import table
from unseen.models.hub import HUB_ID


@pytest.mark.parametrize("model", table.models(), ids=lambda model: model.id)
def test_rows(model: table.KnownModel) -> None:
    assert model.id == "builtin" or HUB_ID.fullmatch(model.id)
    assert (model.imagenet_top1 is None) == (model.source is None)
    assert model.imagenet_top1 is None or 30 < model.imagenet_top1 < 90
    assert model.licence and model.languages and model.image_size > 0
    assert model.commercial is not None or model.note  # what is left open is said in words
    assert "-NC-" not in model.licence or model.commercial is False


def test_sizes_agree_with_names() -> None:
    """TinyCLIP names its two towers in millions."""
    for model in table.models():
        if towers := re.search(r"ViT-(\d+)M-\d+-Text-(\d+)M", model.id):
            assert model.parameters_millions == pytest.approx(sum(map(int, towers.groups())), abs=1)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("openai/clip-vit-base-patch-32", "openai/clip-vit-base-patch32"),
        ("openai/clip-vit-large-patch14-366", "openai/clip-vit-large-patch14-336"),
        ("laion/CLIP-ViT-B-32-laion2B", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("bultin", "builtin"),
    ],
)
def test_did_you_mean(typed: str, meant: str) -> None:
    assert meant in table.suggest(typed)


def test_nothing_is_suggested_for_nonsense() -> None:
    assert table.suggest("xyzzy") == []


def test_templates_are_those_that_openai_published() -> None:
    """Their notebook "Prompt Engineering for ImageNet": 80, and 7 chosen from them, in order."""
    text = resources.files("unseen").joinpath("data/templates.json").read_text("utf-8")
    sets = json.loads(text)
    assert [len(sets[name]) for name in ("default", "simple", "imagenet")] == [1, 7, 80]
    assert sets["simple"] == [
        "itap of a {}.",
        "a bad photo of the {}.",
        "a origami {}.",
        "a photo of the large {}.",
        "a {} in a video game.",
        "art of the {}.",
        "a photo of the small {}.",
    ]
    assert set(sets["simple"]) < set(sets["imagenet"])
    assert sets["imagenet"][0] == "a bad photo of a {}."
    assert sets["imagenet"][-1] == "a tattoo of the {}."
    for templates in sets.values():
        assert len(set(templates)) == len(templates)
        assert all(template.count("{}") == 1 for template in templates)
