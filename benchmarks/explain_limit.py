"""One thing in a picture: the deletion and insertion of its true outline, for docs/explain.md.

    python benchmarks/explain_limit.py   # half a minute

The places are taken in the order of how much of the thing lies in them.
"""

from __future__ import annotations

import numpy as np
from explain import Fixture, items

from unseen.explanation.trust import SHARES


def main() -> None:
    fixture, left, touched = Fixture(), [], []
    for item in items(60, 1):
        picture, parts = fixture.read(item.image)
        direction = fixture.direction(item.label)
        side = picture.geometry.grid[0]
        covered = item.filled.reshape(side, item.filled.shape[0] // side, side, -1).mean((1, 3))
        rank = np.argsort(np.argsort(-covered.ravel(), kind="stable"))
        marked = [rank < round(share * len(rank)) for share in SHARES] + [covered.ravel() > 0]
        visible = np.stack([~cells for cells in marked] + marked)
        contrasts = fixture.explainer.masking.embeddings(picture.pixels, visible) @ direction
        left.append(contrasts / (parts.embedding @ direction))
        touched.append(int(marked[-1].sum()))
    print(f"1 thing touches {np.mean(touched):.1f} of {len(rank)} places (n = {len(left)})")
    for name, row in zip(("without", "with only"), np.mean(left, 0).reshape(2, -1), strict=True):
        shares = ", ".join(f"{s:.4f}: {v:.3f}" for s, v in zip(SHARES, row[:-1], strict=True))
        print(f"{name} the first {shares} (mean {row[:-1].mean():.3f}); all of it: {row[-1]:.3f}")


if __name__ == "__main__":
    main()
