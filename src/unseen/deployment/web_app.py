"""A classifier as a folder that any static host serves: it runs in the browser, and asks nobody."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.deployment.classifier_graph import Answering
from unseen.deployment.onnx_classifier import ExportOptions, export
from unseen.deployment.web_runtime import (
    LICENCE,
    RUNTIME,
    VERSION,
    WEBGPU_RUNTIME,
    runtime_files,
)
from unseen.encoder import Encoder
from unseen.errors import ModelError, SourceError
from unseen.system.cache import draft_folder
from unseen.system.packaged import packaged

FORMAT = "unseen-web-1"
CHUNK = 20 << 20  # bytes; static hosts stop at 25 MB a file
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'"
)
PAGE = ("index.html", "page.js", "style.css", "unseen.js", "unseen.d.ts", "sw.js", "_headers")
SHARED = ("palette.css", "icon.svg")
FACTS = "classifier.json"
NOTICES = "onnxruntime-web.LICENSE.txt"
# Of the model's metadata, what is in it as it is.
DATA = ("labels", "thresholds", "least_evidence", "licence", "golden", "revision")
# Files whose names have the digest of what is in them: a host may keep them for ever.
NAMED_BY_DIGEST = ("model-", "ort-wasm-")
# What the page needs before a picture comes; the model is kept when it is first loaded.
SHELL = ("./", "page.js", "style.css", "unseen.js", *SHARED, FACTS)


@dataclass(frozen=True)
class WebExport:
    """A folder that was written.

    Parameters
    ----------
    folder : Path
        The folder; ``index.html`` is its page.
    answers : tuple of str
        The k answers.
    bytes : int
        Of all its files.
    licence : str or None
        Of the model's weights.
    """

    folder: Path
    answers: tuple[str, ...]
    bytes: int
    licence: str | None

    def __repr__(self) -> str:
        size = self.bytes / 1e6
        return f"WebExport({str(self.folder)!r}, {len(self.answers)} answers, {size:.1f} MB)"


def export_web(
    encoder: Encoder,
    answering: Answering,
    folder: str | Path,
    *,
    precision: str = "fp16",
    runtime: str | Path | None = None,
    webgpu: bool = False,
    with_embedding: bool = False,
    overwrite: bool = False,
) -> WebExport:
    """Write a classifier as a web app.

    Parameters
    ----------
    encoder : Encoder
        Of the model.
    answering : Answering
        The labels, and how cosines become probabilities.
    folder : str or Path
        The folder to write, whole or not at all.
    precision : str
        ``fp16`` is half of ``fp32`` to download and as quick; ``int8`` is a quarter, and quicker.
    runtime : str or Path, optional
        A folder that has the files of the npm package onnxruntime-web; by default they are fetched
        once, checked, and kept in the cache.
    webgpu : bool
        Take the larger runtime, which computes with WebGPU where that gives the right answers.
    with_embedding : bool
        Whether answers have the picture's embedding, too.
    overwrite : bool
        Replace a folder that exists. One that holds something else is never replaced.

    Returns
    -------
    WebExport

    Raises
    ------
    SourceError
        If the folder exists and is not to be replaced, or the runtime cannot be found or fetched.
    ModelError
        If the net is too large for a browser, or cannot be exported.
    """
    target = Path(folder)
    _check_target(target, overwrite=overwrite)
    files = runtime_files(None if runtime is None else Path(runtime), webgpu=webgpu)
    target.parent.mkdir(parents=True, exist_ok=True)
    with draft_folder(target.parent) as temporary:
        model = temporary / "model.onnx"
        exported = export(encoder, answering, model, ExportOptions(precision, None, with_embedding))
        if exported.bytes != model.stat().st_size:
            raise ModelError("a net of more than 1.9 GB does not fit into a browser.")
        draft = temporary / "web"
        draft.mkdir()
        content = model.read_bytes()
        (module, script), (_, wasm) = files.items()
        # Compressed on the disk: many hosts send a file as it is.
        packed = gzip.compress(wasm, 9, mtime=0)
        facts = _facts(content, exported.metadata, packed, webgpu)
        for number, row in enumerate(facts["model"]["chunks"]):
            (draft / row["file"]).write_bytes(content[number * CHUNK : (number + 1) * CHUNK])
        _write(draft, facts, {module: script, facts["runtime"]["file"]: packed})
        size = sum(file.stat().st_size for file in draft.iterdir())
        if target.exists():
            shutil.move(target, temporary / "old")
        draft.rename(target)
    return WebExport(target, exported.answers, size, exported.licence)


def _check_target(target: Path, *, overwrite: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / FACTS).is_file():
        raise SourceError(
            f"{target}: it exists and is not an exported web app; give another folder."
        )
    if not overwrite:
        raise SourceError(f"{target} exists; pass --overwrite to replace it.")
    own = {*PAGE, *SHARED, *RUNTIME, *WEBGPU_RUNTIME, NOTICES, FACTS}
    others = [
        file.name
        for file in sorted(target.iterdir())
        if file.name not in own and not file.name.startswith(NAMED_BY_DIGEST)
    ]
    if others:
        raise SourceError(
            f"{target}: --overwrite would delete {', '.join(others[:3])}"
            f"{f' and {len(others) - 3} more' if len(others) > 3 else ''}, which no export wrote; "
            "move it away, or give another folder."
        )


def _facts(
    content: bytes, metadata: Mapping[str, str], runtime: bytes, webgpu: bool
) -> dict[str, Any]:
    facts = {key: json.loads(metadata[key]) for key in DATA}
    chunks = [content[start : start + CHUNK] for start in range(0, len(content), CHUNK)]
    return {
        "format": FORMAT,
        **facts,
        "mode": metadata["mode"],
        "accuracy": metadata["accuracy"],
        "model": {
            "name": metadata["model"],
            "fingerprint": metadata["fingerprint"],
            "precision": metadata["precision"],
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "chunks": [_file_row(f"model-{i:02}", chunk) for i, chunk in enumerate(chunks)],
        },
        "runtime": {
            "name": "onnxruntime-web",
            "version": VERSION,
            "webgpu": webgpu,
            **_file_row("ort-wasm", runtime),
        },
    }


def _file_row(name: str, content: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"file": f"{name}-{sha256[:12]}", "bytes": len(content), "sha256": sha256}


def _write(folder: Path, facts: dict[str, Any], runtime: Mapping[str, bytes]) -> None:
    text = json.dumps(facts, ensure_ascii=False, indent=1).encode()
    (folder / FACTS).write_bytes(text)
    values = {
        "integrity": hashlib.sha256(text).hexdigest(),
        "policy": POLICY,
        "shell": json.dumps([*SHELL, *runtime]),
        "module": next(iter(runtime)),
    }
    package = packaged("deployment/web")
    for name in PAGE:
        content = package.joinpath(name).read_text("utf-8")
        for key, value in values.items():
            content = content.replace("{{" + key + "}}", value)
        (folder / name).write_bytes(content.encode())
    for name in SHARED:
        (folder / name).write_bytes(packaged(f"pages/{name}").read_bytes())
    for name, binary in runtime.items():
        (folder / name).write_bytes(binary)
    (folder / NOTICES).write_text(LICENCE, "utf-8")
