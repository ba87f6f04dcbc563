"""BERT's encoder against transformers' BertModel, on random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig as JudgeConfig
from transformers import BertModel

from unseen.models.families import hf_bert
from unseen.networks import bert
from unseen.networks.network import Input, Network, single_output
from unseen.networks.transformer import Blocks
from unseen.runtimes import onnx, reference

REFERENCE, ONNX = 1e-5, 1e-4  # on embeddings of length 1

IDS = np.array([[2, 17, 40, 3, 0, 0, 0], [2, 5, 6, 7, 8, 9, 3], [2, 3, 0, 0, 0, 0, 0]])
MASK = (IDS != 0).astype(np.int64)

Run = Callable[[Network[Any]], Any]


@pytest.fixture(scope="module", params=["gelu", "gelu_new"])
def judge(request: pytest.FixtureRequest) -> BertModel:
    torch.manual_seed(3)
    config = JudgeConfig(
        vocab_size=60,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=16,
        hidden_act=request.param,
        initializer_range=0.3,  # large, so that every part of the network matters
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    for name, parameter in model.named_parameters():
        if name.endswith(("LayerNorm.weight", "bias")):
            torch.nn.init.normal_(parameter, mean=float("weight" in name), std=0.2)
    return model


def sentence_network(judge: BertModel) -> Network[Any]:
    state = {name: value.numpy() for name, value in judge.state_dict().items()}
    layers = judge.config.num_hidden_layers
    parameters = {ours: state[theirs] for ours, theirs in hf_bert.names(state, "", layers).items()}
    config = bert.BertConfig(
        Blocks(
            layers=layers,
            heads=judge.config.num_attention_heads,
            activation={"gelu": "gelu", "gelu_new": "gelu_tanh"}[judge.config.hidden_act],
            epsilon=judge.config.layer_norm_eps,
        )
    )

    def body(ops: Any, p: Any, ids: Any, mask: Any) -> Any:
        hidden = bert.encoder(ops, p, config, ids, mask)
        return ops.l2_normalise(ops.masked_mean(hidden, mask))

    inputs = (Input("ids", "int64", (None, None)), Input("mask", "int64", (None, None)))
    shape = (None, judge.config.hidden_size)
    return single_output("sentence", inputs, body, shape, parameters=parameters)


@torch.no_grad()
def judged(judge: BertModel, ids: Any, mask: Any) -> Any:
    """The mean over each text's own tokens, each text alone and unpadded."""
    rows = []
    for row, real in zip(ids, mask, strict=True):
        hidden = judge(torch.tensor(row[None, real == 1])).last_hidden_state
        rows.append(torch.nn.functional.normalize(hidden.mean(1), dim=-1))
    return torch.cat(rows).numpy()


def test_reference_equals_transformers(judge: BertModel) -> None:
    ours = reference.run(sentence_network(judge), IDS, MASK)
    assert np.abs(ours - judged(judge, IDS, MASK)).max() <= REFERENCE


def test_onnx_equals_transformers(judge: BertModel, tmp_path: Path) -> None:
    session = onnx.OnnxNetwork(onnx.compile_network(sentence_network(judge), tmp_path))
    assert np.abs(session(IDS, MASK) - judged(judge, IDS, MASK)).max() <= ONNX


def test_padding_changes_nothing(judge: BertModel) -> None:
    network = sentence_network(judge)
    alone = reference.run(network, IDS[:1, :4], MASK[:1, :4])
    np.testing.assert_allclose(reference.run(network, IDS, MASK)[:1], alone, atol=1e-6)
