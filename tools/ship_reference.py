"""Works out the right outputs of the built-in model's nets, which ship with the package.

    python tools/ship_reference.py

Run it when the built-in model has changed, or ARCHITECTURE_VERSION in models/compiled.py.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

import unseen
from unseen.models.compiled import reference_key
from unseen.models.reference_outputs import FILE, reference_outputs, tower
from unseen.networks.network import EMBEDDING
from unseen.system import cache

OUT = Path(__file__).parents[1] / "src" / "unseen" / "data" / "check"


def main() -> None:
    for path in OUT.glob("*.npz"):  # else they would be taken
        path.unlink()
    with tempfile.TemporaryDirectory() as home:
        os.environ["UNSEEN_HOME"] = home
        model = unseen.load("builtin").encoder.model
        for name in ("image", "text"):
            source = tower(model, name)
            key = reference_key(source.key)
            reference_outputs(source, (EMBEDDING,), key)
            with np.load(cache.home() / "networks" / key / FILE) as arrays:
                np.savez_compressed(OUT / f"{key}.npz", **arrays)
            print(f"{key}.npz: {(OUT / f'{key}.npz').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
