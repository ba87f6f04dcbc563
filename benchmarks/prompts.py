"""1,000 labels x 80 templates: prompts a second, ours against the same net padded to 77 tokens.

    python benchmarks/prompts.py
    python benchmarks/prompts.py --all          # every one of our 80,000, once

Padding every prompt to 77 is what open_clip's tokenizer does; here transformers' text net, with the
same weights, stands in for it. The ratio is how many times more tokens that is, times how much
nearer ours is to what the processor can do: both are printed.
"""

from __future__ import annotations

import argparse
import time

import limits
import torch
from side_by_side import b32, paired, report
from transformers import CLIPModel, CLIPTextConfig, CLIPTokenizer

import unseen
from unseen.labels.templates import fill, templates
from unseen.system.cpu import usable

BATCH = 64
PADDED = 77


def operations(config: CLIPTextConfig, tokens: int) -> float:
    """Of one prompt in the text net: the products of its layers, and attention."""
    width, inner = config.hidden_size, config.intermediate_size
    layer = tokens * (8 * width**2 + 4 * width * inner) + 4 * tokens**2 * width
    return float(config.num_hidden_layers * layer)


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
            prompts[:BATCH], padding="max_length", max_length=PADDED, return_tensors="pt"
        )
        model.get_text_features(input_ids=inputs.input_ids)

    sample = prompts[::40]  # 2,000 of all templates
    a, b = paired(padded, lambda: list(encoder._encode_new_texts(sample)), 3)
    report("prompts", "prompts/s", BATCH / a, len(sample) / b)
    lengths = [len(ids) for ids in tokenizer(sample).input_ids]
    print(f"{sum(lengths) / len(lengths):.1f} tokens a prompt, {PADDED} where it is padded")
    needed = sum(operations(model.config.text_config, n) for n in lengths) / b
    spent = BATCH * operations(model.config.text_config, PADDED) / a
    for what, rate in (("theirs, padding included", spent), ("ours", needed)):
        print(f"{what}: {limits.share(rate, 'fp32', usable())}")
    if options.all:
        start = time.perf_counter()
        for i in range(0, len(prompts), 4096):
            list(encoder._encode_new_texts(prompts[i : i + 4096]))
        print(f"all 80,000: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
