"""The OpenAPI document is whole, and the server keeps to it whatever is generated from it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

import shapes
import unseen
from serving import Served, serving
from unseen.load_options import LoadOptions
from unseen.web.server.core.settings import Settings

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,unsupported_method"
)
SECONDS = 75  # of generating requests; more by hand: docs/serve.md


@pytest.fixture(scope="module")
def whole(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with everything: an index, and a label set."""
    folder = tmp_path_factory.mktemp("album")
    for label in ("red circle", "blue square"):
        shapes.draw(shapes.scene(label), 0).save(folder / f"{label}.png")
    with unseen.Index(folder) as index:
        index.update(unseen.load(shapes_clip).encoder)
    labels = folder / "default.txt"
    labels.write_text("red\nblue\n")
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        index=folder,
        labels=(labels,),
        label_store=folder / "sets.sqlite",
    )
    with serving(settings) as served:
        yield served


def test_the_document_is_valid_and_describes_every_route(whole: Served) -> None:
    document = httpx.get(f"{whole.url}/openapi.json", timeout=60).json()
    assert document["openapi"].startswith("3.1")
    validate(document)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (path, method)
            assert set(operation["responses"]) - {"422"}, (path, method)


def test_every_example_is_answered(whole: Served) -> None:
    """What the document shows as a body is one that works."""
    document = httpx.get(f"{whole.url}/openapi.json", timeout=60).json()
    tried = 0
    for path, operations in document["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        for example in _examples(content.get("application/json", {}), document):
            answer = httpx.post(whole.url + path, json=example, timeout=60)
            assert answer.status_code == 200, (path, example, answer.text)
            tried += 1
    assert tried >= 4


def test_every_list_that_a_client_sends_is_bounded(whole: Served) -> None:
    document = httpx.get(f"{whole.url}/openapi.json", timeout=60).json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            for schema in _within(content.get("application/json", {}), document):
                if schema.get("type") == "array":
                    assert "maxItems" in schema, f"{path}: give {schema} the BOUNDED of schemas.py"


def _within(node: Any, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every object in a schema, and in those that it refers to."""
    if isinstance(node, dict):
        yield node
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            yield from _within(document["components"]["schemas"][name], document)
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _within(part, document)


def _examples(content: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    schema = content.get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    schema = document["components"]["schemas"].get(name, schema)
    shown = [one.get("value") for one in content.get("examples", {}).values()]
    shown += [content["example"]] if "example" in content else []
    return shown or schema.get("examples", [])


def test_schemathesis_finds_nothing(whole: Served) -> None:
    run = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{whole.url}/openapi.json",
        "--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "15",
        "--generation-deterministic", "--request-timeout", "30", "--max-time", str(SECONDS),
        "--no-color",
    ]  # fmt: skip
    done = subprocess.run(run, capture_output=True, text=True, timeout=SECONDS * 4)
    assert done.returncode == 0, done.stdout[-8000:]
    assert "generated" in done.stdout
