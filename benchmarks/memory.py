"""Peak memory of classifying a folder, against the weights on disk.

python benchmarks/memory.py
"""

from __future__ import annotations

import subprocess
import sys

from side_by_side import b32, photographs

CODE = """
import sys, unseen
from pathlib import Path
model, *pictures = sys.argv[1:]
labels = [f"kind {i}" for i in range(100)]
for prediction in unseen.load(model).classify_many(pictures, labels):
    assert prediction.ok
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) * 1024)  # ru_maxrss would count the parent's memory too
"""


def main() -> None:
    weights = (b32() / "model.safetensors").stat().st_size
    pictures = [str(p) for p in photographs(64)]
    for run in ("first run: compile, encode labels", "later runs"):
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(b32()), *pictures],
            check=True,
            capture_output=True,
            text=True,
        )
        peak = int(done.stdout)
        print(f"{run}: peak {peak / 1e6:.0f} MB, {peak / weights:.2f} x the weights on disk")


if __name__ == "__main__":
    main()
