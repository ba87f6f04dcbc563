"""Preprocessing in a graph, run by ONNX Runtime; Pillow is the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import PIL
import pytest
from numpy.typing import NDArray
from onnx import helper
from PIL import Image

from unseen.deployment.picture_nodes import prepare
from unseen.errors import ModelError
from unseen.images.preprocess import Preprocess, TwoViews
from unseen.runtimes.graph import OPSET, OnnxOperations

CUBIC, LINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
RULES: dict[str, Any] = {
    "shortest, crop": Preprocess(224, None, (224, 224), CUBIC),
    "shortest above the crop, linear": Preprocess(256, None, (224, 224), LINEAR, round_crop=True),
    "squash": Preprocess(None, (224, 224), None, CUBIC),
    "squash, linear, crop": Preprocess(None, (346, 346), (289, 289), LINEAR),
    "pad": Preprocess(None, None, (224, 224), CUBIC, inside=(224, 224), round_crop=True),
    "cover": Preprocess(None, None, (192, 256), CUBIC, cover=(192, 256), round_crop=True),
    "crop and pad": Preprocess(200, None, (224, 224), CUBIC),
    "neither": Preprocess(None, None, (224, 224), CUBIC),
}
# (height, width): tiny, odd, nearly right, up, down, wide, tall.
SIZES = [(1, 1), (223, 224), (500, 333), (333, 500), (60, 200), (401, 640), (1300, 420), (900, 640)]
LONG = [(1, 2000), (2000, 1), (37, 1000), (1000, 37)]
pillow_13 = pytest.mark.skipif(
    int(PIL.__version__.split(".")[0]) < 13, reason="Pillow 13 resizes tall pictures in its own way"
)


def session(preprocess: Any) -> onnxruntime.InferenceSession:
    ops = OnnxOperations()
    output = prepare(ops, preprocess, "images")
    sizes = [None, None, None, 3]
    graph = helper.make_graph(
        ops.nodes,
        "pictures",
        [helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, sizes)],
        [helper.make_tensor_value_info(output, onnx.TensorProto.UINT8, None)],
        initializer=ops.initializers,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """Large shapes with grain on them."""
    rng = np.random.default_rng(height * 7919 + width)
    shapes = rng.integers(0, 256, (height // 7 + 1, width // 7 + 1, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(shapes).resize((width, height), CUBIC), dtype=int)
    return (smooth + rng.integers(-30, 31, smooth.shape)).clip(0, 255).astype(np.uint8)


def differences(preprocess: Any, sizes: list[tuple[int, int]]) -> dict[Any, NDArray[Any]]:
    run = session(preprocess)
    result = {}
    for height, width in sizes:
        pixels = picture(height, width)
        (given,) = run.run(None, {"images": pixels[None]})
        right = preprocess(Image.fromarray(pixels))
        assert given.shape == (1, *right.shape)
        result[height, width] = np.abs(given[0].astype(int) - right)
    return result


@pillow_13
@pytest.mark.parametrize("rule", RULES)
def test_the_bytes_are_pillows(rule: str) -> None:
    for size, difference in differences(RULES[rule], SIZES).items():
        assert difference.max() == 0, size


@pillow_13
@pytest.mark.parametrize("rule", RULES)
def test_the_bytes_of_long_pictures(rule: str) -> None:
    """The library gives Pillow a box in single precision there, so a byte may be rounded apart."""
    for size, difference in differences(RULES[rule], LONG).items():
        assert difference.max() <= 1, size
        assert difference.mean() <= 0.001, size


@pillow_13
def test_the_two_views_are_pillows_to_the_last_byte() -> None:
    for size, difference in differences(TwoViews(260), SIZES + LONG).items():
        assert difference.max() == 0, size


def test_a_batch_is_prepared_as_each_picture_alone() -> None:
    run = session(RULES["shortest, crop"])
    batch = np.stack([picture(300, 400), picture(300, 400)[::-1]])
    (together,) = run.run(None, {"images": batch})
    for index in range(2):
        (alone,) = run.run(None, {"images": batch[index : index + 1]})
        np.testing.assert_array_equal(together[index], alone[0])


def test_a_filter_that_onnx_does_not_have_is_refused() -> None:
    with pytest.raises(ModelError, match=r"filter LANCZOS; only BICUBIC and BILINEAR"):
        prepare(
            OnnxOperations(), Preprocess(224, None, (224, 224), Image.Resampling.LANCZOS), "images"
        )


@pillow_13
def test_real_photographs(photographs: Path) -> None:
    run = session(RULES["shortest, crop"])
    for file in sorted(photographs.glob("*/*.jpg"))[::20]:
        image = Image.open(file).convert("RGB")
        (given,) = run.run(None, {"images": np.asarray(image)[None]})
        right = RULES["shortest, crop"](image)
        np.testing.assert_array_equal(given[0], right)
