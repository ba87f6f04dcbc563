"""How many processors may be used: affinity, and made-up cgroups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import unseen
from unseen.system import cpu


@pytest.fixture(autouse=True)
def _many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 16, all of them ours."""
    monkeypatch.setattr(os, "process_cpu_count", lambda: 16, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)


def make(folder: Path, monkeypatch: pytest.MonkeyPatch, member: str, **limits: str) -> None:
    """/proc/self/cgroup and /sys/fs/cgroup: `limits` are cpu.max by path, with _ for /."""
    (folder / "cgroup").write_text(member)
    for path, limit in limits.items():
        place = folder / "groups" / path.strip("_").replace("_", "/")
        place.mkdir(parents=True, exist_ok=True)
        (place / "cpu.max").write_text(limit)
    monkeypatch.setattr(cpu, "GROUP", folder / "cgroup")
    monkeypatch.setattr(cpu, "GROUPS", folder / "groups")


@pytest.mark.parametrize(
    ("member", "limits", "expected"),
    [
        ("0::/\n", {"_": "200000 100000\n"}, 2),
        ("0::/\n", {"_": "250000 100000\n"}, 3),  # two and a half: the third has something to do
        ("0::/\n", {"_": "10000 100000\n"}, 1),
        ("0::/\n", {"_": "max 100000\n"}, 16),
        ("0::/\n", {"_": "6400000 100000\n"}, 16),  # more than there are
        ("0::/a/b\n", {"_a": "400000 100000", "_a_b": "max 100000"}, 4),  # of the one above
        ("0::/a/b\n", {"_a": "400000 100000", "_a_b": "300000 100000"}, 3),
        ("0::/a/b\n", {"_": "300000 100000"}, 3),  # a container that sees its path outside
        ("0::/../x\n", {"_": "500000 100000"}, 5),
        ("0::/\n", {"_a": "100000 100000"}, 16),  # another one's
        ("0::/\n", {"_": "nonsense"}, 16),
        ("0::/\n", {"_": "100000 0"}, 16),
        ("4:memory:/x\n", {}, 16),  # the first version of cgroups
        ("", {}, 16),
    ],
)
def test_the_least_quota_counts(
    member: str,
    limits: dict[str, str],
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(tmp_path, monkeypatch, member, **limits)
    assert cpu.usable() == expected
    assert cpu.restricted() == (None if expected == 16 else expected)


def test_without_cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "GROUP", tmp_path / "none")
    assert cpu.usable() == 16


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this platform")
def test_affinity() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from unseen.system.cpu import usable; print(usable())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_a_network_uses_no_more(
    shapes_clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def threads(given: int | None) -> int:
        encoder = unseen.load(shapes_clip, threads=given, device="cpu").encoder
        encoder.encode_texts([f"for the first time, {len(used)}"])
        session = encoder._text._load("fp32")._session  # type: ignore[attr-defined]
        return int(session.get_session_options().intra_op_num_threads)

    used: list[int] = []
    make(tmp_path, monkeypatch, "0::/")
    used.append(threads(None))
    make(tmp_path, monkeypatch, "0::/", _="200000 100000")
    used.append(threads(None))
    used.append(threads(1))
    assert used == [0, 2, 1]
