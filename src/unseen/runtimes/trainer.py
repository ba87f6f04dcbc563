"""One step of training after another: the loss of a batch, its gradient, AdamW.

The labelled pictures of a batch are pulled to the texts of their labels by the loss that the model
was pretrained with (Goyal et al. 2023, arXiv:2212.00638): the softmax over the batch, in both
directions (Radford et al. 2021), or the sigmoid of each pair (Zhai et al. 2023). Ordinary pictures,
whose labels nobody knows, hold the network on a leash: their embeddings stay where they were (Zheng
et al. 2023, arXiv:2303.06628).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everyone writes it
from numpy.typing import NDArray

from unseen.networks.operations import Array
from unseen.runtimes.training import DOWN, UP, TrainableNetwork

BETAS, EPSILON = (0.9, 0.98), 1e-6
LARGEST_GRADIENT = 1.0  # the length of the whole gradient, at most
MOMENTS = ("exp_avg", "exp_avg_sq")  # what AdamW remembers of each parameter
MICRO_BATCH = 64  # pictures whose activations are in memory at once


@dataclass(frozen=True)
class Objective:
    """What is made small.

    Parameters
    ----------
    rule : str
        "softmax" or "sigmoid", as of a model's score.
    scale, bias : float
        Of the logits of a pair: scale · cosine + bias.
    leash : float
        The weight of the mean squared distance of ordinary pictures from where they were.
    """

    rule: str
    scale: float
    bias: float = 0.0
    leash: float = 0.0

    def contrast(
        self, images: torch.Tensor, texts: torch.Tensor, positive: torch.Tensor
    ) -> torch.Tensor:
        """(b, d) and (m, d), rows of length 1, and which pairs belong together, bool (b, m)."""
        logits = self.scale * images @ texts.T + self.bias
        if self.rule == "sigmoid":
            signs = positive.to(logits.dtype) * 2 - 1
            return -F.logsigmoid(signs * logits).sum() / len(images)
        both = (logits, positive), (logits.T, positive.T)
        return sum(_cross_entropy(*side) for side in both) / 2  # type: ignore[return-value]


def _cross_entropy(logits: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Those that belong to a row share its target; a row that nothing belongs to does not count."""
    share = positive.to(logits.dtype)
    count = share.sum(1, keepdim=True)
    of_rows = -(share / count.clamp(min=1) * logits.log_softmax(1)).sum(1)
    return of_rows.sum() / (count > 0).sum().clamp(min=1)


@dataclass(frozen=True)
class Batch:
    """Labelled pictures, then ordinary ones: arrays whose rows are what `lower` gave of each.

    Parameters
    ----------
    values : sequence of array (b + l, …)
        The rows of b labelled pictures and l ordinary ones.
    texts : float32 array (m, d)
        Rows of length 1.
    positive : bool array (b, m)
        Which texts belong to which labelled picture.
    anchors : float32 array (l, d)
        Where the ordinary pictures were.
    """

    values: Sequence[Array]
    texts: NDArray[np.float32]
    positive: NDArray[np.bool_]
    anchors: NDArray[np.float32]


@dataclass(frozen=True)
class Losses:
    """Of one batch: what was made small, and its two parts."""

    whole: float
    contrast: float
    drift: float


