"""The registry of families: one row each, and everything else reads it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest

from unseen.models import catalog, families, hub
from unseen.models.checkpoint import FACTS, HF_CONFIG, OPEN_CLIP_CONFIG, WEIGHTS
from unseen.models.families import FAMILIES, Family
from unseen.models.tokenizers.tokenizer_files import READERS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_row_has_a_reader_and_a_config(family: Family) -> None:
    assert callable(import_module(f"unseen.models.families.{family.name}").read)
    assert family.config_file in WEIGHTS


def test_every_module_that_reads_has_a_row() -> None:
    folder = Path(families.__file__).parent
    readers = {
        path.stem if path.name != "__init__.py" else path.parent.name
        for path in [*folder.glob("*.py"), *folder.glob("*/__init__.py")]
        if path.parent != folder or path.name != "__init__.py"
        if re.search(r"^def read\(", path.read_text("utf-8"), re.M)
    }
    assert readers == {family.name for family in FAMILIES}


def test_names_and_model_types_are_there_once() -> None:
    names = [family.name for family in FAMILIES]
    types = [model_type for family in FAMILIES for model_type in family.model_types]
    assert len(set(names)) == len(names) and len(set(types)) == len(types)
    for family in FAMILIES:
        for model_type in family.model_types:
            assert families.of_model_type(model_type) is family
    assert families.of_model_type("blip") is None and families.of_model_type([]) is None


def test_the_catalogue_names_families_that_are_read_and_their_examples() -> None:
    ids: dict[str, list[str]] = {}
    for model in catalog.models():
        ids.setdefault(model.family, []).append(model.id)
    assert set(ids) <= {family.name for family in FAMILIES}
    for family in FAMILIES:
        if family.name in ids:
            examples = [id for id in ids[family.name] for p in family.examples if fnmatch(id, p)]
            assert examples, family.name


@pytest.mark.parametrize(
    "family",
    [f for f in FAMILIES if f.examples and f.name != "builtin"],
    ids=lambda family: family.name,
)
def test_the_docs_have_a_row_of_each(family: Family) -> None:
    page = (DOCS / "models.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| {re.escape(family.title)} \|.*$", page, re.M)
    recognised_by = family.model_types or (family.config_file,)
    for text in (*recognised_by, *family.examples):
        assert f"`{text}`" in row, text


def test_of_two_configs_that_of_transformers_counts_if_its_family_has_a_row(
    tmp_path: Path,
) -> None:
    (tmp_path / OPEN_CLIP_CONFIG).write_text("{}")
    for model_type, name in (("clip", HF_CONFIG), ("siglip2", HF_CONFIG), ("x", OPEN_CLIP_CONFIG)):
        config = {"model_type": model_type, "vision_config": {}}
        (tmp_path / HF_CONFIG).write_text(json.dumps(config))
        assert hub.locate(str(tmp_path)).config_file == name, model_type


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"open_clip_model_name": "hf-hub:org/x", "auto_map": {"AutoModel": "x.y"}}, "openclip"),
        ({}, "openclip"),
        ({"vision_config": None, "text_config": "x"}, "openclip"),
        ({"text_config": {}}, "transformers"),
        ({"vision_config_dict": {"patch_size": 32}}, "transformers"),  # CLIP's of early days
    ],
)
def test_a_stub_config_does_not_hide_the_one_of_openclip(
    config: dict[str, object], name: str, tmp_path: Path
) -> None:
    """The trap of Marqo's repositories: a model type without a tower, and code of their own."""
    (tmp_path / OPEN_CLIP_CONFIG).write_text("{}")
    (tmp_path / HF_CONFIG).write_text(json.dumps({"model_type": "siglip", **config}))
    expected = OPEN_CLIP_CONFIG if name == "openclip" else HF_CONFIG
    assert hub.locate(str(tmp_path)).config_file == expected


def test_every_tokenizer_file_is_a_fact() -> None:
    """A file that changes ids is part of the fingerprint, and downloaded."""
    assert {name for names in READERS for name in names} <= set(FACTS)


def test_only_the_family_that_is_read_is_imported(shapes_clip: Path) -> None:
    code = f"""
import sys, unseen
unseen.load({str(shapes_clip)!r})
print(*sorted(m.split(".")[3] for m in sys.modules if m.startswith("unseen.models.families.")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["assemble", "clip", "hf_config", "hf_vision"], done.stderr
