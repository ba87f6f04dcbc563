"""The best path and the posteriors, against every path there is, counted out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from unseen.video.paths import (
    FLOOR,
    PRIOR,
    Confusions,
    FixedLag,
    Made,
    best_path,
    competing,
    fit_weights,
    posteriors,
    price_of,
    repeat_weights,
    yes_or_no,
)


def drawn(seed: int, n: int, k: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(k), n).astype(np.float32)


def costs(evidence: np.ndarray, price: float) -> dict[tuple[int, ...], float]:
    """Every path of one chain and its score: a change costs the price."""
    n, k = evidence.shape
    return {
        path: sum(evidence[t, s] for t, s in enumerate(path))
        - price * sum(a != b for a, b in itertools.pairwise(path))
        for path in itertools.product(range(k), repeat=n)
    }


@pytest.mark.parametrize("seed", range(6))
def test_the_path_is_the_best_of_all(seed: int) -> None:
    evidence = competing(drawn(seed, 7, 3))
    scores = costs(evidence[:, 0], 1.5)
    path = tuple(best_path(evidence, 1.5)[:, 0])
    assert scores[path] == pytest.approx(max(scores.values()))


@pytest.mark.parametrize("seed", range(4))
def test_posteriors_are_those_of_all_paths(seed: int) -> None:
    """To stay may be met by a change to the same state, too: each step sums e^-price over all."""
    price = 2.0
    evidence = competing(drawn(seed, 6, 3))
    n, _, k = evidence.shape
    step = np.exp(-price) * np.ones((k, k)) + np.eye(k)
    weight = np.zeros((n, k))
    for path in itertools.product(range(k), repeat=n):
        p = np.exp(sum(evidence[t, 0, s] for t, s in enumerate(path)))
        p *= np.prod([step[a, b] for a, b in itertools.pairwise(path)])
        for t, s in enumerate(path):
            weight[t, s] += p
    wanted = weight / weight.sum(1, keepdims=True)
    for state in range(k):
        path = np.full((n, 1), state)
        ours = posteriors(evidence, price, path)[:, 0]
        np.testing.assert_allclose(ours, wanted[:, state], rtol=1e-6)


def test_a_floor_bounds_what_one_sample_can_say() -> None:
    p = np.float32([[0.999999, 1e-6]])
    assert competing(p)[0, 0, 1] == pytest.approx(np.log(FLOOR))
    assert yes_or_no(p, np.float32([0.5, 0.5]))[0, 0, 0] == pytest.approx(np.log(FLOOR))


def test_a_model_that_is_too_sure_still_says_which_samples_are_clear() -> None:
    """Margins of 8 to 40 would all be at the floor; nine of ten are brought above it."""
    margins_of = np.linspace(8, 40, 50)
    p = 1 / (1 + np.exp(margins_of))
    evidence = competing(np.column_stack([1 - p, p]))[:, 0]
    difference = evidence[:, 0] - evidence[:, 1]
    assert (np.diff(difference[:44]) > 0).all() and difference[:30].max() < 3.4
    modest = np.float32([[0.8, 0.2], [0.3, 0.7]])
    np.testing.assert_allclose(competing(modest)[:, 0], np.log(modest), rtol=1e-6)


def test_one_wrong_sample_changes_nothing_and_a_long_event_does() -> None:
    sure = np.float32([0.95, 0.05])
    p = np.array([sure] * 10 + [sure[::-1]] + [sure] * 10)
    assert set(best_path(competing(p), 4.0)[:, 0]) == {0}
    p = np.array([sure] * 10 + [sure[::-1]] * 4 + [sure] * 10)  # 4 · 2.9 > 2 · 4
    assert best_path(competing(p), 4.0)[:, 0].tolist() == [0] * 10 + [1] * 4 + [0] * 10


def test_a_yes_begins_at_the_threshold_of_its_label() -> None:
    evidence = yes_or_no(np.float32([[0.3, 0.3]]), np.float32([0.2, 0.4]))
    assert (evidence[0, :, 1] > evidence[0, :, 0]).tolist() == [True, False]
    even = yes_or_no(np.float32([[0.2]]), np.float32([0.2]))
    np.testing.assert_allclose(even[0, 0, 0], even[0, 0, 1], atol=1e-6)


def test_the_price_follows_the_shortest_event_within_bounds() -> None:
    evidence = competing(np.tile(np.float32([0.9, 0.1]), (20, 1)))  # a margin of 2.2
    assert price_of(4, evidence) == pytest.approx(1.75 * np.log(9), rel=1e-5)
    assert price_of(1, evidence) == 2.0 and price_of(100, evidence) == 12.0


def test_a_repeated_picture_counts_as_the_shortest_event_at_most() -> None:
    weights = repeat_weights(np.array([6] * 6 + [1, 1]), 3.0)
    assert weights[:6].sum() == pytest.approx(3.0)
    assert weights[6:].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("chains", "states"), [(1, 3), (1, 70), (9, 2)])
def test_evidence_that_is_made_in_pieces_gives_what_all_of_it_gives(
    chains: int, states: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(states)
    evidence = np.log(rng.dirichlet(np.ones(states), (60, chains)))
    read: list[int] = []

    def make(rows: slice) -> np.ndarray:
        read.append(rows.stop - rows.start)
        return evidence[rows]

    path = best_path(evidence, 2.5)
    sureness = posteriors(evidence, 2.5, path)
    price = price_of(4.0, evidence)
    monkeypatch.setattr("unseen.video.paths.PIECE", 7)
    made = Made(60, make)
    np.testing.assert_array_equal(best_path(made, 2.5), path)
    np.testing.assert_allclose(posteriors(made, 2.5, path), sureness)
    assert price_of(4.0, made) == price and max(read) == 7


@pytest.mark.parametrize("chains", [1, 3])
def test_a_fixed_lag_agrees_with_the_whole_once_it_is_long_enough(chains: int) -> None:
    rng = np.random.default_rng(chains)
    truth = np.repeat(rng.integers(0, 2, (12, chains)), 8, axis=0)
    p = np.where(rng.random(truth.shape) < 0.8, truth, 1 - truth)
    evidence = np.log(np.where(np.stack([1 - p, p], -1) > 0.5, 0.9, 0.1))
    path = FixedLag(price=3.0, lag=60)
    decided = [pair for row in evidence for pair in path.add(row)] + path.finish()
    assert len(decided) == len(evidence)
    np.testing.assert_array_equal([s for s, _ in decided], best_path(evidence, 3.0))
    probabilities = np.array([q for _, q in decided])
    assert (probabilities > 0).all() and (probabilities <= 1 + 1e-9).all()


def test_a_fixed_lag_decides_in_time_and_holds_no_more() -> None:
    path = FixedLag(price=100.0, lag=5)  # nothing is ever settled by itself
    even = competing(np.float32([[0.5, 0.5]]))[0]
    counts = [len(path.add(even)) for _ in range(50)]
    assert sum(counts) >= 50 - 5
    assert len(path._forward) <= 5


def test_nothing_comes_of_nothing() -> None:
    assert best_path(np.zeros((0, 1, 2)), 3.0).shape == (0, 1)
    none = np.zeros((0, 1), dtype=np.int64)
    assert posteriors(np.zeros((0, 1, 2)), 3.0, none).shape == (0, 1)
    assert FixedLag(3.0, 4).finish() == []


# samples that are spoiled


def test_a_sample_is_spoiled_where_better_ones_are_on_both_sides() -> None:
    fits = np.array([30.0] * 10 + [12.0] + [30.0] * 9)
    weights = fit_weights(fits, 5.0, 5.85)
    assert weights[10] < 0.02 and (np.delete(weights, 10) > 0.9).all()
    step = np.array([30.0] * 10 + [12.0] * 20)  # what follows fits less well, and is no less clear
    assert (fit_weights(step, 5.0, 5.85)[:18] > 0.6).all()
    assert (fit_weights(np.full(8, 20.0), 5.0, 5.85) == 1.0).all()


@pytest.mark.parametrize("spoiled", [0.3, 0.6])
def test_runs_of_spoiled_samples_are_seen_as_long_as_they_may_be(spoiled: float) -> None:
    """And where few are spoiled, a label of six samples that fits less well is not one."""
    rng = np.random.default_rng(4)
    bad = rng.random(400) < spoiled
    weights = fit_weights(np.where(bad, 15.0, 30.0) + rng.normal(0, 0.5, 400), 5.0, 5.85)
    assert (weights[bad] < 0.3).mean() > 0.95 and (weights[~bad] > 0.7).mean() > 0.98
    clear = np.full(400, 30.0)
    clear[200:206] = 20.0
    assert (fit_weights(clear, 5.0, 5.85)[200:206] > 0.9).mean() >= 0.5


def test_what_spoiled_samples_look_like_says_which_label_they_are_of() -> None:
    """Against the same counted out for one sample."""
    looks = np.eye(3)
    confusions = Confusions(3)
    confusions.add(np.array([0] * 20 + [1] * 20), np.repeat(looks[[2, 1]], 20, axis=0), np.ones(40))
    ours = confusions.evidence(looks[[2]])[0]
    everyone = np.array([0, 20, 20]) + 1e-3
    prior = PRIOR * everyone[2] / everyone.sum()
    whole = np.array([20.0, 20.0, 0.0]) + PRIOR
    wanted = np.log([20 + prior, prior, prior]) - np.log(whole)
    np.testing.assert_allclose(ours, np.maximum(wanted - wanted.max(), -2.0))


def test_what_was_learnt_is_bounded_and_grows_old() -> None:
    confusions = Confusions(2)
    looks = np.eye(2)
    for state in (0, 1):
        for _ in range(30):
            confusions.add(np.zeros(400, int), np.repeat(looks[[state]], 400, 0), np.ones(400))
    assert confusions._counts.sum() <= 4_400
    assert confusions._counts[0, 1] > 5 * confusions._counts[0, 0]
