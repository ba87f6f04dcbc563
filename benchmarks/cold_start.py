"""From a new process to the first answer: the library against a transformers pipeline.

    python benchmarks/cold_start.py

One picture of 3 megapixels, five labels, B/32. Our networks were compiled and the labels encoded by
an earlier process, as on any day but the first; --fresh-labels encodes them anew each time. Python
may keep the bytecode of both, as it does of what is installed, whatever PYTHONDONTWRITEBYTECODE
says here: without it a source tree is parsed anew at each start, 0.1 s of it. The built-in model's
answer also by the command, `unseen classify`, in turn with the library.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

from side_by_side import WORK, b32, paired, photographs

THEIRS = """
import sys
sys.modules["torchvision"] = None
from transformers import pipeline
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
model, picture, *labels = sys.argv[1:]
processor = CLIPImageProcessorPil.from_pretrained(model)
pipe = pipeline("zero-shot-image-classification", model=model, image_processor=processor)
print(pipe(picture, candidate_labels=labels))
"""
OURS = """
import sys, unseen
model, picture, *labels = sys.argv[1:]
model, _, precision = model.partition("|")
print(list(unseen.load(model, precision=precision or "fp32").classify(picture, labels)))
"""
ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fresh-labels", action="store_true")
    parser.add_argument("--ours", action="store_true", help="without transformers, which is slow")
    options = parser.parse_args()
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(WORK / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    picture = str(photographs(1)[0])

    def words() -> list[str]:
        tag = f" {time.time_ns()}" if options.fresh_labels else ""
        return [f"{word}{tag}" for word in ("cat", "dog", "bird", "house", "tree")]

    def call(*arguments: str) -> None:
        command = [sys.executable, *arguments]
        subprocess.run(command, check=True, capture_output=True, env=environment)

    def run(code: str, model: str) -> None:
        call("-c", code, model, picture, *words())

    def command() -> None:
        call("-m", "unseen", "classify", picture, "--labels", ",".join(words()))

    if not options.ours:
        a, b = paired(lambda: run(THEIRS, str(b32())), lambda: run(OURS, str(b32())), 5)
        print(f"first answer, B/32: theirs {a:.2f} s, ours {b:.2f} s, ratio {a / b:.1f}")
    for model in (f"{b32()}|fp32", f"{b32()}|int8", "builtin"):
        run(OURS, model)
    a, b = paired(lambda: run(OURS, f"{b32()}|fp32"), lambda: run(OURS, f"{b32()}|int8"), ROUNDS)
    print(f"first answer, B/32: ours {a:.2f} s in fp32, {b:.2f} s in int8")
    a, b = paired(command, lambda: run(OURS, "builtin"), ROUNDS)
    print(f"first answer, built-in model: ours {b:.2f} s, by the command {a:.2f} s")

    def very_first() -> None:
        with tempfile.TemporaryDirectory() as home:
            environment["UNSEEN_HOME"] = home
            run(OURS, "builtin")

    a, b = paired(lambda: None, very_first, 7)
    print(f"the same in a new home, where nothing is compiled: {b:.2f} s")


if __name__ == "__main__":
    main()
