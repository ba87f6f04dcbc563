"""How good the label doctor's guesses are, with the built-in model.

    python benchmarks/label_doctor.py

Synonyms: pairs that mean the same, written for this, and how many are called near-synonyms; against
them, pairs of different labels of tests/photographs. Confusion: whether the pairs of labels that
the model really confuses are those that were predicted. Homographs: sets in which one word is
ambiguous and its company says which sense is meant; they were looked at while the rule was chosen.
Context: the homographs among the labels of tests/photographs, with the sense that the model reads.
Nothing fits: photographs of labels that are in the set and of labels that are not, 30 draws.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

import unseen
from unseen.label_lint import Subject, examine, pictures
from unseen.label_lint.findings import WARNING, Finding
from unseen.label_lint.semantic import SYNONYM, senses
from unseen.labels.label_set import LabelSet
from unseen.labels.templates import fill

PHOTOGRAPHS = Path(__file__).parents[1] / "tests" / "photographs"
SYNONYMS = """sofa couch, car automobile, bicycle bike, aeroplane airplane, taxi cab, truck lorry,
television tv, sneakers trainers, trousers pants, rubbish garbage, lift elevator, sweater pullover,
doctor physician, child kid, forest woods, rabbit bunny, donkey ass, film movie, photo photograph,
stone rock, shop store, autumn fall, street road, coast shore, spectacles eyeglasses, pub tavern,
infant baby, cemetery graveyard, path trail, lawyer attorney, bug insect, doughnut donut,
ship vessel, mountain peak, picture image, present gift, sea ocean, purse handbag, wharf quay"""
# The first word is ambiguous; after the colon, the sense that its company means.
COMPANIES = """
crane heron stork pigeon owl: bird; crane excavator bulldozer truck forklift: machine;
mouse keyboard monitor laptop: computer; mouse rat hamster cat dog: animal;
jaguar leopard lion tiger: animal; jaguar bicycle truck taxi bus: car;
bat owl fox hedgehog: animal; bat ball helmet glove racket: sport;
bank hospital school church: money; seal walrus penguin whale: animal;
kite eagle hawk falcon: bird; kite balloon doll swing: toy;
trunk suitcase backpack box: box; drill hammer saw screwdriver: tool;
pepper carrot onion tomato: vegetable; pepper salt cinnamon sugar: spice;
turkey chicken goose duck: bird; nail hammer screw bolt: metal;
ring necklace bracelet earring: jewellery; palm oak pine birch: tree;
orange banana pear lemon: fruit; tank helicopter soldier rifle: army;
ray shark eel octopus: fish; bow arrow shield sword: weapon; mole badger otter fox: animal;
fork knife spoon plate: cutlery; plane helicopter rocket ship: aircraft;
plane hammer saw chisel: tool; crown sword shield king: king; file hammer saw pliers: tool;
letter envelope stamp parcel: post; cricket ant beetle wasp: insect;
cricket football tennis hockey: sport; glasses hat scarf gloves: eyes;
chest wardrobe table shelf: box; match candle lighter torch: fire;
pool beach lake river: swimming; rocket lettuce spinach cabbage: salad;
apple banana pear grape: fruit; organ piano violin harp: music
"""
DRAWS, KNOWN = 30, 20


def main() -> None:
    clf = unseen.load()
    folders = sorted(path for path in PHOTOGRAPHS.iterdir() if path.is_dir())
    names = [folder.name.replace("_", " ") for folder in folders]
    files = [(i, file) for i, folder in enumerate(folders) for file in sorted(folder.iterdir())]
    truth = np.array([i for i, _ in files])
    rows = clf.encode_images([file for _, file in files])
    subject = Subject(clf, LabelSet.of(names))
    synonyms(subject)
    confusion(subject, rows, truth)
    homographs(clf)
    context(clf, names, rows, truth)
    nothing_fits(clf, names, rows, truth)


def synonyms(subject: Subject) -> None:
    pairs = [pair.split() for pair in SYNONYMS.replace("\n", " ").split(",")]
    cosines = [float(a @ b) for a, b in (subject.encode_names(pair) for pair in pairs)]
    labels = subject.cosines[np.triu_indices(len(subject.names), 1)]
    for part in (0.99, 0.995, SYNONYM):
        found = sum(cosine > subject.quantile(part) for cosine in cosines)
        others = int((labels > subject.quantile(part)).sum())
        print(
            f"cosines above {part:.1%} of pairs of everyday words ({subject.quantile(part):.2f}): "
            f"{found} of {len(pairs)} synonyms, {others} of {len(labels)} pairs of labels"
        )


def confusion(subject: Subject, rows: np.ndarray, truth: np.ndarray) -> None:
    said = (rows @ subject.vectors.T).argmax(1)
    real = {frozenset((int(a), int(b))) for a, b in zip(truth, said, strict=True) if a != b}
    first, second = np.triu_indices(len(subject.names), 1)
    places = zip(first.tolist(), second.tolist(), strict=True)
    is_real = [frozenset(pair) in real for pair in places]
    between = subject.cosines[first, second]
    print(
        f"{len(real)} of {len(first)} pairs are confused on {len(truth)} photographs; by their "
        f"text cosine, AUROC {roc_auc_score(is_real, between):.2f}"
    )
    order = np.argsort(-between)
    for count in (5, 20, 100):
        hits = int(np.array(is_real)[order[:count]].sum())
        print(f"  of the {count} most alike, {hits} are; so many by chance: "
              f"{count * len(real) / len(first):.1f}")  # fmt: skip


def _named(found: Finding) -> str:
    """The sense that is suggested, or, where none is, the one that the model has."""
    if found.severity == WARNING:
        return found.advice.split("(")[1].split(")")[0]
    return max(found.figures, key=lambda sense: found.figures[sense]).removeprefix("cosine to ")


def homographs(clf: unseen.Classifier) -> None:
    sets = [part.split(":") for part in COMPANIES.replace("\n", " ").split(";")]
    silent = warned = wrong = 0
    for labels, sense in sets:
        findings, _ = examine(clf, labels.split())
        about = [f for f in findings if f.kind == "homograph" and f.labels == (labels.split()[0],)]
        if not about:
            silent += 1
        elif _named(about[0]) == sense.strip():
            warned += 1
        else:
            wrong += 1
    print(
        f"{len(sets)} homographs in company: {warned} are named with the sense that is meant, "
        f"{wrong} with another, and of {silent} nothing is said"
    )


def context(clf: unseen.Classifier, names: list[str], rows: np.ndarray, truth: np.ndarray) -> None:
    """What it does to say the sense that the model has or should have, where pictures can tell."""
    findings, subject = examine(clf, names)
    advised = {
        f.labels[0]: fill(subject.template, f"{f.labels[0]}, {senses()[f.labels[0]][_named(f)]}")
        for f in findings
        if f.kind == "homograph"
    }
    about = np.isin(truth, [names.index(name) for name in advised])
    right = []
    for labels in (names, {name: advised.get(name) for name in names}):
        said = (rows @ clf.compile(labels).matrix.T).argmax(1)
        right.append((said == truth)[about].sum())
        everything = (said == truth).sum()
        print(
            f"{'with' if len(right) > 1 else 'without'} context for {len(advised)} homographs of "
            f"{len(names)} labels: right for {right[-1]} of their {about.sum()} photographs, "
            f"{everything} of all {len(truth)}"
        )


def nothing_fits(
    clf: unseen.Classifier, names: list[str], rows: np.ndarray, truth: np.ndarray
) -> None:
    rng = np.random.default_rng(0)
    inside, outside = [], []
    for _ in range(DRAWS):
        known = rng.permutation(len(names))[:KNOWN]
        subject = Subject(clf, LabelSet.of([names[i] for i in known]))
        lost = ~pictures.fits_a_label(subject, rows, pictures.other_words(subject)[0])
        is_known = np.isin(truth, known)
        inside.append(lost[is_known].mean())
        outside.append(lost[~is_known].mean())
    print(
        f"{KNOWN} of the {len(names)} labels, {DRAWS} draws: nothing fits {np.mean(inside):.0%} of "
        f"the photographs of these labels, and {np.mean(outside):.0%} of the others"
    )


if __name__ == "__main__":
    main()
