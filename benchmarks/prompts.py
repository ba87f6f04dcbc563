"""The prompts of ImageNet's names in 80 templates: prompts a second, ours against the same net
padded to 77 tokens.

    python benchmarks/prompts.py
    python benchmarks/prompts.py --all    # all 80,000, as a user encodes them

Padding every prompt to 77 is what open_clip's tokenizer does; here transformers' text net, with the
same weights, stands in for it. The ratio is how many times more tokens that is, times how much
nearer ours is to what the processor can do: both are printed.
"""

from __future__ import annotations

import argparse
import os
import runpy
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import limits
import torch
from side_by_side import b32, paired, report
from transformers import CLIPModel, CLIPTextConfig, CLIPTokenizer

import unseen
from unseen.labels.templates import fill, templates
from unseen.models.text_batches import text_batches
from unseen.system.cpu import usable

BATCH = 64
PADDED = 77
NAMES = 50  # whose prompts are timed in turn


def operations(config: CLIPTextConfig, tokens: float, keys: float) -> float:
    """Of so many tokens in the text net, each of which sees so many: layers, and attention."""
    width, inner = config.hidden_size, config.intermediate_size
    layer = tokens * (8 * width**2 + 4 * width * inner) + 4 * tokens * keys * width
    return float(config.num_hidden_layers * layer)


def imagenet_names() -> list[str]:
    """The 1,000 names as open_clip has them, whose other modules need torchvision."""
    spec = find_spec("open_clip")
    assert spec is not None and spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0])
    names: list[str] = runpy.run_path(str(folder / "zero_shot_metadata.py"))["IMAGENET_CLASSNAMES"]
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    prompts = [fill(t, name) for name in imagenet_names() for t in templates("imagenet")]
    model = CLIPModel.from_pretrained(b32(), dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(b32())
    config = model.config.text_config
    sample = sorted(prompts[: NAMES * 80])
    ids = tokenizer(sample).input_ids
    tokens = sum(map(len, ids)) / len(ids)
    encoder = unseen.load(b32()).encoder
    nodes = sum(arrays[0].size for _, arrays in text_batches(encoder.model, ids)) / len(ids)

    @torch.inference_mode()
    def padded() -> None:
        inputs = tokenizer(
            prompts[:BATCH], padding="max_length", max_length=PADDED, return_tensors="pt"
        )
        model.get_text_features(input_ids=inputs.input_ids)

    print(f"{tokens:.1f} tokens a prompt, {PADDED} where it is padded, {nodes:.1f} computed here")
    for precision in ("fp32", "int8-both"):
        unseen.load(b32(), precision=precision).encode_texts(["compiled"])
        encoder = unseen.load(b32(), precision=precision).encoder
        callers = usable() if precision == "int8-both" else 1
        with encoder._text.called_by(callers) as threads:
            ours = partial(_encode, encoder, sample, threads)
            a, b = paired(padded, ours, 3)
        report(f"prompts, {precision}", "prompts/s", BATCH / a, len(sample) / b)
        needed = len(sample) * operations(config, nodes, tokens) / b
        of = "fp32" if precision == "fp32" else "int8"
        print(f"ours: {limits.share(needed, of, usable())}")
        if precision == "fp32":
            spent = BATCH * operations(config, PADDED, PADDED) / a
            print(f"theirs, padding included: {limits.share(spent, of, usable())}")
        if options.all:
            with tempfile.TemporaryDirectory() as home:
                os.environ["UNSEEN_HOME"] = home
                unseen.load(b32(), precision=precision).encode_texts(["compiled"])
                fresh = unseen.load(b32(), precision=precision)
                start = time.perf_counter()
                fresh.encode_texts(prompts)
                print(f"all {len(prompts):,}: {time.perf_counter() - start:.0f} s")


def _encode(encoder: unseen.Encoder, texts: list[str], threads: int) -> None:
    for _ in encoder._encode_new_texts(texts, threads):
        pass


if __name__ == "__main__":
    main()
