"""A text net of one repository and an image net of another → one folder, one model.

Multilingual CLIPs are published so: the text net was trained to give what CLIP's own gives for the
English sentence, and the image net stayed as it was. Two kinds are read: those of
sentence-transformers (Reimers & Gurevych 2020, arXiv:2004.09813) and M-CLIP (Carlsson et al. 2022).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unseen.errors import ModelError
from unseen.models import config_values, families, hub
from unseen.models.checkpoint import HF_CONFIG, Checkpoint
from unseen.models.conversion.checkpoint_folder import (
    TOKENIZER_FILES,
    check_is_free,
    new_checkpoint,
)
from unseen.models.families import hf_bert, joined
from unseen.models.families.hf_config import HIDDEN_ACTS, check_heads, count_layers
from unseen.models.families.hf_vision import layers
from unseen.models.families.openclip import settings
from unseen.models.inputs import Masked
from unseen.models.model import Model
from unseen.models.tokenizers.tokenizer import TokenizerSpec
from unseen.models.towers import TowerSpec
from unseen.models.weights.files import FILES, Weights, open_weights
from unseen.models.weights.safetensors_file import write_arrays
from unseen.models.weights.spec import WeightsSpec
from unseen.networks import bert
from unseen.networks.parameters import used_parameters
from unseen.networks.transformer import Blocks

Array = NDArray[Any]

PREFIX = "text_half."  # before the names of the text net's weights
MODULES = "modules.json"  # of sentence-transformers
TEXT_FILES = [HF_CONFIG, MODULES, "sentence_bert_config.json", "*/config.json", *TOKENIZER_FILES]
TEXT_FILES += [*FILES, *(f"*/{name}" for name in FILES)]

DISTILBERT_EMBEDDINGS = {
    ours: theirs for ours, theirs in hf_bert.EMBEDDINGS.items() if ours != "types"
}
DISTILBERT_LAYER = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "out": "attention.out_lin",
    "norm1": "sa_layer_norm",
    "mlp1": "ffn.lin1",
    "mlp2": "ffn.lin2",
    "norm2": "output_layer_norm",
}


@dataclass(frozen=True)
class TextHalf:
    """A text net as its repository has it.

    `names`: ours → theirs in `weights`; those of `projection` are in weights of their own.
    """

    blocks: Blocks
    first_position: int
    context_length: int
    weights: Weights
    names: Mapping[str, str]
    projection: Mapping[str, Array]


def join(text: str, image: str, folder: str | Path) -> Path:
    """Write a folder that every command loads: the text net of one checkpoint, the rest of another.

    Parameters
    ----------
    text : str
        A folder or hub id: a multilingual CLIP of sentence-transformers (modules.json), or M-CLIP.
    image : str
        A model of any family whose image net the text net was trained for: a folder, hub id or
        short name.
    folder : str or Path
        What to write. It must not be there, or be empty.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        For a text net that is not of these two kinds, embeddings of two lengths, or a folder in
        the way.
    """
    target = Path(folder).expanduser()
    check_is_free(target)
    source = Path(text).expanduser()
    source = source if source.is_dir() else hub.files(text, TEXT_FILES)
    half = _text_half(source, text)
    picture_half = families.read(hub.locate(image))
    dimension = half.projection["weight"].shape[0]
    if dimension != picture_half.dimension:
        raise ModelError(
            f"{text} gives {dimension} numbers and {image} {picture_half.dimension}: they were not "
            "trained for one another."
        )
    with new_checkpoint(target, source) as draft:
        write_arrays(draft / FILES[0], _Arrays(picture_half, half))
        model = _joined(picture_half, half, draft)
        config = {"model_type": joined.MODEL_TYPE, "text": text, "image": picture_half.name}
        plain = json.dumps({**config, "model": model.to_dict()}, ensure_ascii=False)
        (draft / HF_CONFIG).write_text(plain, "utf-8")
        read = families.read(Checkpoint(str(draft), draft))
        for network in (read.image_network(), read.text_network()):
            used_parameters(network)
    return target


def _joined(image: Model, half: TextHalf, folder: Path) -> Model:
    ours = [*half.names, *(f"projection.{kind}" for kind in half.projection)]
    tower = TowerSpec(
        "bert",
        bert.TextConfig(bert.BertConfig(half.blocks, half.first_position), "mean", image.dimension),
        {name: PREFIX + name for name in ours},
    )
    tokenizer = TokenizerSpec(str(folder))
    tokenizer.open()
    return replace(
        image,
        family="joined",
        text_tower=tower,
        text_inputs=Masked(),
        tokenizer=tokenizer,
        context_length=half.context_length,
        weights=WeightsSpec(str(folder), (FILES[0],)),
    )


class _Arrays(Mapping[str, Array]):
    """The weights of both halves under the names of the folder, read one at a time."""

    def __init__(self, image: Model, half: TextHalf) -> None:
        weights = image.weights.arrays
        stems = {stem for rule in image.image_tower.names.values() for stem in _stored(rule)}
        self._readers: dict[str, Callable[[], Array]] = {}
        for name in weights:
            if name in stems or any(name.startswith(f"{stem}.") for stem in stems):
                self._readers[name] = lambda name=name: weights[name]  # type: ignore[misc]
        for ours, theirs in half.names.items():
            self._readers[PREFIX + ours] = lambda theirs=theirs: half.weights[theirs]  # type: ignore[misc]
        for kind, array in half.projection.items():
            self._readers[f"{PREFIX}projection.{kind}"] = lambda array=array: array  # type: ignore[misc]

    def __getitem__(self, name: str) -> Array:
        return self._readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


def _stored(rule: Any) -> Iterator[str]:
    """The names of weights, or what they begin with, that a rule reads."""
    if isinstance(rule, str):
        yield rule
    elif isinstance(rule, tuple):
        for item in rule:
            yield from _stored(item)
    elif is_dataclass(rule):
        for field in fields(rule):
            yield from _stored(getattr(rule, field.name))


def _text_half(folder: Path, name: str) -> TextHalf:
    config = _read(folder / HF_CONFIG)
    if (folder / MODULES).is_file():
        return _sentence_transformers(folder, name, config)
    if "modelBase" in config:
        return _m_clip(folder, config)
    raise ModelError(
        f"{name}: this is no text net that can be joined; allowed are repositories of "
        f"sentence-transformers ({MODULES}) and M-CLIP (modelBase in config.json)."
    )


def _m_clip(folder: Path, config: Mapping[str, Any]) -> TextHalf:
    row = settings.known("hf_model_name", str(config["modelBase"]))
    weights = open_weights(folder)
    stem = "transformer."
    count = count_layers(weights, f"{stem}encoder.layer.")
    names = hf_bert.names(weights, stem, count)
    width = weights.shape(names["tokens"], 2)[1]
    check_heads(row["heads"], width, HF_CONFIG)
    positions = weights.shape(names["positions"], 2)[0]
    head = "LinearTransformation"
    return TextHalf(
        Blocks(count, row["heads"], row["activation"], row["epsilon"]),
        row["first_position"],
        positions - row["first_position"],
        weights,
        names,
        {kind: weights[f"{head}.{kind}"] for kind in ("weight", "bias")},
    )


def _sentence_transformers(folder: Path, name: str, config: Mapping[str, Any]) -> TextHalf:
    kinds = [(row["type"].rpartition(".")[2], row["path"]) for row in _modules(folder)]
    if [kind for kind, _ in kinds if kind != "Normalize"] != ["Transformer", "Pooling", "Dense"]:
        raise ModelError(
            f"{name}: {MODULES} has {', '.join(kind for kind, _ in kinds)}; allowed are "
            "Transformer, Pooling and Dense, in this order."
        )
    paths = dict(kinds)
    pooling, dense = (_read(folder / paths[kind] / HF_CONFIG) for kind in ("Pooling", "Dense"))
    pools = [key for key, value in pooling.items() if key.startswith("pooling_mode_") and value]
    limits = _read(folder / "sentence_bert_config.json")
    activation = str(dense.get("activation_function", "Identity")).rpartition(".")[2]
    if pools != ["pooling_mode_mean_tokens"] or activation != "Identity":
        raise ModelError(f"{name}: it pools by {pools} with {activation}; allowed is a plain mean.")
    if limits.get("do_lower_case"):
        raise ModelError(f"{name}: do_lower_case is true, which is not supported.")
    weights = open_weights(folder)
    blocks, first, names = _encoder(weights, config)
    projection = open_weights(folder / paths["Dense"])
    kinds_of = [kind for kind in ("weight", "bias") if f"linear.{kind}" in projection]
    positions: int = weights.shape(names["positions"], 2)[0] - first
    length: int = limits.get("max_seq_length") or positions
    return TextHalf(
        blocks,
        first,
        min(length, positions),
        weights,
        names,
        {kind: projection[f"linear.{kind}"] for kind in kinds_of},
    )


def _encoder(weights: Weights, config: Mapping[str, Any]) -> tuple[Blocks, int, dict[str, str]]:
    """Blocks, the first position and the names of DistilBERT, BERT, RoBERTa or XLM-RoBERTa."""
    kind = config.get("model_type")
    if kind == "distilbert":
        count = count_layers(weights, "transformer.layer.")
        names = dict(DISTILBERT_EMBEDDINGS)
        names |= layers(weights, "transformer.layer.{}", DISTILBERT_LAYER, count)
        heads, activation, epsilon, first = config["n_heads"], config.get("activation"), 1e-12, 0
    elif kind in ("bert", "roberta", "xlm-roberta"):
        count = count_layers(weights, "encoder.layer.")
        names = hf_bert.names(weights, "", count)
        heads, activation = config["num_attention_heads"], config.get("hidden_act")
        epsilon = config.get("layer_norm_eps", 1e-12 if kind == "bert" else 1e-5)
        first = 0 if kind == "bert" else config.get("pad_token_id", 1) + 1
    else:
        raise ModelError(
            f"config.json says model_type {kind!r}; allowed are distilbert, bert, roberta and "
            "xlm-roberta."
        )
    if activation not in (None, *HIDDEN_ACTS):
        raise ModelError(f"config.json asks for the activation {activation!r}: not supported.")
    check_heads(heads, weights.shape(names["tokens"], 2)[1], HF_CONFIG)
    blocks = Blocks(count, heads, HIDDEN_ACTS[activation or "gelu"], float(epsilon))
    return blocks, first, names


def _modules(folder: Path) -> list[dict[str, Any]]:
    rows = config_values.read_json(folder / MODULES)
    safe = isinstance(rows, list) and all(
        isinstance(row, dict) and isinstance(row.get("type"), str) and _is_inside(row.get("path"))
        for row in rows
    )
    if not safe:
        raise ModelError(f"{folder / MODULES}: a list of modules with type and path was expected.")
    modules: list[dict[str, Any]] = rows
    return modules


def _is_inside(path: object) -> bool:
    """Whether a path is a folder's own or of one in it: nothing that leads out."""
    return isinstance(path, str) and "/" not in path and "\\" not in path and path != ".."


def _read(path: Path) -> dict[str, Any]:
    try:
        content = config_values.read_json(path)
    except FileNotFoundError:
        raise ModelError(f"{path}: this file is missing.") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path}: a JSON object was expected.")
    return content
