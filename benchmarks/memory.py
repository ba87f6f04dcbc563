"""Memory: the peak of classifying a folder against the weights on disk, and what processes share.

    python benchmarks/memory.py
    python benchmarks/memory.py --precision int8 --processes 4

A B/32. `peak` is the most that a process held (VmHWM), pages of mapped files among it; `private`
what was its own at the end. Of several processes that hold the same net the sum of their memory
(Rss) is set against what the machine gives for it (Pss: a page that n processes share counts n-th).
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from side_by_side import b32, photographs

CODE = """
import sys, unseen
from pathlib import Path
model, precision, wait, *pictures = sys.argv[1:]
labels = [f"kind {i}" for i in range(100)]
for prediction in unseen.load(model, precision=precision).classify_many(pictures, labels):
    assert prediction.ok
def status(path):
    lines = (line.split(":") for line in Path(path).read_text().splitlines() if "kB" in line)
    return {name: int(value.split()[0]) * 1024 for name, value in lines}
own = status("/proc/self/status")  # ru_maxrss would count the parent's memory too
print(own["VmHWM"], own["RssAnon"], flush=True)
if wait == "wait":
    input()
    rolled = status("/proc/self/smaps_rollup")
    print(rolled["Rss"], rolled["Pss"], flush=True)
    input()
"""


def started(precision: str, pictures: list[str], wait: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CODE, str(b32()), precision, wait, *pictures]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def numbers(process: subprocess.Popen[str]) -> list[int]:
    """The next line of a process."""
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    if not line:
        sys.exit(process.stderr.read())
    return [int(word) for word in line.split()]


def go_on(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--precision", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--processes", type=int, default=4)
    options = parser.parse_args()
    weights = (b32() / "model.safetensors").stat().st_size
    pictures = [str(p) for p in photographs(64)]
    print("| run | peak | x the weights on disk | private |\n|---|---|---|---|")
    for precision in options.precision:
        for run in ("first: compile, encode labels", "later"):
            process = started(precision, pictures, "end")
            peak, private = numbers(process)
            process.wait()
            print(
                f"| {precision}, {run} | {peak / 1e6:.0f} MB | {peak / weights:.2f} | "
                f"{private / 1e6:.0f} MB |",
                flush=True,
            )
    for precision in options.precision:
        processes = []
        for _ in range(options.processes):
            processes.append(started(precision, pictures[:4], "wait"))
            numbers(processes[-1])
        go_on(processes)
        rows = [numbers(process) for process in processes]
        go_on(processes)
        resident, held = (sum(row[i] for row in rows) / 1e6 for i in (0, 1))
        print(
            f"{options.processes} processes of one net in {precision}: {resident:.0f} MB resident,"
            f" {held:.0f} MB of the machine's memory, {held / resident:.2f} of it"
        )


if __name__ == "__main__":
    main()
