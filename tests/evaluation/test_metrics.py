"""Metrics against scikit-learn and torchmetrics; intervals and flags against what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_calibration_error

from unseen.evaluation import bootstrap
from unseen.evaluation import metrics as evaluate

CLOSE = 1e-9

# They warn of what is left out; that it is left out alike is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:sklearn")


def answers(n: int, k: int, seed: int, *, ties: bool = False) -> tuple[Any, Any]:
    """Probabilities that are right more often than not; some labels without pictures."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, max(2, k - 2), n)
    logits = rng.normal(0, 1.5, (n, k))
    logits[np.arange(n), truth] += 1.5
    p = np.exp(logits)
    p /= p.sum(1, keepdims=True)
    if ties:
        p = np.round(p, 1) + 1e-3
        p /= p.sum(1, keepdims=True)
    return p, truth


def several(n: int, k: int, seed: int, *, ties: bool = False) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    truth = rng.random((n, k)) < rng.uniform(0.02, 0.5, k)
    p = 1 / (1 + np.exp(-(rng.normal(-1, 1, (n, k)) + 1.5 * truth)))
    return (np.round(p, 1) if ties else p), truth


SIZES = [(1, 2), (7, 3), (200, 10), (3000, 69)]


@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("ties", [False, True])
def test_one_label_is_as_scikit_learn_has_it(n: int, k: int, ties: bool) -> None:
    p, truth = answers(n, k, n + k, ties=ties)
    said, names = p.argmax(1), np.arange(k)
    recall = sk.balanced_accuracy_score(truth, said)
    assert evaluate.mean_recall(p, truth) == pytest.approx(recall, abs=CLOSE)
    f1 = sk.f1_score(truth, said, average="macro")
    assert evaluate.macro_f1(p, truth) == pytest.approx(f1, abs=CLOSE)
    loss = sk.log_loss(truth, p, labels=names)
    assert evaluate.nll(p, truth) == pytest.approx(loss, abs=CLOSE)
    if k > 2:  # of two it takes one column, and halves
        brier = sk.brier_score_loss(truth, p, labels=names)
        assert evaluate.brier(p, truth) == pytest.approx(brier, abs=CLOSE)
    table = sk.confusion_matrix(truth, said, labels=names)
    np.testing.assert_array_equal(evaluate.confusion(p, truth), table)
    top1 = sk.accuracy_score(truth, said)
    assert evaluate.top_k(p, truth, 1) == pytest.approx(top1, abs=CLOSE)
    if not ties and k > 2:  # of equal ones it takes the last, and classify the first
        for top in (1, 2, 5):
            if top < k:
                theirs = sk.top_k_accuracy_score(truth, p, k=top, labels=names)
                assert evaluate.top_k(p, truth, top) == pytest.approx(theirs, abs=CLOSE)


def test_of_equal_labels_the_first_stands_first() -> None:
    p = np.array([[0.25, 0.25, 0.25, 0.25], [0.1, 0.4, 0.1, 0.4]])
    assert evaluate.ranks(p, np.array([2, 3])).tolist() == [2, 1]
    assert evaluate.ranks(p, np.array([0, 1])).tolist() == [0, 0]


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_calibration_error_is_as_torchmetrics_has_it(n: int, k: int) -> None:
    p, truth = answers(n, k, n + k)
    theirs = multiclass_calibration_error(
        torch.from_numpy(p), torch.from_numpy(truth), k, n_bins=15, norm="l1"
    )
    assert evaluate.ece(p, truth) == pytest.approx(
        float(theirs), abs=1e-6
    )  # it has bins in float32


@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("ties", [False, True])
def test_calibration_error_is_its_definition(n: int, k: int, ties: bool) -> None:
    """Also on the edges of bins, which belong to the bin below (Guo et al. 2017, equation 5)."""
    p, truth = answers(n, k, n + k, ties=ties)
    p[0] = np.eye(k)[0]  # wholly sure
    p[-1] = 1 / k
    total = 0.0
    for m in range(15):
        sure = p.max(1)
        within = (sure > m / 15) & (sure <= (m + 1) / 15)
        if within.any():
            gap = (p.argmax(1) == truth)[within].mean() - sure[within].mean()
            total += within.sum() / n * abs(gap)
    assert evaluate.ece(p, truth) == pytest.approx(total, abs=CLOSE)
    bins = evaluate.reliability(p, truth)
    again = sum(b.count / n * abs(b.right - b.sure) for b in bins)
    assert again == pytest.approx(total, abs=CLOSE)
    assert sum(b.count for b in bins) == n and all(b.low <= b.sure <= b.high for b in bins)


