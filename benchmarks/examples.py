"""Words alone against words and example pictures in one label (src/unseen/labels/examples.py).

    python benchmarks/examples.py              # half an hour, two cores
    python benchmarks/examples.py --weights    # each fixed weight, and the one that is chosen
    python benchmarks/examples.py --only digits           # collections whose name has this in it
    python benchmarks/examples.py --kind half --seed 100  # one column, on draws of other seeds

Each line is so many draws of examples; what is classified was never an example. `gain` is in points
of top-1 against the words alone with its 95 % interval over the draws (Student's t), `worst` the
worst draw, `loss` the difference of the mean log loss. `bad`: one example of the set has the label
of another; `noise`: a fifth of them have; `half`: every second label, by lot, has no example, and
`bare` is then the gain on pictures of these. The weights were set before the first run; what is
done for labels without examples was chosen on `half` of the photographs and of 16 shapes, seeds 0
to 19. It is judged by the other collections, and by other seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import t as student

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

import adapt  # noqa: E402
from adapt import Collection  # noqa: E402
from transductive import coarse, grainy  # noqa: E402

import shapes  # noqa: E402
from unseen.labels.examples import WEIGHTS, fuse, moved  # noqa: E402
from unseen.prediction.score import single_label  # noqa: E402

SHOTS = (1, 2, 4, 8)
DRAWS = 20
SPOILED = {"coarse": coarse, "grainy, a third": lambda image, rng: grainy(image, rng, 20)}


KINDS = {"": None, "bad": 0.0, "noise": 0.2, "half": None}  # → the part whose label is another's


def collections(only: Sequence[str]) -> Iterator[Collection]:
    """Those whose name has one of the texts in it, or all."""
    adapt.SPOILED.update(SPOILED)
    trained, held_out = shapes.labels(), shapes.labels(held_out=True)
    any_colour = [f"a {shape}" for shape in shapes.SHAPES]
    for labels, names in (
        (trained, ["coarse", "grainy, a third", "blurred", "tinted", "grainy"]),
        (any_colour, ["tinted", "grainy"]),
        (held_out, ["blurred", "grainy"]),
    ):
        for name in names:
            if _chosen(f"{len(labels)} shapes, {name}", only):
                yield from adapt.of_shapes(labels, [name])
    for name, make in (("photographs", adapt.of_photographs), ("digits", adapt.of_digits)):
        if _chosen(name, only):
            yield from make()


def _chosen(name: str, only: Sequence[str]) -> bool:
    return not only or any(text in name for text in only)


def spoilt(label_ids: np.ndarray, k: int, part: float, rng: np.random.Generator) -> np.ndarray:
    """The labels of examples, some of them another's: a part, but one at least."""
    wrong = rng.permutation(len(label_ids))[: max(1, round(part * len(label_ids)))]
    label_ids = label_ids.copy()
    label_ids[wrong] = (label_ids[wrong] + rng.integers(1, k, len(wrong))) % k
    return label_ids


def top1_and_loss(rows: np.ndarray, draw: adapt.Draw, score: object) -> tuple[float, float]:
    p = single_label(np.asarray(draw.images @ rows.T, dtype=np.float32), score)
    own = p[np.arange(len(p)), draw.truth]
    return float((p.argmax(1) == draw.truth).mean()), float(-np.log(np.maximum(own, 1e-12)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--only", action="append", default=[], help="collections of this name")
    parser.add_argument("--kind", action="append", choices=KINDS, help="bad, noise or half alone")
    parser.add_argument("--seed", type=int, default=0, help="of the first draw")
    options = parser.parse_args()
    print(f"{'collection':<38} {'examples':>14} {'words':>6} {'gain':>20} {'worst':>6} "
          f"{'loss':>7}  weights")  # fmt: skip
    for collection in collections(options.only):
        score = collection.labels.score
        texts = collection.labels.matrix
        for shots in SHOTS:
            if shots > max(1, collection.most):
                continue
            for kind in options.kind or KINDS:
                part = KINDS[kind]
                results, weights, fixed, bare = [], [], [], []
                for seed in range(options.seed, options.seed + DRAWS):
                    draw = collection.draw(shots, seed)
                    ids = draw.owners.astype(np.int64)
                    rng = np.random.default_rng(seed)
                    if part is not None:
                        ids = spoilt(ids, len(texts), part, rng)
                    examples = draw.examples
                    if kind == "half":
                        half = rng.permutation(len(texts))[: len(texts) // 2]
                        used = np.isin(ids, half)
                        examples, ids = examples[used], ids[used]
                    before = top1_and_loss(texts, draw, score)
                    fused = fuse(texts, examples, ids, score.scale)
                    after = top1_and_loss(fused.rows, draw, score)
                    results.append((before[0], after[0] - before[0], after[1] - before[1]))
                    if kind == "half":
                        others = ~np.isin(draw.truth, half)
                        rest = adapt.Draw(examples, ids, draw.images[others], draw.truth[others])
                        then, now = (top1_and_loss(r, rest, score) for r in (texts, fused.rows))
                        bare.append(now[0] - then[0])
                    weights.append(fused.weight)
                    if options.weights:
                        fixed.append([
                            np.subtract(
                                top1_and_loss(moved(texts, examples, ids, w), draw, score),
                                before,
                            )
                            for w in WEIGHTS
                        ])  # fmt: skip
                words, gain, loss = np.array(results).T
                half = student.ppf(0.975, DRAWS - 1) * gain.std(ddof=1) / np.sqrt(DRAWS)
                taken = ", ".join(f"{w:.2g}×{weights.count(w)}" for w in sorted(set(weights)))
                if bare:
                    taken += f"; bare {100 * np.mean(bare):+.1f}, worst {100 * min(bare):+.1f}"
                print(
                    f"{collection.name:<38} {f'{shots} {kind}':>14} {words.mean():>6.1%} "
                    f"{100 * gain.mean():>+6.1f} ({100 * (gain.mean() - half):+.1f} to "
                    f"{100 * (gain.mean() + half):+.1f}) {100 * gain.min():>+6.1f} "
                    f"{loss.mean():>+7.3f}  {taken}",
                    flush=True,
                )
                if options.weights:
                    means = np.array(fixed).mean(0)
                    print("    " + "  ".join(
                        f"{w:.2g}: {100 * top1:+.1f} {loss:+.2f}"
                        for w, (top1, loss) in zip(WEIGHTS, means, strict=True)
                    ))  # fmt: skip


if __name__ == "__main__":
    main()
