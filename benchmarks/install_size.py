"""Installed size: `pip install unseen` against `pip install transformers torch pillow`.

    python benchmarks/install_size.py

Makes two virtual environments in a temporary folder and adds up the files of their site-packages,
less pip and setuptools. What torch weighs depends on the build that pip finds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from side_by_side import ROOT

NOT_COUNTED = {"pip", "setuptools", "_distutils_hack", "__pycache__"}
THEIRS = ["torch==2.13.0", "transformers==5.23.0", "pillow"]


def size(folder: Path, packages: list[str]) -> float:
    """Megabytes after installing `packages` into a new environment."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    place = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    root = Path(place.stdout.strip())
    files = (path for path in root.rglob("*") if path.is_file())
    counted = (path for path in files if not NOT_COUNTED & {*path.relative_to(root).parts})
    return sum(path.stat().st_size for path in counted) / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours = size(Path(folder) / "ours", [str(ROOT)])
        theirs = size(Path(folder) / "theirs", THEIRS)
    print(f"installed: theirs {theirs:.0f} MB, ours {ours:.0f} MB, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