@pytest.mark.parametrize(("n", "k"), [(8, 2), (300, 5), (2000, 20)])
@pytest.mark.parametrize("ties", [False, True])
def test_several_labels_are_as_scikit_learn_has_them(n: int, k: int, ties: bool) -> None:
    p, truth = several(n, k, n, ties=ties)
    yes = p >= 0.5
    seen = truth.any(0)
    each = sk.average_precision_score(truth[:, seen], p[:, seen], average=None)
    found, there = evaluate.average_precisions(p, truth)
    np.testing.assert_allclose(found[seen], each, atol=CLOSE)
    np.testing.assert_array_equal(there, truth.sum(0))
    assert evaluate.mean_average_precision(p, truth) == pytest.approx(np.mean(each), abs=CLOSE)
    f1 = sk.f1_score(truth, yes, average="macro", zero_division=np.nan)
    assert evaluate.macro_f1_multi(yes, truth) == pytest.approx(f1, abs=CLOSE)
    assert evaluate.exact(yes, truth) == pytest.approx(sk.accuracy_score(truth, yes), abs=CLOSE)
    loss = np.mean([sk.log_loss(truth[:, j], p[:, j], labels=[0, 1]) for j in range(k)])
    assert evaluate.binary_log_losses(p, truth).mean() == pytest.approx(loss, abs=CLOSE)
    brier = np.mean([sk.brier_score_loss(truth[:, j], p[:, j], labels=[0, 1]) for j in range(k)])
    assert evaluate.binary_squares(p, truth).mean() == pytest.approx(brier, abs=CLOSE)


def test_a_metric_on_resamples_is_the_metric_on_the_pictures_drawn() -> None:
    """Every one of them, on every column: what makes the bootstrap one of this metric."""
    rng = np.random.default_rng(3)
    n = 60
    drawn = rng.integers(n, size=(n, 8))
    times = np.stack([np.bincount(column, minlength=n) for column in drawn.T], axis=1)
    for ties in (False, True):
        p, truth = answers(n, 6, 1, ties=ties)
        q, many = several(n, 4, 2, ties=ties)

        def check(metrics: Any, again: Any) -> None:
            for name, metric in metrics.items():
                values = metric.of(times)
                assert values.shape == (8,)
                for column, value in zip(drawn.T, values, strict=True):
                    once = again(column)[name].of(None)
                    assert value == pytest.approx(float(once), abs=CLOSE), name

        check(
            evaluate.single(p, truth, (1, 3)),
            lambda rows, p=p, t=truth: evaluate.single(p[rows], t[rows], (1, 3)),
        )
        check(
            evaluate.multi(q, many, q >= 0.5),
            lambda rows, q=q, m=many: evaluate.multi(q[rows], m[rows], q[rows] >= 0.5),
        )


def test_terms_are_what_a_figure_is_the_mean_of() -> None:
    p, truth = answers(80, 6, 0)
    q, many = several(80, 4, 0)
    every = [*evaluate.single(p, truth).values(), *evaluate.multi(q, many, q >= 0.5).values()]
    means = [metric for metric in every if metric.terms is not None]
    assert len(means) >= 8
    for metric in means:
        assert metric.terms.mean() == pytest.approx(float(metric.of(None)), abs=CLOSE)


def test_scores_that_are_no_distribution_have_no_likelihood() -> None:
    p, truth = answers(50, 4, 0)
    assert "nll" in evaluate.single(p, truth)
    assert "nll" not in evaluate.single(p / 2, truth)


