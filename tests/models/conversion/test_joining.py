"""A text net of one repository and an image net of another: one model, one fingerprint."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    DistilBertConfig,
    DistilBertModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

import checkpoints
import hf_checkpoints
import openclip_checkpoints
import unseen
from judging import clip_judge, pictures
from unseen.models.conversion import joining

TEXTS = ["ein Foto einer Katze", "a photo of a dog", "x", "猫 狗", ""]
DIMENSION = 48  # of `checkpoints.clip`
SHAPE = {"num_hidden_layers": 2, "hidden_size": 48, "intermediate_size": 96}


def sentence_transformers(folder: Path, **changes: Any) -> tuple[Path, Any]:
    """A DistilBERT with a mean and a dense layer, as the published one → folder, its judge."""
    folder.mkdir(parents=True)
    words = hf_checkpoints.bert_tokenizer(folder)
    config = DistilBertConfig(vocab_size=words, n_layers=2, n_heads=3, dim=48, hidden_dim=96)
    model = checkpoints.randomise(DistilBertModel(config), 1)
    model.save_pretrained(folder)
    kinds = (("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 16, "do_lower_case": False})
    )
    pooling = {"word_embedding_dimension": 48, "pooling_mode_mean_tokens": True}
    pooling |= {"pooling_mode_cls_token": False} | changes.pop("pooling", {})
    dense = {"in_features": 48, "out_features": DIMENSION, "bias": False}
    dense["activation_function"] = "torch.nn.modules.linear.Identity"
    dense |= changes.pop("dense", {})
    linear = torch.nn.Linear(48, DIMENSION, bias=False)
    linear.weight.data = torch.randn(DIMENSION, 48, generator=torch.Generator().manual_seed(2))
    for name, content in (("1_Pooling", pooling), ("2_Dense", dense)):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(content))
    torch.save({"linear.weight": linear.weight.data}, folder / "2_Dense" / "pytorch_model.bin")
    return folder, (model, BertTokenizer.from_pretrained(folder), linear, 16)


def m_clip(folder: Path, base: str = "xlm-roberta-large") -> tuple[Path, Any]:
    """M-CLIP's: the encoder under a name, a linear layer with a bias, a config of five keys."""
    folder.mkdir(parents=True)
    if base == "xlm-roberta-large":
        words = hf_checkpoints.xlm_roberta_tokenizer(folder)
        config = XLMRobertaConfig(
            vocab_size=words, num_attention_heads=16, layer_norm_eps=1e-5, type_vocab_size=1,
            max_position_embeddings=514, pad_token_id=1, **SHAPE,
        )  # fmt: skip
        encoder: Any = XLMRobertaModel(config)
    else:
        words = hf_checkpoints.bert_tokenizer(folder)
        encoder = BertModel(BertConfig(vocab_size=words, num_attention_heads=12, **SHAPE))
    checkpoints.randomise(encoder, 3)
    linear = torch.nn.Linear(48, DIMENSION)
    torch.nn.init.normal_(linear.bias)
    state = {f"transformer.{name}": value for name, value in encoder.state_dict().items()}
    state |= {f"LinearTransformation.{name}": value for name, value in linear.state_dict().items()}
    torch.save(state, folder / "pytorch_model.bin")
    facts = {"modelBase": base, "numDims": DIMENSION, "transformerDimensions": 48}
    (folder / "config.json").write_text(json.dumps(facts))
    from transformers import AutoTokenizer

    kind = BertTokenizer if base != "xlm-roberta-large" else AutoTokenizer
    return folder, (encoder.eval(), kind.from_pretrained(folder), linear, 512)


@torch.no_grad()
def expected_texts(judge: Any, texts: list[str]) -> np.ndarray[Any, Any]:
    """The mean of the last hidden states that are not padding, projected."""
    model, tokenizer, linear, length = judge
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt")
    tokens = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    hidden = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"][:, :, None].float()
    rows = linear((hidden * mask).sum(1) / mask.sum(1))
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


