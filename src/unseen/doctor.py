"""What this installation is, and whether it works: data for `unseen doctor`."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from PIL import Image

from unseen import __version__, cache
from unseen.classify import load
from unseen.runtimes import onnx, reference

LIBRARIES = ("numpy", "onnx", "onnxruntime", "pillow", "tokenizers", "safetensors")
HUB_SECONDS = 3.0
SELF_TEST_COSINE = 0.9999  # of the compiled networks to the reference runtime


@dataclass(frozen=True)
class Finding:
    """One line of the report. `ok` None: a fact, neither good nor bad."""

    name: str
    value: str
    ok: bool | None = None
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Every finding, as soon as it is known; the self-test comes last."""
    yield Finding("unseen", __version__)
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    for library in LIBRARIES:
        yield Finding(library, metadata.version(library))
    yield Finding("execution providers", onnx.providers())
    yield Finding("processors", str(os.cpu_count()))
    yield _home()
    yield _hub()
    yield from _self_test()


def _home() -> Finding:
    folder = cache.home()
    size = f"{cache.size_of(folder) / 1e6:,.0f} MB"
    temporary = folder.is_relative_to(tempfile.gettempdir()) and folder.name.startswith("unseen-")
    return Finding(
        "home",
        f"{folder} ({size}; may be deleted at any time)",
        ok=not temporary,
        advice="set UNSEEN_HOME to a folder that can be written to" if temporary else "",
    )


def _hub() -> Finding:
    from huggingface_hub import HfApi, constants  # noqa: PLC0415 - 0.3 s

    where = f"{constants.ENDPOINT}, files in {constants.HF_HUB_CACHE}"
    if constants.HF_HUB_OFFLINE:
        return Finding("hub", f"{where}: offline by HF_HUB_OFFLINE")
    try:
        HfApi().model_info("openai/clip-vit-base-patch32", timeout=HUB_SECONDS)
    except Exception as error:  # the network is not ours to judge
        return Finding(
            "hub",
            f"{where}: not reached ({type(error).__name__})",
            advice="only downloads need it: the built-in model and local folders work without",
        )
    return Finding("hub", f"{where}: reached", ok=True)


def _self_test() -> Iterator[Finding]:
    """The built-in model, compiled, against the reference runtime on a drawn picture and words."""
    start = time.perf_counter()
    encoder = load().encoder
    model = encoder.model
    picture = Image.linear_gradient("L").resize((300, 200)).convert("RGB")
    pixels = model.preprocess(picture)[None]
    ids, _ = model.tokenizer.encode(["a photo of a cat"], model.context_length)
    ours = encoder.encode_images([picture]), encoder.encode_texts(["a photo of a cat"])
    judges = (
        reference.run(model.image_network(), pixels),
        reference.run(model.text_network(), *model.text_inputs(ids)),
    )
    for net, mine, theirs in zip(("image net", "text net"), ours, judges, strict=True):
        cosine = float((mine * theirs).sum())
        yield Finding(
            f"self-test, {net}",
            f"cosine {cosine:.6f} to the reference",
            ok=cosine >= SELF_TEST_COSINE,
            advice="" if cosine >= SELF_TEST_COSINE else "reinstall onnxruntime, and report it",
        )
    yield Finding("self-test took", f"{time.perf_counter() - start:.1f} s")
