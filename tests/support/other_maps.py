"""Maps of other methods on transformers' CLIP, in torch: what ours are held against.

Each takes a `Net`, one picture (1, 3, height, width) and a direction (d,), and gives the patches'
scores. Written from the papers: Chefer et al. 2021 (arXiv:2103.15679), Selvaraju et al. 2017
(Grad-CAM, arXiv:1610.02391), Bousselham et al. 2024 (LeGrad, arXiv:2404.03214; GEM,
arXiv:2312.00878), Zhou et al. 2022 (MaskCLIP, arXiv:2112.01071).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CLIPModel

Scores = np.ndarray[Any, Any]


class Net:
    """The image net of a checkpoint whose attentions and tokens are kept, with their gradients."""

    def __init__(self, folder: Path) -> None:
        model = CLIPModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        self.model = model.eval()
        self.vision, self.projection = model.vision_model, model.visual_projection

    def run(self, pixels: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Attentions (heads, tokens, tokens) and tokens (tokens, width) of every layer, which have
        gradients."""
        with torch.enable_grad():
            state = self.vision(pixels, output_attentions=True, output_hidden_states=True)
        for kept in (*state.attentions, *state.hidden_states):
            if kept.requires_grad:
                kept.retain_grad()
        return [*state.attentions], [*state.hidden_states]

    def contrast(self, token: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """Of a token: its embedding's product with the direction."""
        embedding = self.projection(self.vision.post_layernorm(token))
        return (embedding / embedding.norm(dim=-1, keepdim=True)) @ direction


def chefer(net: Net, pixels: torch.Tensor, direction: torch.Tensor) -> Scores:
    """Gradient times attention, positive, of every layer, rolled out from the first."""
    attentions, hidden = net.run(pixels)
    gradients = torch.autograd.grad(net.contrast(hidden[-1][0, 0], direction), attentions)
    relevance = torch.eye(attentions[0].shape[-1])
    for attention, gradient in zip(attentions, gradients, strict=True):
        step = (attention * gradient).clamp(min=0).mean(1)[0]
        relevance = relevance + step @ relevance
    return relevance[0, 1:].detach().numpy()


def grad_cam(net: Net, pixels: torch.Tensor, direction: torch.Tensor) -> Scores:
    """Tokens before the last block, weighed by the mean of their gradients."""
    _, hidden = net.run(pixels)
    (gradient,) = torch.autograd.grad(net.contrast(hidden[-1][0, 0], direction), [hidden[-2]])
    weights = gradient[0, 1:].mean(0)
    return (hidden[-2][0, 1:] @ weights).clamp(min=0).detach().numpy()


def legrad(net: Net, pixels: torch.Tensor, direction: torch.Tensor) -> Scores:
    """Positive gradients of the attentions, of each layer's own score, the mean of the layers."""
    attentions, hidden = net.run(pixels)
    total = torch.zeros(attentions[0].shape[-1] - 1)
    for attention, token in zip(attentions, hidden[1:], strict=True):
        score = net.contrast(token[0, 0], direction)
        (gradient,) = torch.autograd.grad(score, [attention], retain_graph=True)
        total += gradient.clamp(min=0)[0].mean((0, 1))[1:]
    return (total / len(attentions)).detach().numpy()


@torch.no_grad()
def maskclip(net: Net, pixels: torch.Tensor, direction: torch.Tensor) -> Scores:
    """The last block without mixing: values through the output, norm and projection."""
    _, hidden = net.run(pixels)
    layer = net.vision.encoder.layers[-1]
    attention = layer.self_attn
    y = attention.out_proj(attention.v_proj(layer.layer_norm1(hidden[-2][0])))
    return net.contrast(y[1:], direction).numpy()


@torch.no_grad()
def gem(net: Net, pixels: torch.Tensor, direction: torch.Tensor) -> Scores:
    """Self-self attention (q q, k k, v v, one step) in the last half of the blocks."""
    _, hidden = net.run(pixels)
    layers = net.vision.encoder.layers
    first = len(layers) // 2
    x = hidden[first][0]
    for layer in layers[first:]:
        attention = layer.self_attn
        h = layer.layer_norm1(x)
        heads = attention.num_heads
        parts = [
            projection(h).reshape(len(h), heads, -1).transpose(0, 1)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        ]
        value = parts[2]
        ensemble = torch.zeros_like(value)
        for part in parts:
            unit = torch.nn.functional.normalize(part, dim=-1)
            temperature = 1 / part.norm(dim=-1).mean()
            weights = (unit @ unit.transpose(1, 2) / temperature).softmax(-1)
            unit = torch.nn.functional.normalize(weights @ unit, dim=-1)
            ensemble += (unit @ unit.transpose(1, 2) / temperature).softmax(-1) @ value
        x = x + attention.out_proj((ensemble / 3).transpose(0, 1).flatten(1))
    return net.contrast(x[1:], direction).numpy()


METHODS: dict[str, Callable[[Net, torch.Tensor, torch.Tensor], Scores]] = {
    "Chefer": chefer,
    "Grad-CAM": grad_cam,
    "LeGrad": legrad,
    "GEM": gem,
    "MaskCLIP": maskclip,
}