def test_retrieval_is_a_sorted_list_looked_through() -> None:
    rng = np.random.default_rng(0)
    images, captions = rng.normal(size=(300, 8)), rng.normal(size=(700, 8))
    pairs = np.stack([np.arange(700) % 300, np.arange(700)], axis=1)
    captions += images[pairs[:, 0]]
    pairs = np.concatenate([pairs, [[5, 0]]])  # a caption of two pictures
    rng.shuffle(pairs)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    captions /= np.linalg.norm(captions, axis=1, keepdims=True)
    found = evaluate.retrieval(images, captions, pairs, (1, 5))
    for k in (1, 5):
        own = {i: set(pairs[pairs[:, 0] == i, 1]) for i in range(300)}
        hits = [bool(own[i] & set(np.argsort(-captions @ images[i])[:k])) for i in range(300)]
        value = found[f"image_to_text_{k}"].of(None)
        assert value == pytest.approx(np.mean(hits), abs=CLOSE)
        pictures = {c: set(pairs[pairs[:, 1] == c, 0]) for c in range(700)}
        hits = [bool(pictures[c] & set(np.argsort(-images @ captions[c])[:k])) for _, c in pairs]
        value = found[f"text_to_image_{k}"].of(None)
        assert value == pytest.approx(np.mean(hits), abs=CLOSE)


def test_a_model_that_finds_all_alike_retrieves_nothing() -> None:
    same = np.full((5, 4), 0.5)
    pairs = np.stack([np.arange(5)] * 2, axis=1)
    assert evaluate.retrieval_ranks(same, same, pairs).tolist() == [4] * 5


# intervals


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Of 200 collections whose true accuracy is 0.8: 95 % is 190; 180 is four deviations off."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        hit = (rng.random(300) < 0.8).astype(float)
        metric = evaluate.Metric("hit", lambda times, hit=hit: evaluate._mean(hit, times), hit)
        found = bootstrap.estimate({"hit": metric}, 300, resamples=300)["hit"]
        assert found.low <= found.value <= found.high
        covered += found.low <= 0.8 <= found.high
    assert 178 <= covered <= 200


def test_an_interval_of_a_figure_that_resampling_biases_is_moved() -> None:
    """Calibration error of 100 pictures out of 20,000: every resample has a larger one, so that a
    plain percentile interval often lies wholly above what is true of all."""
    p, truth = answers(20_000, 5, 0)
    true = float(evaluate.ece(p, truth))
    rng = np.random.default_rng(0)
    held = plain = 0
    for _ in range(100):
        rows = rng.integers(20_000, size=100)
        metrics = evaluate.single(p[rows], truth[rows])
        found = bootstrap.estimate({"ece": metrics["ece"]}, 100, resamples=200)["ece"]
        low, high = np.percentile(found.draws, [2.5, 97.5])
        plain += low <= true <= high
        held += found.low <= true <= found.high
    assert held >= plain + 20


@pytest.mark.parametrize("n", [1, 10, 300])
def test_all_right_is_not_certain(n: int) -> None:
    p, truth = np.eye(3)[np.arange(n) % 3], np.arange(n) % 3
    exact = binomtest(n, n).proportion_ci(0.95, "exact")
    found = bootstrap.estimate(evaluate.single(p, truth, (1,)), n)
    for name in ("top1", "mean_recall", "macro_f1"):
        assert found[name].low == pytest.approx(exact.low) and found[name].high == 1
    none = bootstrap.estimate(evaluate.single(p, (truth + 1) % 3, (1,)), n)["top1"]
    assert none.low == 0 and none.high == pytest.approx(1 - exact.low)


def test_one_is_nothing_special_where_a_figure_is_no_share() -> None:
    rank = evaluate.Metric("rank", lambda times: np.ones(np.shape(times)[1:]), percent=False)
    found = bootstrap.estimate({"rank": rank}, 40)["rank"]
    assert (found.low, found.value, found.high) == (1, 1, 1)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_an_interval_has_its_figure_in_it(n: int) -> None:
    for seed in range(10):
        p, truth = answers(n, 12, seed)
        q, many = several(n, 12, seed)
        for metrics in (evaluate.single(p, truth), evaluate.multi(q, many, q >= 0.5)):
            for one in bootstrap.estimate(metrics, n, resamples=100).values():
                assert np.isnan(one.value) or one.low <= one.value <= one.high


def test_the_same_seed_is_the_same_interval_and_another_is_not() -> None:
    p, truth = answers(200, 5, 0)
    metrics = evaluate.single(p, truth)
    first, again = (bootstrap.estimate(metrics, 200) for _ in range(2))
    assert first == again
    assert bootstrap.estimate(metrics, 200, seed=1)["nll"].low != first["nll"].low


