"""Videos that were damaged at random: an error or an answer, never a crash, a hang or much memory.

FFmpeg is written in C, so they are read in a process of its own, whose memory is limited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from films import av, counting, encode, gif, story

MUTANTS = 200
SECONDS = 240
MEMORY = 1 << 30  # above what the libraries take when they are loaded

CHILD = """
import json, resource, sys, time
from pathlib import Path
import numpy, PIL.Image
import av
from unseen.errors import SourceError
from unseen.sources.packets import Sampling
from unseen.video.frames import frames_of
loaded = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (loaded + %d, loaded + %d))
results = {"read": 0, "errors": 0, "slowest": 0.0}
for path in sorted(Path(sys.argv[1]).iterdir()):
    for sampling in (Sampling(every=0.3), Sampling(every=0)):
        began = time.monotonic()
        try:
            for frame in frames_of(path, sampling):
                results["read"] += 1
        except SourceError:
            results["errors"] += 1
        results["slowest"] = max(results["slowest"], time.monotonic() - began)
# Not ru_maxrss: that begins with what the process had that started this one.
status = Path("/proc/self/status").read_text()
results["memory"] = int(status.partition("VmHWM:")[2].split()[0]) * 1024
print(json.dumps(results))
"""


def mutants(folder: Path) -> None:
    """Files with some bytes changed, runs of bytes gone, or a part of another file in them."""
    rng = np.random.default_rng(7)
    pictures = story([("a red circle", 12), ("a blue square", 12)])
    seeds = [
        encode(folder / "a.mp4", pictures, gop=6, b_frames=2),
        encode(folder / "b.mkv", pictures, gop=6),
        encode(folder / "c.avi", pictures, codec="mjpeg"),
        encode(folder / "d.ts", pictures, codec="mpeg2video", gop=6),
        gif(folder / "e.gif", counting(10), 200),
        gif(folder / "f.webp", counting(10), 200),
    ]
    contents = [path.read_bytes() for path in seeds]
    for path in seeds:
        path.unlink()
    for number in range(MUTANTS):
        place = number % len(seeds)
        content = bytearray(contents[place])
        for _ in range(int(rng.integers(1, 12))):
            at = int(rng.integers(0, len(content)))
            kind = rng.integers(0, 4)
            if kind == 0:
                content[at] = int(rng.integers(0, 256))
            elif kind == 1:  # a length, or a number, far too large
                content[at : at + 4] = b"\xff\xff\xff\x7f"
            elif kind == 2:
                del content[at : at + int(rng.integers(1, 200))]
            else:
                other = contents[int(rng.integers(0, len(seeds)))]
                start = int(rng.integers(0, len(other)))
                content[at:at] = other[start : start + int(rng.integers(1, 400))]
        (folder / f"{number:03}{seeds[place].suffix}").write_bytes(content)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by Linux's rules")
def test_damaged_videos_do_no_harm(tmp_path: Path) -> None:
    assert av
    mutants(tmp_path)
    assert len([*tmp_path.iterdir()]) == MUTANTS
    done = subprocess.run(
        [sys.executable, "-c", CHILD % (MEMORY, MEMORY), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(done.stdout)
    assert results["errors"] > 50 and results["read"] > 500
    assert results["memory"] < MEMORY and results["slowest"] < 30