class Trainer:
    """Trains the leaves of a network.

    Parameters
    ----------
    network : TrainableNetwork
        What is trained.
    objective : Objective
        What is made small.
    weight_decay : float
        Of matrices; vectors (norms, biases) have none.
    micro_batch : int
        Pictures whose activations are in memory at once. The gradient of a larger batch is the
        same: embeddings first, then their gradients, then those of the parameters a part at a time
        (Gao et al. 2021, arXiv:2101.06983).
    """

    def __init__(
        self,
        network: TrainableNetwork,
        objective: Objective,
        *,
        weight_decay: float = 0.1,
        micro_batch: int = MICRO_BATCH,
    ) -> None:
        self.network = network
        self._objective = objective
        self._micro_batch = micro_batch
        matrices: list[torch.Tensor] = []
        vectors: list[torch.Tensor] = []
        for name, leaf in network.leaves.items():
            is_matrix = leaf.ndim > 1 or name.endswith((DOWN, UP))
            (matrices if is_matrix else vectors).append(leaf)
        groups = [
            {"params": matrices, "weight_decay": weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=0.0, betas=BETAS, eps=EPSILON
        )

    def step(self, batch: Batch, learning_rate: float) -> Losses:
        """One step down the gradient of a batch."""
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        self._optimiser.zero_grad(set_to_none=True)
        losses = self.gradient(batch)
        leaves = list(self.network.leaves.values())
        torch.nn.utils.clip_grad_norm_(leaves, LARGEST_GRADIENT)
        self._optimiser.step()
        return losses

    def gradient(self, batch: Batch) -> Losses:
        """The losses of a batch; their gradient is added to that of each leaf."""
        values = self.network.tensors(batch.values)
        count, size = len(batch.values[0]), self._micro_batch
        if count <= size:
            losses, whole = self._losses(self.network.upper(*values), batch)
            whole.backward()  # type: ignore[no-untyped-call]
            return losses
        parts = [[value[i : i + size] for value in values] for i in range(0, count, size)]
        with torch.no_grad():
            embeddings = torch.cat([self.network.upper(*part) for part in parts])
        embeddings.requires_grad_()
        losses, whole = self._losses(embeddings, batch)
        whole.backward()  # type: ignore[no-untyped-call]
        assert embeddings.grad is not None
        gradients = torch.split(embeddings.grad, size)
        for part, gradient in zip(parts, gradients, strict=True):
            self.network.upper(*part).backward(gradient)  # type: ignore[no-untyped-call]
        return losses

    def _losses(self, embeddings: torch.Tensor, batch: Batch) -> tuple[Losses, torch.Tensor]:
        labelled = len(batch.positive)
        device = embeddings.device
        texts, anchors = (
            torch.from_numpy(array).to(device, embeddings.dtype)
            for array in (batch.texts, batch.anchors)
        )
        positive = torch.from_numpy(batch.positive).to(device)
        contrast = self._objective.contrast(embeddings[:labelled], texts, positive)
        drift = torch.zeros((), device=device, dtype=embeddings.dtype)
        if len(anchors):
            drift = (embeddings[labelled:] - anchors).square().sum(1).mean()
        whole = contrast + self._objective.leash * drift
        parts = (float(part.detach()) for part in (whole, contrast, drift))
        return Losses(*parts), whole

    # what a later process goes on from

    def state(self) -> dict[str, Array]:
        """The leaves, and what the optimiser remembers of each: arrays by name."""
        arrays: dict[str, Array] = {}
        for name, leaf in self.network.leaves.items():
            arrays[name] = _array(leaf)
            remembered = self._optimiser.state.get(leaf, {})
            for moment in MOMENTS:
                if moment in remembered:
                    arrays[f"{name}.{moment}"] = _array(remembered[moment])
        return arrays

    @torch.no_grad()
    def restore(self, arrays: Mapping[str, Any], steps: int) -> None:
        """Go on from a `state` that was taken after so many steps."""
        for name, leaf in self.network.leaves.items():
            leaf.copy_(torch.from_numpy(np.array(arrays[name])))
            if f"{name}.{MOMENTS[0]}" in arrays:
                self._optimiser.state[leaf] = {
                    "step": torch.tensor(float(steps)),
                    **{
                        moment: torch.from_numpy(np.array(arrays[f"{name}.{moment}"])).to(
                            leaf.device, leaf.dtype
                        )
                        for moment in MOMENTS
                    },
                }


def _array(tensor: torch.Tensor) -> Array:
    array: Array = tensor.detach().cpu().numpy().copy()
    return array
