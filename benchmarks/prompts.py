"""1,000 labels x 80 templates: prompts a second, ours against the same net padded to 77 tokens.

    python benchmarks/prompts.py
    python benchmarks/prompts.py --all          # every one of our 80,000, once

Padding every prompt to 77 is what open_clip's tokenizer does; here transformers' text net, with the
same weights, stands in for it.
"""

from __future__ import annotations

import argparse
import time

import torch
from side_by_side import b32, paired, report
from transformers import CLIPModel, CLIPTokenizer

import unseen
from unseen.labels.templates import fill, templates

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    names = [f"name {i} of a thing" for i in range(1000)]
    prompts = [fill(t, name) for name in names for t in templates("imagenet")]
    model = CLIPModel.from_pretrained(b32(), dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(b32())
    encoder = unseen.load(b32()).encoder

    @torch.inference_mode()
    def padded() -> None:
        inputs = tokenizer(
            prompts[:BATCH], padding="max_length", max_length=77, return_tensors="pt"
        )
        model.get_text_features(input_ids=inputs.input_ids)

    sample = prompts[::40]  # 2,000 of all templates
    a, b = paired(padded, lambda: list(encoder._encode_new_texts(sample)), 3)
    report("prompts", "prompts/s", BATCH / a, len(sample) / b)
    if options.all:
        start = time.perf_counter()
        for i in range(0, len(prompts), 4096):
            list(encoder._encode_new_texts(prompts[i : i + 4096]))
        print(f"all 80,000: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
