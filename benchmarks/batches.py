"""How many pictures a network is best given at once: pictures a second and peak memory.

python benchmarks/batches.py                    the built-in model (convolutions), 2 against 16
python benchmarks/batches.py --model b32        a ViT of true size with random weights
python benchmarks/batches.py --model rn50       CLIP's ResNet, the same
python benchmarks/batches.py --model b32 --precision int8 --sizes 0 16

A size of 0 is what is done where none is given: on few cores, a small batch on each. Each way is
a process of its own, in turn with the other; medians, and the ratio of each pair's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from side_by_side import WORK, b32, photographs

CODE = """
import json, sys, time, unseen
model, precision, size, *pictures = sys.argv[1:]
clf = unseen.load(model, precision=precision)
size = int(size) or None
labels = clf.compile([f"kind {i}" for i in range(100)])
list(clf.classify_many(pictures[:16], labels, batch_size=size))
start, used = time.perf_counter(), time.process_time()
assert all(p.ok for p in clf.classify_many(pictures, labels, batch_size=size))
seconds, used = time.perf_counter() - start, time.process_time() - used
from pathlib import Path
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) * 1024 / 1e6
print(json.dumps([len(pictures) / seconds, 1000 * used / len(pictures), peak]))
"""


def rn50() -> Path:
    """The folder of OpenAI's RN50 with random weights, made once."""
    folder = WORK / "RN50"
    if not (folder / "open_clip_config.json").is_file():
        import broken_torchvision

        broken_torchvision.mend()
        import checkpoints
        import openclip_checkpoints

        vision = {"layers": [3, 4, 6, 3], "width": 64, "image_size": 224, "patch_size": None}
        text = {"context_length": 77, "width": 512, "heads": 8, "layers": 12}
        folder.mkdir(parents=True, exist_ok=True)
        text["vocab_size"] = checkpoints.tokenizer(folder)
        config = {"embed_dim": 1024, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
        openclip_checkpoints.save(folder, openclip_checkpoints.random_model(config, folder), config)
    return folder


MODELS: dict[str, Callable[[], object]] = {"builtin": lambda: "builtin", "b32": b32, "rn50": rn50}


def measured(model: str, precision: str, size: int, pictures: list[str]) -> list[float]:
    """Pictures a second, milliseconds of CPU a picture, and the process's peak in MB."""
    command = [sys.executable, "-c", CODE, model, precision, str(size), *pictures]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: list[float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="builtin")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--sizes", type=int, nargs=2, default=(2, 16))
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    model = str(MODELS[options.model]())
    pictures = [str(path) for path in photographs(options.pictures)]
    measure = partial(measured, model, options.precision)
    measure(1, pictures[:2])  # compiled, and the prompts kept
    rounds = [[measure(size, pictures) for size in options.sizes] for _ in range(options.rounds)]
    load = f"load average {os.getloadavg()[0]:.1f}"
    print(f"{options.model}, {options.precision}, {os.cpu_count()} cores, {load}")
    medians = [
        [statistics.median(pair[at][i] for pair in rounds) for i in range(3)] for at in (0, 1)
    ]
    for size, (rate, cpu, peak) in zip(options.sizes, medians, strict=True):
        name = f"batches of {size or 'its own choice'}"
        print(f"{name}: {rate:.1f} a second, {cpu:.1f} ms of CPU each, peak {peak:.0f} MB")
    (rate, cpu, peak), (other_rate, other_cpu, other_peak) = medians
    print(
        f"the first against the second: {rate / other_rate:.2f} times the speed, "
        f"{cpu / other_cpu:.2f} of the CPU time, {peak - other_peak:+.0f} MB"
    )


if __name__ == "__main__":
    main()
