"""The manifest of an output: what made it.

Beside NAME of `classify` lies NAME.run.json, which `--resume` and `diff` read, written when a run
begins and completed when it ends; `embed` writes one, too. That of another output is written with
it, into the hidden folder .manifests beside it: nobody needs it but who asks what made a file.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.errors import SourceError
from unseen.labels.templates import fill
from unseen.system.cache import write_atomically
from unseen.system.regular_file import read_text

if TYPE_CHECKING:
    from unseen.index.model_rows import ModelRow
    from unseen.labels.compiled import CompiledLabels
    from unseen.models.model import Model
    from unseen.prediction.facets import Facet

FORMAT = "unseen-run-2"
HIDDEN = ".manifests"
VERSIONS = ("unseen", "onnxruntime", "numpy", "pillow", "tokenizers")


def manifest_path(output: Path, *, hidden: bool = False) -> Path:
    """Where the manifest of an output lies."""
    folder = output.parent / HIDDEN if hidden else output.parent
    return folder / f"{output.name}.run.json"


def manifest(
    model: Model, compiled: CompiledLabels | None, options: dict[str, Any]
) -> dict[str, Any]:
    """What makes a row what it is, as plain data. Without labels: what makes an embedding that."""
    return {
        "format": FORMAT,
        "model": model.name,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "score": asdict(model.score),
        **({} if compiled is None else _words(compiled)),
        "options": options,
        "versions": versions(),
        "started": now(),
    }


def facets_manifest(
    model: Model, facets: Mapping[str, Facet], options: dict[str, Any]
) -> dict[str, Any]:
    """As `manifest`, for the answers of several label sets: `facets` has what is of one alone."""
    words = {
        name: {**_words(facet.labels), "multi": facet.decision.multi_label}
        for name, facet in facets.items()
    }
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()
    return {
        **manifest(model, None, options),
        "labels": [],
        "labels_sha256": digest,
        "facets": words,
    }


def of_facet(facts: dict[str, Any] | None, facet: str | None) -> dict[str, Any] | None:
    """A manifest as one label set of several has it."""
    words = None if facts is None else facts.get("facets", {}).get(facet)
    if facts is None or words is None:
        return facts
    options = {**facts.get("options", {}), "multi": words["multi"]}
    return {**facts, **words, "options": options}


def row_manifest(row: ModelRow, options: dict[str, Any]) -> dict[str, Any]:
    """As `manifest`, for what was made of the embeddings of an index; no model is loaded."""
    return {
        "format": FORMAT,
        "model": row.name,
        "revision": row.revision,
        "fingerprint": row.fingerprint,
        "options": {**options, "precision": row.precision, "exact": row.exact},
        "versions": versions(),
        "started": now(),
    }


def write_manifest(output: Path, facts: dict[str, Any], *, hidden: bool = False) -> None:
    """Of an output. OSError."""
    content = json.dumps(facts, ensure_ascii=False, indent=1)
    path = manifest_path(output, hidden=hidden)
    if hidden:
        path.parent.mkdir(exist_ok=True)
        manifest_path(output).unlink(missing_ok=True)  # of the file before, by 0.1.0
    write_atomically(path, content.encode("utf-8", "backslashreplace"))


def write_ended(
    output: Path,
    facts: dict[str, Any],
    pictures: int,
    errors: int,
    *,
    complete: bool = True,
    hidden: bool = True,
) -> None:
    """The manifest of an output that is written when it is all there. SourceError."""
    ended = {"pictures": pictures, "errors": errors, "complete": complete, "ended": now()}
    try:
        write_manifest(output, {**facts, **ended}, hidden=hidden)
    except OSError as error:
        path = manifest_path(output, hidden=hidden)
        raise SourceError(f"{path}: it cannot be written: {error.strerror or error}.") from None


def _words(compiled: CompiledLabels) -> dict[str, Any]:
    # Of the words, not of the matrix: its last bits depend on how prompts were batched.
    # Examples are among the prompts, by their digests; their paths may differ.
    words = [
        {k: v for k, v in asdict(label).items() if k != "examples"} | {"prompts": own}
        for label, own in zip(compiled.labels, compiled.prompts, strict=True)
    ]
    templates = _templates(compiled)
    return {
        "labels": [_label(compiled, place, templates) for place in range(len(compiled.labels))],
        "templates": templates,
        "labels_sha256": hashlib.sha256(json.dumps(words).encode()).hexdigest(),
    }


def versions() -> dict[str, str]:
    """Of what computes here."""
    numbers = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            numbers[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return numbers


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _templates(compiled: CompiledLabels) -> list[str]:
    """The patterns that most labels' prompts follow: 80 prompts a label need not be written out."""
    patterns = Counter(
        tuple(prompt.replace(label.name, "{}") for prompt in prompts)
        for label, prompts in zip(compiled.labels, compiled.prompts, strict=True)
    )
    return list(patterns.most_common(1)[0][0])


def _label(compiled: CompiledLabels, place: int, templates: list[str]) -> dict[str, Any]:
    """One label; its prompts only where they are not those of the templates."""
    label, prompts = compiled.labels[place], compiled.prompts[place]
    facts: dict[str, Any] = {"name": label.name}
    if label.threshold is not None:
        facts["threshold"] = label.threshold
    if label.background:
        facts["background"] = True
    if list(prompts) != [fill(template, label.name) for template in templates]:
        facts["prompts"] = list(prompts)
    return facts


def prompts_of(manifest: dict[str, Any]) -> dict[str, list[str] | None]:
    """The prompts of each label of a manifest; None where it is too old to say."""
    templates = manifest.get("templates")
    prompts: dict[str, list[str] | None] = {}
    for label in manifest.get("labels", []):
        if isinstance(label, str):
            prompts[label] = None
        elif "prompts" in label:
            prompts[label["name"]] = label["prompts"]
        else:
            prompts[label["name"]] = [fill(t, label["name"]) for t in templates or []]
    return prompts


def read_manifest(output: Path) -> dict[str, Any] | None:
    """What lies beside an output; None when nothing does. SourceError when it is damaged."""
    path = manifest_path(output)
    try:
        facts = json.loads(read_text(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: this manifest cannot be read: {error}.") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("labels"), list):
        raise SourceError(f"{path}: this is not the manifest of a run.")
    return facts
