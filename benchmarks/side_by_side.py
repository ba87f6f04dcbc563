"""What the benchmarks share: a full-size B/32 with random weights, photographs, paired timing.

Random weights of the true architecture cost what trained ones cost. Two ways of doing a thing are
timed in turn, A B A B …, in one run, and the ratio of their medians is printed: absolute times
drift with the machine, ratios hold.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("UNSEEN_CACHE_BYTES", "0")  # what is timed is encoded, each time
if Path(sys.argv[0]).name not in (
    "batches.py",
    "export.py",
    "gpu.py",
    "side_by_side.py",
    "tower.py",
):
    # transformers is measured as it is without torchvision, which only the judges in tests/ need.
    sys.modules["torchvision"] = None  # type: ignore[assignment]
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

PAUSE = 0.3  # seconds
WORK = Path(tempfile.gettempdir()) / "unseen-benchmarks"


def b32() -> Path:
    """The folder of a B/32 checkpoint, 605 MB, made once, with the vocabulary of CLIP."""
    folder = WORK / "CLIP-B32"
    if not (folder / "model.safetensors").is_file():
        # In a process of its own, as the makers of checkpoints need torchvision.
        subprocess.run([sys.executable, __file__, str(folder)], check=True)
    return folder


def make_b32(folder: Path) -> None:
    """Random weights, saved by transformers."""
    import broken_torchvision

    broken_torchvision.mend()
    import checkpoints

    checkpoints.clip(
        folder,
        layers=12,
        width=768,
        heads=12,
        dimension=512,
        text={
            "hidden_size": 512,
            "intermediate_size": 2048,
            "num_attention_heads": 8,
            "vocab_size": 49408,
            "bos_token_id": 49406,
            "eos_token_id": 49407,
        },
    )
    # The texts of the true lengths, too.
    from open_clip.tokenizer import SimpleTokenizer

    published = SimpleTokenizer()
    merges = ["#version: 0.2", *(" ".join(pair) for pair in published.bpe_ranks)]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", "utf-8")
    special = {published.sot_token_id: checkpoints.START, published.eot_token_id: checkpoints.END}
    vocabulary = {special.get(i, token): i for token, i in published.encoder.items()}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")


def photographs(count: int) -> list[Path]:
    """JPEGs of 3 megapixels, made once from those in tests/photographs."""
    folder = WORK / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted((ROOT / "tests" / "photographs").rglob("*.jpg"))
    paths = [folder / f"{i:03}.jpg" for i in range(count)]
    for path, source in zip(paths, sources, strict=False):
        if not path.is_file():
            image = Image.open(source).convert("RGB").resize((2000, 1500), Image.Resampling.BICUBIC)
            image.save(path, quality=90)
    return paths


def paired(a: Callable[[], object], b: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of each, run in turn after one warm-up.

    Before each there is a pause, in which the spinning threads of the other go to sleep.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for function, kept in zip((a, b), times, strict=True):
            time.sleep(PAUSE)
            start = time.perf_counter()
            function()
            if turn:
                kept.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def report(what: str, unit: str, theirs: float, ours: float) -> None:
    """One line: both figures (higher is better) and their ratio."""
    print(f"{what}: theirs {theirs:.2f} {unit}, ours {ours:.2f} {unit}, ratio {ours / theirs:.1f}")


if __name__ == "__main__":
    make_b32(Path(sys.argv[1]))
