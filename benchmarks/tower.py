"""The image net alone: ours against torch eager in fp32, same weights, same threads.

python benchmarks/tower.py
python benchmarks/tower.py --precision int8
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from side_by_side import b32, paired, report
from transformers import CLIPModel

import unseen
from unseen.system.cpu import usable

BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--precision", default="fp32")
    precision = parser.parse_args().precision
    torch.set_num_threads(usable())
    model = CLIPModel.from_pretrained(b32(), dtype=torch.float32).eval()
    ours = unseen.load(b32(), precision=precision).encoder._image
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), dtype=np.uint8)
    normalised = torch.randn(BATCH, 3, 224, 224)

    @torch.inference_mode()
    def eager() -> None:
        model.get_image_features(pixel_values=normalised)

    a, b = paired(eager, lambda: ours(pixels), 15)
    report(f"image net, {precision}", "images/s", BATCH / a, BATCH / b)


if __name__ == "__main__":
    main()
