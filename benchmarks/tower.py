"""The image net alone, fp32: ONNX Runtime against torch eager, same weights, same threads.

python benchmarks/tower.py
"""

from __future__ import annotations

import os

import numpy as np
import torch
from side_by_side import b32, paired, report
from transformers import CLIPModel

import unseen

BATCH = 8


def main() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    model = CLIPModel.from_pretrained(b32(), dtype=torch.float32).eval()
    ours = unseen.load(b32()).encoder._image
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), dtype=np.uint8)
    normalised = torch.randn(BATCH, 3, 224, 224)

    @torch.inference_mode()
    def eager() -> None:
        model.get_image_features(pixel_values=normalised)

    a, b = paired(eager, lambda: ours(pixels), 15)
    report("image net, fp32", "images/s", BATCH / a, BATCH / b)


if __name__ == "__main__":
    main()