def pair(n: int, before: float, after: float, seed: int) -> Any:
    """Two models whose mistakes are shared where both may be right."""
    rng = np.random.default_rng(seed)
    luck = rng.random(n)
    flip = rng.random(n) < 0.1
    first = luck < before
    second = np.where(flip, rng.random(n) < after, luck < after)
    metrics = [
        evaluate.Metric("x", lambda times, h=h: evaluate._mean(h, times), h)
        for h in (first.astype(float), second.astype(float))
    ]
    return [bootstrap.estimate({"x": m}, n, resamples=300)["x"] for m in metrics]


def test_a_difference_is_noise_where_there_is_none_and_not_where_there_is() -> None:
    alike = [bootstrap.difference(*pair(300, 0.8, 0.8, s)).noise for s in range(100)]
    assert sum(alike) >= 88  # 95 expected; three deviations
    better = [bootstrap.difference(*pair(600, 0.7, 0.85, s)).noise for s in range(20)]
    assert not any(better)


def test_four_pictures_in_favour_are_no_proof() -> None:
    """A bootstrap alone takes them for one; 4 of 4 coins fall alike in one of 8 trials."""
    first = np.r_[np.ones(96), np.zeros(4)]
    metrics = [
        evaluate.Metric("x", lambda times, h=h: evaluate._mean(h, times), h)
        for h in (first, np.ones(100))
    ]
    a, b = (bootstrap.estimate({"x": m}, 100)["x"] for m in metrics)
    found = bootstrap.difference(a, b)
    assert found.low > 0 and found.noise


# groups


def audited(hit: Any, groups: Any, **options: Any) -> list[bootstrap.Group]:
    def metrics_of(rows: Any) -> Any:
        h = hit[rows]
        return {"hit": evaluate.Metric("hit", lambda times: evaluate._mean(h, times), h)}

    return bootstrap.audit(metrics_of, groups, **options)


def test_a_gap_is_flagged_where_there_is_one() -> None:
    rng = np.random.default_rng(0)
    groups = rng.choice(["a", "b", "c", "d"], 1200)
    hit = (rng.random(1200) < np.where(groups == "c", 0.6, 0.8)).astype(float)
    found = {group.name: group for group in audited(hit, groups)}
    gap = found["c"].gaps["hit"]
    assert gap.flagged and gap.high < 0 and gap.p <= 0.05
    there = groups == "c"
    assert gap.value == pytest.approx(hit[there].mean() - hit[~there].mean(), abs=CLOSE)
    assert gap.low < gap.value < gap.high
    assert found["c"].figures["hit"].value == pytest.approx(hit[there].mean(), abs=CLOSE)


def test_flags_are_rare_where_there_is_no_gap() -> None:
    """Any flag in an audit of six groups, one of 30 pictures: at most 5 % of audits promised."""
    rng = np.random.default_rng(1)
    sizes = [30, 40, 60, 80, 100, 150]
    groups = np.repeat([*"abcdef"], sizes)
    raised = 0
    for _ in range(100):
        hit = (rng.random(len(groups)) < 0.9).astype(float)
        raised += any(group.gaps["hit"].flagged for group in audited(hit, groups))
    assert raised <= 12  # 5 expected at most; three deviations more


def test_nothing_is_claimed_of_few_pictures() -> None:
    hit = np.r_[np.ones(100), np.zeros(29)]
    big, small = audited(hit, ["big"] * 100 + ["small"] * 29)
    assert small.pictures == 29 and not small.figures and not small.gaps
    assert big.gaps["hit"].flagged
    assert [g.gaps for g in audited(hit, ["same"] * 129)] == [{}]
    _, small = audited(hit, ["big"] * 100 + ["small"] * 29, least=29)
    assert small.gaps["hit"].flagged


def test_holm_by_hand() -> None:
    """Holm 1979: the least of m by m, the next by m - 1, never less than the one before."""
    found = bootstrap.holm(np.array([0.01, 0.04, 0.03, 0.005]))
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(bootstrap.holm(np.array([[0.5], [0.9]])), [[1.0], [1.0]])


# what a figure is made of


def test_confused_pairs_and_an_order_that_keeps_them_together() -> None:
    counts = np.array([[9, 0, 3, 0], [0, 9, 0, 1], [2, 0, 8, 0], [0, 1, 0, 9]])
    assert evaluate.confused(counts) == [(0, 2, 3), (2, 0, 2), (1, 3, 1), (3, 1, 1)]
    order = evaluate.side_by_side(counts)
    assert sorted(order) == [0, 1, 2, 3]
    assert abs(order.index(0) - order.index(2)) == 1 and abs(order.index(1) - order.index(3)) == 1
