"""The rules by which `unseen tune` takes or refuses a result, on draws that did not shape them.

    python benchmarks/tune_rules.py run.jsonl --domain grainy --seeds 10-14   # adds lines to a file
    python benchmarks/tune_rules.py run.jsonl --table                         # what they come to

A draw: 40 of 80 labels, 16 pictures each, of one domain, and 256 clean pictures as the leash, all
drawn anew by its seed. Situations: with the leash; without it; a third of the labels wrong; clean
pictures, of which there is nothing to learn; labels that were shuffled. The rules see what a user's
run sees. Who judges them are other pictures, drawn for that alone: 280 of the 40 labels, 280 of the
other 40, and 240 clean ones among all 80. `taken` is right where the net is 2 points better there
about its own labels, loses no more than 2 about the others, and keeps 95 % of what the original is
right about of clean ones; `refused` is right where that is not so, or where an adapter of the same
pictures is as good (see `as_good`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import unseen
from unseen.evaluation.bootstrap import proportion
from unseen.learning.adapt import fit_adapter
from unseen.learning.gate import LEVEL
from unseen.learning.tune import network as networks
from unseen.learning.tune import tuning as tunings
from unseen.learning.tune.choice import SHARES, _keeps, best_alpha, curve, verdict
from unseen.learning.tune.figures import Embed
from unseen.learning.tune.material import annotated, read_material
from unseen.learning.tune.options import TuneOptions
from unseen.learning.tune.run import Tuning, settled
from unseen.prediction.transductive import transduce

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

from transductive import blurred, coarse, grainy, tinted  # noqa: E402

import shapes  # noqa: E402

FIXTURE = ROOT / "tests" / "fixtures" / "shapes-clip"
LABELS, EACH, LEASH = 40, 16, 256
TEST, CLEAN = 7, 3  # pictures of a label
GAIN, LOSS, KEEP = 0.02, 0.02, 0.95
Spoil = Callable[[Image.Image, np.random.Generator], Image.Image]
DOMAINS: dict[str, Spoil] = {
    "grainy": grainy,
    "tinted": tinted,
    "coarse": coarse,
    "blurred": blurred,
    "clean": lambda image, rng: image,
}


@dataclass(frozen=True)
class Situation:
    """What is given, and how it is tuned: steps, and whether a leash holds the net."""

    steps: int
    leash_weight: float = 10.0
    wrong: float = 0.0  # part of the labels
    domain: str | None = None  # another than that of the draw
    rounds: int = 0  # of pseudo-labels: nobody gives a label, but the names of all of them


SITUATIONS = {
    "leash": Situation(120),
    "no leash": Situation(40, leash_weight=0.0),
    "a third wrong": Situation(80, wrong=1 / 3),
    "nothing to learn": Situation(40, domain="clean"),
    "shuffled": Situation(40, wrong=1.0),
    "no labels": Situation(120, rounds=1),
    "no labels, twice": Situation(120, rounds=2),
}
USUAL = [name for name, how in SITUATIONS.items() if not how.rounds]


def drawn(labels: Sequence[str], each: int, spoil: Spoil, seed: int) -> list[tuple[Any, str]]:
    rng = np.random.default_rng(seed)
    return [
        (spoil(shapes.draw(shapes.scene(label), 100_000 * seed + 100 * place + number), rng), label)
        for place, label in enumerate(labels)
        for number in range(each)
    ]


def mislabelled(
    pairs: list[tuple[Any, str]], part: float, labels: Sequence[str], rng: np.random.Generator
) -> list[tuple[Any, str]]:
    """All shuffled, or a part of them with another label, drawn at random."""
    if part == 1:
        order = rng.permutation(len(pairs))
        return [(image, pairs[i][1]) for (image, _), i in zip(pairs, order, strict=True)]
    wrong = rng.random(len(pairs)) < part
    return [
        (image, str(rng.choice([other for other in labels if other != label])) if w else label)
        for (image, label), w in zip(pairs, wrong, strict=True)
    ]


class Test:
    """Pictures that no rule sees, and what is right about each."""

    def __init__(self, clf: unseen.Classifier, own: list[str], spoil: Spoil, seed: int) -> None:
        every = shapes.labels()
        others = [label for label in every if label not in own]
        self.labels = {"own": own, "others": others, "clean": every}
        drawings = {
            "own": drawn(own, TEST, spoil, 3 * seed + 1),
            "others": drawn(others, TEST, spoil, 3 * seed + 2),
            "clean": drawn(every, CLEAN, DOMAINS["clean"], 3 * seed + 3),
        }
        self.pixels = {
            name: np.stack([clf.encoder.pixels(image) for image, _ in pairs])
            for name, pairs in drawings.items()
        }
        self.truth = {
            name: np.array([self.labels[name].index(label) for _, label in pairs])
            for name, pairs in drawings.items()
        }
        self.texts = {name: clf.compile(labels).matrix for name, labels in self.labels.items()}
        self.clf = clf

    def of(self, embed: Embed) -> dict[str, float]:
        """The part that is right, of each kind."""
        return {
            name: float(((embed(pixels) @ self.texts[name].T).argmax(1) == self.truth[name]).mean())
            for name, pixels in self.pixels.items()
        }

    def of_adapter(self, adapter: unseen.Adapter, embed: Embed) -> dict[str, float]:
        shares = {}
        for name, pixels in self.pixels.items():
            fitted = adapter.apply(self.clf.compile(self.labels[name]))
            answers = fitted.similarities(embed(pixels)).argmax(1)
            shares[name] = float((answers == self.truth[name]).mean())
        return shares

    def stayed(self, before: Embed, after: Embed, words: np.ndarray, scale: float) -> list[float]:
        """The part of all answers about clean pictures that stayed, and of the sure ones."""
        old, new = (embed(self.pixels["clean"]) @ words.T for embed in (before, after))
        logits = scale * old
        sure = np.exp(logits - logits.max(1, keepdims=True)).sum(1) <= 2  # probability of half
        same = old.argmax(1) == new.argmax(1)
        return [float(same.mean()), float(same[sure].mean())]


def run(domain: str, seed: int, name: str) -> dict[str, Any]:
    """One tuning as `unseen tune --no-refit` does it, and what the judge says of it."""
    began = time.process_time()
    clf = unseen.load(FIXTURE, device="cpu")
    rng = np.random.default_rng(seed)
    every = shapes.labels()
    own = [every[i] for i in sorted(rng.permutation(80)[:LABELS])]
    how = SITUATIONS[name]
    spoil = DOMAINS[how.domain or domain]
    given = drawn(own, EACH, spoil, 3 * seed)
    pairs = mislabelled(given, how.wrong, own, rng)
    row: dict[str, Any] = {"domain": domain, "seed": seed, "situation": name}
    with tempfile.TemporaryDirectory() as place:
        work, leash = Path(place) / "work", Path(place) / "leash"
        work.mkdir()
        leash.mkdir()
        clean = drawn(every, 4, DOMAINS["clean"], 7_000 + seed)
        for number in rng.permutation(len(clean))[:LEASH]:
            clean[number][0].save(leash / f"{number}.png")
        options = TuneOptions(
            leash=leash, leash_weight=how.leash_weight, steps=how.steps, refit=False, seed=seed
        )
        test, truth = Test(clf, own, spoil, 50_000 + seed), None
        if how.rounds:
            tuning, truth = _of_own_answers(clf, given, own, options, work, how.rounds)
            row["labels_right"] = float(np.mean([a in b for a, b in truth]))
        else:
            tuning = _tuning(clf, pairs, options, work)
        row |= _decided(tuning, test, truth)
    return row | {"seconds": round(time.process_time() - began, 1)}


def _tuning(clf: Any, pairs: Any, options: TuneOptions, work: Path) -> Tuning:
    embed = networks.embedder(clf.model, {}, 0.0, "cpu")
    material = read_material(clf, annotated(clf, pairs, None), options, work, embed)
    return Tuning(clf.model, material, settled(clf.model, material, options, "cpu"), work, "cpu")


def _of_own_answers(
    clf: Any,
    given: list[tuple[Any, str]],
    own: list[str],
    options: TuneOptions,
    work: Path,
    rounds: int,
) -> tuple[Tuning, list[tuple[int, tuple[int, ...]]]]:
    """Self-training: the surer half of what a net says of each label, with the help of the whole
    collection (transduction), is what the next one learns from. And what is true of these."""
    embed, texts = networks.embedder(clf.model, {}, 0.0, "cpu"), clf.compile(own).matrix
    pixels = np.stack([clf.encoder.pixels(image) for image, _ in given])
    true = np.array([own.index(label) for _, label in given])
    for number in range(rounds):
        probabilities = transduce(embed(pixels), texts, clf.model.score)
        answers, sureness = probabilities.argmax(1), probabilities.max(1)
        rows = np.concatenate(
            [_surer_half(np.flatnonzero(answers == i), sureness) for i in range(len(own))]
        )
        pairs = [(given[row][0], own[answers[row]]) for row in rows]
        place = work / str(number)
        place.mkdir()
        tuning = _tuning(clf, pairs, options, place)
        if number + 1 < rounds:
            every = np.arange(len(pairs))
            embed = tuning.embedder(tuning.trained("trial", every, None, None, None), 1.0)
    names = list(tuning.material.data.names)
    is_among = [(names.index(own[t]),) if own[t] in names else (-1,) for t in true[rows]]
    return tuning, list(
        zip([ids[0] for ids in tuning.material.data.label_ids], is_among, strict=True)
    )


def _surer_half(rows: np.ndarray, sureness: np.ndarray) -> np.ndarray:
    return rows[np.argsort(-sureness[rows], kind="stable")][: (len(rows) + 1) // 2]


def _decided(
    tuning: Tuning, test: Test, truth: list[tuple[int, tuple[int, ...]]] | None = None
) -> dict[str, Any]:
    material, keep = tuning.material, tuning.options.keep
    judge, choose = material.exam("judge"), material.exam("choose")
    before = judge.marks(tuning.embedder({}, 0.0))
    labels_p = tunings.chance_of_labels(tunings._examples(tuning, material.split.train))
    if labels_p > LEVEL:
        return {"reason": "chance", "labels_p": labels_p}
    adapter = tunings._adapter(tuning, judge)
    changes = tuning.trained("trial", material.split.train, None, None, None)
    points = curve([choose.marks(tuning.embedder(changes, alpha)) for alpha in SHARES], keep)
    alpha = best_alpha(points)
    reason, p_values = "harm", {}
    if alpha is not None:
        after = judge.marks(tuning.embedder(changes, alpha))
        reason, p_values = verdict(before, after, adapter, keep)
    of_truth = {}
    if truth is not None:  # what the rules would say with the true labels of the same pictures
        ids = [true if true[0] >= 0 else () for _, true in truth]
        exam = replace(material, data=replace(material.data, label_ids=ids)).exam("judge")
        share = max(p.alpha for p in points if _keeps(p.figures.retention, keep))
        both = (exam.marks(tuning.embedder(changes, one)) for one in (0.0, share))
        of_truth = {"alpha_of_truth": share, "reason_of_truth": verdict(*both, None, keep)[0]}
    original = tuning.embedder({}, 0.0)
    ids = [material.data.label_ids[row][0] for row in material.split.train]
    fitted = fit_adapter(
        material.before[material.split.train], ids, material.data.compiled, seed=tuning.options.seed
    )
    shares = [alpha] if alpha is not None else [s for s in SHARES if s]
    nets = {share: tuning.embedder(changes, share) for share in shares}
    scale = tuning.model.score.scale
    return {
        **of_truth,
        "reason": reason,
        "alpha": alpha,
        "p": p_values,
        "before": test.of(original),
        "adapter": test.of_adapter(fitted, original),
        "after": {str(share): test.of(net) for share, net in nets.items()},
        "stayed": test.stayed(original, nets[shares[-1]], material.words, scale),
    }


# what it comes to


def good(row: dict[str, Any], after: dict[str, float]) -> bool:
    """Whether a net is worth having, by pictures that decided nothing."""
    before = row["before"]
    return (
        after["own"] >= before["own"] + GAIN
        and after["others"] >= before["others"] - LOSS
        and after["clean"] >= KEEP * before["clean"]
    )


def as_good(row: dict[str, Any], after: dict[str, float]) -> bool:
    """Whether an adapter is: of its own labels and the others, or far better of its own."""
    adapter = row["adapter"]
    together = adapter["own"] + adapter["others"] - after["own"] - after["others"]
    return bool(together >= -GAIN or adapter["own"] > after["own"] + 0.05)


def right(row: dict[str, Any], reason: str) -> bool:
    """Whether this word for it is the right one."""
    if row["reason"] == "chance":
        return row["situation"] == "shuffled"
    nets = row["after"].values()
    if reason == "gain":
        return good(row, row["after"][str(row["alpha"])])
    return not any(good(row, net) and not as_good(row, net) for net in nets)


def seen_alone(row: dict[str, Any]) -> str:
    """What the rule would say where an adapter must be beaten of its own labels alone."""
    lost = row["reason"] == "gain" and row["p"].get("adapter_seen_p", 0) > LEVEL
    return "adapter" if lost else str(row["reason"])


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield (
        f"{'domain':9} {'situation':17} {'draws':>5} {'taken':>5} {'refused as':32} {'right':>6}"
        + ("   own, others, clean: before → adapter → net (means)")
    )
    for domain in dict.fromkeys(row["domain"] for row in rows):
        for situation in SITUATIONS:
            some = [r for r in rows if (r["domain"], r["situation"]) == (domain, situation)]
            if some:
                yield _line(domain, situation, some)
    yield ""
    alone = [row for row in rows if "reason_of_truth" in row]
    rows = [row for row in rows if not SITUATIONS[row["situation"]].rounds]
    if alone:
        yield (
            f"without labels: {len(alone)} draws; taken by rules on its own answers: "
            + ", ".join(
                f"{sum(row[key] == 'gain' for row in alone)} {title}"
                for key, title in {"reason": "", "reason_of_truth": "by the true labels"}.items()
            ).replace(" ,", ",")
        )
    for title, rule in {
        "as it is": lambda r: str(r["reason"]),
        "own labels alone": seen_alone,
    }.items():
        taken = [row for row in rows if rule(row) == "gain"]
        refused = [row for row in rows if rule(row) != "gain"]
        yield f"the rule of the adapter, {title}: " + "; ".join(
            f"{name} {sum(right(r, rule(r)) for r in part)} of {len(part)} right "
            "({:.2f} to {:.2f})".format(
                *proportion(sum(right(r, rule(r)) for r in part), len(part))
            )
            for name, part in (("taken", taken), ("refused", refused))
            if part
        )
    stayed = np.array([r["stayed"] for r in rows if r["reason"] == "gain"])
    if len(stayed):
        low, mean = stayed.min(0), stayed.mean(0)
        yield (
            f"taken: of all answers about fresh clean pictures {mean[0]:.3f} stayed "
            f"(least {low[0]:.3f}), of the sure ones {mean[1]:.3f} (least {low[1]:.3f})"
        )


def _line(domain: str, situation: str, rows: Sequence[dict[str, Any]]) -> str:
    taken = sum(row["reason"] == "gain" for row in rows)
    refused = Counter(row["reason"] for row in rows if row["reason"] != "gain")
    why = ", ".join(f"{reason} {n}" for reason, n in refused.most_common())
    correct = sum(right(row, row["reason"]) for row in rows)
    cells = f"{domain:9} {situation:17} {len(rows):>5} {taken:>5} {why:32} {correct:>3}/{len(rows)}"
    measured = [row for row in rows if "before" in row]
    if not measured:
        return cells
    means = []
    for kind in ("own", "others", "clean"):
        nets = [row["after"][max(row["after"])][kind] for row in measured]
        values = [np.mean([row[name][kind] for row in measured]) for name in ("before", "adapter")]
        means.append("→".join(f"{value:.2f}" for value in [*values, np.mean(nets)]))
    return f"{cells}   " + "  ".join(means)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--domain", choices=DOMAINS, default="grainy")
    parser.add_argument("--seeds", default="10-14")
    parser.add_argument("--situation", choices=SITUATIONS)
    parser.add_argument("--table", action="store_true")
    chosen = parser.parse_args()
    lines = chosen.file.read_text("utf-8").splitlines() if chosen.file.is_file() else []
    rows = [json.loads(line) for line in lines]
    if not chosen.table:
        torch.set_num_threads(1)
        first, _, last = chosen.seeds.partition("-")
        done = {(row["domain"], row["seed"], row["situation"]) for row in rows}
        for seed in range(int(first), int(last or first) + 1):
            for situation in [chosen.situation] if chosen.situation else USUAL:
                if (chosen.domain, seed, situation) not in done:
                    rows.append(run(chosen.domain, seed, situation))
                    with chosen.file.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
                    print(json.dumps(rows[-1]), flush=True)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
