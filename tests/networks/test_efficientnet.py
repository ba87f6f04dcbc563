"""EfficientNet-Lite against torch layers with batch norm, read from a torch archive and folded.

The judge is written here, as the paper and TensorFlow's SAME padding have it, with the names that
the published checkpoint uses, so that the build tool's reading and folding are judged too.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from unseen.models.weights.torch_archive import TorchArchive
from unseen.networks import efficientnet
from unseen.networks.network import Input, Network, single_output
from unseen.runtimes import onnx, reference

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import build_builtin

TOLERANCE = 1e-4
WIDTH, CLASSES = 40, 500

# (kernel, stride, widening, channels, how many) of each stage: odd and even kernels' paddings,
# a stride on odd and on even sides, blocks that add and blocks that do not.
STAGES = [(3, 1, 1, 8, 1), (5, 2, 6, 12, 3), (3, 2, 4, 12, 2), (5, 1, 2, 16, 2)]


class Same(nn.Module):
    """TensorFlow's SAME: as many outputs as strides fit, the odd zero below and to the right."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads = []
        for side in reversed(x.shape[2:]):
            outputs = (side + self.stride - 1) // self.stride
            missing = max(0, (outputs - 1) * self.stride + self.kernel - side)
            pads += [missing // 2, missing - missing // 2]
        return nn.functional.pad(x, pads)


class Block(nn.Module):
    def __init__(self, kernel: int, stride: int, widening: int, before: int, after: int) -> None:
        super().__init__()
        wide = before * widening
        if widening != 1:
            self._expand_conv = nn.Conv2d(before, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=1e-3)
        self.same = Same(kernel, stride)
        self._depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=1e-3)
        self._project_conv = nn.Conv2d(wide, after, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(after, eps=1e-3)
        self.adds = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        if hasattr(self, "_expand_conv"):
            y = nn.functional.relu6(self._bn0(self._expand_conv(y)))
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(self.same(y))))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.same = Same(3, 2)
        self._conv_stem = nn.Conv2d(3, 8, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(8, eps=1e-3)
        blocks, before = [], 8
        for kernel, stride, widening, after, count in STAGES:
            for index in range(count):
                blocks.append(Block(kernel, 1 if index else stride, widening, before, after))
                before = after
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(before, WIDTH, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(WIDTH, eps=1e-3)
        self._fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu6(self._bn0(self._conv_stem(self.same(x))))
        for block in self._blocks:
            x = block(x)
        return nn.functional.relu6(self._bn1(self._conv_head(x))).mean((2, 3))


@pytest.fixture(scope="module")
def judge() -> Judge:
    torch.manual_seed(11)
    model = Judge().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.normal_(module.bias, std=0.5)
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.3, 2.0)
    return model


@pytest.fixture(scope="module")
def parameters(judge: Judge, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Through a file in the layout of the published one: the older kind of torch archive."""
    path = tmp_path_factory.mktemp("lite") / "lite.pth"
    torch.save(judge.state_dict(), path, _use_new_zipfile_serialization=False)
    return build_builtin.image_weights(TorchArchive(path))


def network(parameters: Any, side: int) -> Network[Any]:
    """The judge sees x/128 - 1 as we do, so that both are given bytes."""
    stages = tuple((count, stride) for _, stride, _, _, count in STAGES)

    def body(ops: Any, p: Any, images: Any) -> Any:
        x = ops.mul(ops.pixels(images), ops.constant(np.array(1 / 128, np.float32)))
        x = ops.add(x, ops.constant(np.array(-1, np.float32)))
        return efficientnet.features(ops, p, x, side, stages)

    inputs = (Input("images", "uint8", (None, side, side, 3)),)
    return single_output("image", inputs, body, (None, WIDTH), parameters=parameters)


@pytest.mark.parametrize("side", [37, 64, 66])
def test_equals_torch(judge: Judge, parameters: Any, side: int, tmp_path: Path) -> None:
    images = np.random.default_rng(side).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    with torch.no_grad():
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 128 - 1
        expected = judge(x).numpy()
    assert expected.std() > 0.1  # the judge's answer says something
    ours = network(parameters, side)
    assert np.abs(reference.run(ours, images) - expected).max() <= TOLERANCE
    session = onnx.OnnxNetwork(onnx.compile_network(ours, tmp_path))
    assert np.abs(session(images) - expected).max() <= TOLERANCE