MAKERS = {
    "sentence-transformers": sentence_transformers,
    "M-CLIP": m_clip,
    "M-CLIP, LaBSE": lambda folder: m_clip(folder, "sentence-transformers/LaBSE"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_both_halves_answer_as_their_own_libraries_do(kind: str, tmp_path: Path) -> None:
    text, judge = MAKERS[kind](tmp_path / "text")
    image = checkpoints.clip(tmp_path / "image", "B32")
    folder = joining.join(str(text), str(image), tmp_path / "joined")
    classifier = unseen.load(folder)
    assert classifier.model.family == "joined"
    texts = [*TEXTS, "a long photo of many things " * 4]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", unseen.UnseenWarning)  # one of them reads 16 tokens
        rows = classifier.encode_texts(texts)
    np.testing.assert_allclose(rows, expected_texts(judge, texts), atol=1e-4)
    np.testing.assert_allclose(
        classifier.encode_images(pictures()), clip_judge(image).images(pictures()), atol=1e-4
    )
    assert classifier.model.score == unseen.load(image).model.score


def test_the_text_net_of_the_image_half_is_left_out(tmp_path: Path) -> None:
    text, _ = sentence_transformers(tmp_path / "text")
    image = checkpoints.clip(tmp_path / "image")
    folder = joining.join(str(text), str(image), tmp_path / "joined")
    names = set(unseen.load(folder).model.weights.arrays)
    assert not [name for name in names if name.startswith("text_model.")]
    assert [name for name in names if name.startswith("vision_model.")]


@pytest.mark.parametrize("kind", ["vit", "convnext", "resnet"])
def test_the_image_half_may_be_of_any_family(kind: str, tmp_path: Path) -> None:
    """M-CLIP's B-16-plus belongs to a checkpoint in OpenCLIP's format; rules of names go along."""
    text, judge = m_clip(tmp_path / "text")
    image = openclip_checkpoints.openclip(tmp_path / "image", kind)
    folder = joining.join(str(text), str(image), tmp_path / "joined")
    ours, theirs = (unseen.load(f).encode_images(pictures()) for f in (folder, image))
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(
        unseen.load(folder).encode_texts(TEXTS), expected_texts(judge, TEXTS), atol=1e-4
    )


def test_one_fingerprint_covers_both(tmp_path: Path) -> None:
    texts = [sentence_transformers(tmp_path / "a")[0], m_clip(tmp_path / "b")[0]]
    images = [checkpoints.clip(tmp_path / f"image{seed}", seed=seed) for seed in (0, 1)]
    prints = set()
    for i, text in enumerate(texts):
        for j, image in enumerate(images):
            folder = joining.join(str(text), str(image), tmp_path / f"joined{i}{j}")
            prints.add(unseen.load(folder).model.fingerprint)
    assert len(prints) == 4


def test_a_joined_folder_may_be_moved(tmp_path: Path) -> None:
    text, _ = m_clip(tmp_path / "text")
    folder = joining.join(str(text), str(checkpoints.clip(tmp_path / "image")), tmp_path / "one")
    before = unseen.load(folder).encode_texts(["a cat"])
    folder.rename(tmp_path / "two")
    np.testing.assert_array_equal(unseen.load(tmp_path / "two").encode_texts(["a cat"]), before)


def test_what_cannot_be_joined_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    image = checkpoints.clip(tmp_path / "image")
    text, _ = sentence_transformers(tmp_path / "text")
    wide = checkpoints.clip(tmp_path / "wide", dimension=40)
    with pytest.raises(unseen.ModelError, match=r"gives 48 numbers and .* 40"):
        joining.join(str(text), str(wide), tmp_path / "out")
    with pytest.raises(unseen.ModelError, match="no text net that can be joined"):
        joining.join(str(image), str(image), tmp_path / "out")
    pooled, _ = sentence_transformers(tmp_path / "pooled", pooling={"pooling_mode_cls_token": True})
    with pytest.raises(unseen.ModelError, match="allowed is a plain mean"):
        joining.join(str(pooled), str(image), tmp_path / "out")
    (text / "modules.json").write_text('[{"type": "a.Dense", "path": "../x"}]')
    with pytest.raises(unseen.ModelError, match="a list of modules"):
        joining.join(str(text), str(image), tmp_path / "out")
    assert not [name for name in tmp_path.iterdir() if name.name.startswith((".", "out"))]
