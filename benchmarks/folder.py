"""Classify photographs: our pipeline against transformers', same weights, same pictures.

python benchmarks/folder.py --labels 100
python benchmarks/folder.py --labels 100 --precision int8
python benchmarks/folder.py --labels 1000 --pictures 4
"""

from __future__ import annotations

import argparse
import time

import limits
from side_by_side import b32, paired, photographs, report

import unseen
from unseen.system.cpu import usable

TASK = "zero-shot-image-classification"


def main() -> None:
    import transformers  # after side_by_side, which hides torchvision from it
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    labels = [f"a kind of thing, number {i}" for i in range(options.labels)]
    paths = photographs(max(options.pictures, 32))
    theirs = transformers.pipeline(
        TASK,
        model=str(b32()),
        image_processor=CLIPImageProcessorPil.from_pretrained(b32()),
        dtype="float32",
    )
    ours = unseen.load(b32(), precision=options.precision)
    start = time.perf_counter()
    compiled = ours.compile(labels)
    print(f"{len(labels)} labels encoded once: {time.perf_counter() - start:.2f} s")
    few = [str(p) for p in paths[: options.pictures]]
    a, b = paired(
        lambda: theirs(few, candidate_labels=labels, batch_size=8),
        lambda: list(ours.classify_many(paths, compiled)),
        options.rounds,
    )
    report(f"pictures x {len(labels)} labels", "images/s", len(few) / a, len(paths) / b)
    operations = limits.operations_a_picture(b32())
    own = limits.net_alone(b32(), options.precision, operations)
    rate = len(paths) / b
    print(f"our net alone: {own:.1f} images/s, of which the folder reaches {rate / own:.2f}")
    print(f"of the processor: {limits.share(operations * rate, options.precision, usable())}")


if __name__ == "__main__":
    main()
