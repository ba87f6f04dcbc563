"""The table of known models says what was published, and nothing that no source says."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest

from unseen.models import catalog
from unseen.models.hub import HUB_ID

# Of one wording each, so that `--licence` and a reader find all of a kind: SPDX where there is a
# name, else the name on the model card.
LICENCES = {
    "Apache-2.0": {True},
    "MIT": {True, None},  # None: the card narrows what the licence allows, or is silent
    "CC-BY-NC-4.0": {False},
    "apple-amlr": {False},
    "CreativeML-OpenRAIL-M": {True},
    "HAI-DEF": {None},
    "not stated": {None},
}
DOMAINS = {"general", "biomedical", "fashion", "products", "satellite", "species", "places"}


@pytest.mark.parametrize("model", catalog.models(), ids=lambda model: model.id)
def test_rows(model: catalog.KnownModel) -> None:
    assert model.id == "builtin" or HUB_ID.fullmatch(model.id)
    assert (model.imagenet_top1 is None) == (model.source is None)
    assert model.imagenet_top1 is None or 30 < model.imagenet_top1 < 90
    assert model.image_size > 0
    assert model.commercial in LICENCES[model.licence]
    assert model.commercial is not None or model.note  # what is left open is said in words
    assert model.note == model.note.strip(" .")  # it becomes part of a sentence
    assert model.architecture and model.domain in DOMAINS
    assert model.gflops > 0
    assert model.checked is (model.doubt == "")  # what was not read says where it is from
    assert model.doubt == model.doubt.strip(" .")
    assert model.languages and all(re.fullmatch("[a-z]{2}|mul", code) for code in model.languages)


@pytest.mark.parametrize("model", catalog.models()[1:], ids=lambda model: model.id)
def test_download_is_that_of_fp32_weights(model: catalog.KnownModel) -> None:
    size = 2 if "stored in 16 bits" in model.note else 4
    assert model.download_mb == pytest.approx(size * model.parameters_millions, rel=0.006)


def test_there_are_enough_and_none_twice() -> None:
    ids = [model.id.casefold() for model in catalog.models()]
    assert len(set(ids)) == len(ids) >= 120
    assert ids[0] == "builtin" and catalog.models()[0].download_mb == 0


def test_the_picture_in_the_name_is_that_of_the_row() -> None:
    for model in catalog.models():
        named = re.search(r"(?:patch\d+|ViT-[BLH]-\d+|base_w|large_d)[-_](\d{3})(?!\d)", model.id)
        assert named is None or model.image_size == int(named[1])


def test_sizes_agree_with_names() -> None:
    """TinyCLIP names its two towers in millions, without the 49,408 rows of token embeddings."""
    rows = {256: 12.6, 512: 25.3}  # width of the text net → millions
    for model in catalog.models():
        if towers := re.search(r"ViT-(\d+)M-\d+-Text-(\d+)M", model.id):
            tokens = rows[256] if towers[2] == "3" else rows[512]
            whole = sum(map(int, towers.groups())) + tokens
            assert model.parameters_millions == pytest.approx(whole, abs=1)


def test_every_alias_is_a_row_with_a_reason() -> None:
    aliases = {alias.name: alias for alias in catalog.aliases()}
    general = ["fast", "balanced", "best", "commercial-best"]
    assert list(aliases)[:4] == general
    assert list(aliases)[4:] == ["multilingual", "biomedical", "fashion", "satellite", "species"]
    known = {name: catalog.find(alias.id) for name, alias in aliases.items()}
    for name, model in known.items():
        assert model is not None and model.id == aliases[name].id, name
        assert aliases[name].reason and not aliases[name].reason.endswith(".")
        assert model.commercial is True or name == "biomedical"
        assert model.domain == (name if name in DOMAINS else "general")
    assert known["multilingual"].multilingual
    accuracy = [known[name].imagenet_top1 for name in general]
    assert accuracy == sorted(accuracy)


def test_what_is_said_of_fast_is_so() -> None:
    """Of those that allow commercial use and reach 70 %, the least work a picture."""
    fast = catalog.find(catalog.resolve("fast"))
    able = catalog.select(commercial=True, min_top1=70, domain="general")
    assert min(able, key=lambda model: model.gflops) == fast


def test_what_is_said_of_commercial_best_is_so() -> None:
    """The highest figure of those that allow commercial use and whose card was read."""
    checked = [model for model in catalog.select(commercial=True, min_top1=1) if model.checked]
    highest = max(checked, key=lambda model: model.imagenet_top1)
    assert highest.id == catalog.resolve("commercial-best")


def test_the_work_of_a_row_is_that_of_its_architecture() -> None:
    """Rows of one architecture and one size of picture have one figure."""
    figures: dict[tuple[str, int], set[float]] = {}
    for model in catalog.models():
        figures.setdefault((model.architecture, model.image_size), set()).add(model.gflops)
    assert {key: values for key, values in figures.items() if len(values) > 1} == {}


def test_what_is_said_of_the_best_is_so() -> None:
    best = catalog.find(catalog.resolve("best"))
    above = [
        m.imagenet_top1 for m in catalog.models() if (m.imagenet_top1 or 0) > best.imagenet_top1
    ]
    assert len(above) == 5 and max(above) - best.imagenet_top1 < 1.5


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("fast", "google/siglip2-base-patch32-256"),
        ("fast@main", "google/siglip2-base-patch32-256@main"),
        ("builtin", "builtin"),
        ("Fast", "Fast"),
        ("./fast", "./fast"),
        ("org/name@v1", "org/name@v1"),
        ("", ""),
    ],
)
def test_resolve(name: str, id: str) -> None:
    assert catalog.resolve(name) == id


def test_find() -> None:
    row = catalog.find("OpenAI/CLIP-ViT-Base-Patch32")  # the hub does not mind either
    assert row is not None and row.id == "openai/clip-vit-base-patch32"
    assert catalog.find("fast") is None and catalog.find("") is None


def test_select() -> None:
    assert catalog.select() == catalog.models()
    assert {m.licence for m in catalog.select(licence="mit")} == {"MIT"}
    assert catalog.select(licence="MI") == ()
    small = catalog.select(max_mb=605)
    assert small and max(m.download_mb for m in small) == 605
    many = {m.id for m in catalog.select(multilingual=True)}
    assert "BAAI/AltCLIP" in many and "google/siglip2-base-patch16-256" in many
    assert "OFA-Sys/chinese-clip-vit-base-patch16" not in many and "builtin" not in many
    allowed = catalog.select(commercial=True)
    assert {m.commercial for m in allowed} == {True} and 0 < len(allowed) < len(catalog.models())
    assert {m.domain for m in catalog.select(domain="Fashion")} == {"fashion"}
    conv = catalog.select(architecture="ConvNeXt", min_top1=79, max_gflops=400)
    assert {m.architecture for m in conv} == {"convnext_xxlarge"}
    assert all(m.imagenet_top1 >= 79 and m.gflops <= 400 for m in conv) and conv
    assert catalog.select(min_top1=99) == catalog.select(max_gflops=0) == ()
    both = catalog.select(licence="Apache-2.0", max_mb=1000, multilingual=False, commercial=True)
    assert set(both) == {m for m in allowed if m.licence == "Apache-2.0" and m.download_mb <= 1000}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("openai/clip-vit-base-patch-32", "openai/clip-vit-base-patch32"),
        ("openai/clip-vit-large-patch14-366", "openai/clip-vit-large-patch14-336"),
        ("laion/CLIP-ViT-B-32-laion2B", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("openai/clipvitlargepatch14", "openai/clip-vit-large-patch14"),
        ("openai/clip-vit-base-patch31", "openai/clip-vit-base-patch32"),
        ("ViT-B-32", "openai/clip-vit-base-patch32"),
        ("ViT-B-32/laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("RN50", "timm/resnet50_clip.openai"),
        ("hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("bultin", "builtin"),
        ("multi-lingual", "multilingual"),
    ],
)
def test_did_you_mean(typed: str, meant: str) -> None:
    assert meant in catalog.suggest(typed)


def test_nothing_is_suggested_for_nonsense() -> None:
    for name in ("xyzzy", "nobody/knows-this", "org/tiny", "stabilityai/sdxl-turbo", "gpt2"):
        assert catalog.suggest(name) == []


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


def test_the_page_that_helps_to_choose_says_what_the_data_say() -> None:
    page = (Path(__file__).parents[2] / "docs" / "which-model.md").read_text("utf-8")
    for alias in catalog.aliases():
        (row,) = re.findall(rf"^\| `{alias.name}` \| `(.+)` \| (.+) \|$", page, re.M)
        assert row == (alias.id, re.sub(r"\b(fast|balanced)\b", r"`\1`", alias.reason))
    prices = re.findall(
        r"^\| `(\S+/\S+)`[^|]* \| ([\d.]+) \| [\d.,]+ \| (\S+ [MG]B) \| (\S+) \|$", page, re.M
    )
    assert len(prices) > 10
    for id, top1, download, use in prices:
        model = catalog.find(id)
        assert model is not None and model.imagenet_top1 == float(top1), id
        megabytes = float(download[:-3]) * (1000 if download.endswith("GB") else 1)
        assert megabytes == pytest.approx(model.download_mb, rel=0.04), id
        assert use == {True: "yes", False: "no", None: "?"}[model.commercial], id
