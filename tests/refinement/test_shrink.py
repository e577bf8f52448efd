"""Shrinkage towards the other members: a naive twin, equivariances, bounds, risks at known points."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from clair_stats.refinement.error_energy import HalvesEnergy, KroneckerEnergy, WhiteEnergy
from clair_stats.refinement.others import each_without_itself, leading_directions
from clair_stats.refinement.shrink import shrink, stein_risk, stein_weight


def _case(seed, *, n_clients=7, p=6, q=4, rank=2, spread=1.0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((p, rank)))[0]
    scales = np.exp(spread * rng.uniform(-0.5, 0.5, n_clients))
    blocks = rng.standard_normal((p, q)) + 3 * basis @ rng.standard_normal((n_clients, rank, q))
    blocks += scales[:, None, None] * rng.standard_normal(blocks.shape)
    members = rng.permutation(n_clients) > 1
    return blocks, members, scales, basis


def _covariances(seed, n_clients, p, q):
    rng = np.random.default_rng(seed + 1)
    rows, columns = rng.standard_normal((n_clients, p, 3 * p)), rng.standard_normal((n_clients, q, 3 * q))
    return rows @ rows.transpose(0, 2, 1) / (3 * p), columns @ columns.transpose(0, 2, 1) / (3 * q)


def _naive(blocks, members, weights, covariances, basis=None):
    """The formula, client by client, on vectors of length pq; every rank, also with bands, the least risk kept."""
    _, p, q = blocks.shape
    chosen = np.flatnonzero(members)
    most = min(p, (len(chosen) - 2) * q)  # directions in which the others differ

    def onto(frame):
        return np.kron(frame @ frame.T, np.eye(q))

    def parts(frame, rank, banded):
        inside = [onto(frame[:, i : i + 1]) for i in range(rank)]
        if q < 3:
            inside = [sum(inside, np.zeros((p * q, p * q)))]
        edges, width = [rank], max(rank, 4)
        while banded and edges[-1] + width < most:
            edges.append(edges[-1] + width)
            width *= 2
        bands = [onto(frame[:, i:j]) for i, j in pairwise(edges)]
        return inside, [*bands, np.eye(p * q) - onto(frame[:, : edges[-1]])]

    def client(k, rank, banded):
        others = [j for j in chosen if j != k]
        shares = weights[others] / weights[others].sum()
        mean = np.tensordot(shares, blocks[others], axes=1)
        centred = np.concatenate([np.sqrt(weights[j]) * (blocks[j] - mean) for j in others], axis=1)
        inside = np.eye(p) if basis is None else basis
        frame = inside @ np.linalg.svd(inside.T @ centred)[0]
        distance, whole = (blocks[k] - mean).ravel(), np.linalg.eigvalsh(covariances[k])[-1]
        result, risk = mean.ravel().copy(), 0.0
        inside, off = parts(frame, rank, banded)
        for place, projection in enumerate([*inside, *off]):
            trace = np.trace(projection @ covariances[k])
            largest = np.linalg.eigvalsh(projection @ covariances[k] @ projection)[-1]
            if place >= len(inside) or q < 3:  # a bound that needs no eigenvalues of its own
                largest = min(whole, trace)
            constant, energy = max(trace - 2 * largest, 0.0), distance @ projection @ distance
            if constant > 0 and energy <= constant:
                risk += energy - trace
                continue
            risk += trace - (constant**2 / energy if constant > 0 else 0.0)
            result += (1 - (constant / energy if constant > 0 else 0.0)) * (projection @ distance)
        return result.reshape(p, q), risk

    if basis is None:
        ranks = range(min(most, 32) + 1)
        tried = [(r, banded) for banded in (False, True) for r in ranks]
        relative = [sum(client(k, *way)[1] / np.trace(covariances[k]) for k in chosen) for way in tried]
        rank, banded = tried[next(i for i, risk in enumerate(relative) if risk <= min(relative) + 1e-9 * len(chosen))]
    else:
        rank, banded = basis.shape[1], False
    estimates = blocks.copy()
    for k in chosen:
        estimates[k] = client(k, rank, banded)[0]
    return estimates, rank


sizes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "n_clients": st.integers(5, 8),
        "p": st.integers(3, 9),
        "q": st.integers(1, 4),
        "rank": st.integers(0, 2),
        "spread": st.sampled_from([0.0, 1.0]),
    }
)


@settings(max_examples=60)
@given(drawn=sizes, known=st.booleans(), white=st.booleans())
def test_the_naive_twin_agrees(drawn, known, white):
    blocks, members, scales, basis = _case(**drawn)
    n_clients, p, q = blocks.shape
    weights = scales**-2.0
    if white:
        energy = WhiteEnergy(scales, (p, q))
        covariances = [variance * np.eye(p * q) for variance in scales**2]
    else:
        rows, columns = _covariances(drawn["seed"], n_clients, p, q)
        energy = KroneckerEnergy(rows, columns)
        covariances = [np.kron(row, column) for row, column in zip(rows, columns, strict=True)]
    told = basis if known else None
    found = shrink(blocks, members, weights, energy, basis=told)
    left, right = energy.whitening() or (np.eye(p), np.eye(q))
    turned = np.kron(left, right)  # symmetric; acts on rows first
    seen = None if told is None else np.linalg.qr(left @ told)[0]
    whitened = [turned @ covariance @ turned for covariance in covariances]
    estimates, rank = _naive(left @ blocks @ right, members, weights, whitened, seen)
    estimates = np.linalg.solve(left, estimates) @ np.linalg.inv(right)
    estimates[~members] = blocks[~members]
    assert found.basis.shape[1] == rank
    np.testing.assert_allclose(found.estimates, estimates, atol=1e-8)


@settings(max_examples=60)
@given(drawn=sizes, change=st.sampled_from(["left", "right", "order", "shift", "scale"]))
def test_equivariances(drawn, change):
    blocks, members, scales, _ = _case(**drawn)
    rng = np.random.default_rng(drawn["seed"] + 1)
    n_clients, p, q = blocks.shape
    left, right = np.linalg.qr(rng.standard_normal((p, p)))[0], np.linalg.qr(rng.standard_normal((q, q)))[0]
    order, shift, factor = rng.permutation(n_clients), rng.standard_normal((p, q)), 3.7
    moves = {
        "left": lambda x: left @ x,
        "right": lambda x: x @ right,
        "order": lambda x: x[order],
        "shift": lambda x: x + shift,
        "scale": lambda x: factor * x,
    }
    move = moves[change]
    turned = (members[order], scales[order]) if change == "order" else (members, scales)
    scale = factor if change == "scale" else 1.0
    plain = shrink(blocks, members, scales**-2.0, WhiteEnergy(scales, (p, q)))
    found = shrink(move(blocks), turned[0], turned[1] ** -2.0, WhiteEnergy(scale * turned[1], (p, q)))
    assert found.basis.shape == plain.basis.shape
    np.testing.assert_allclose(found.estimates, move(plain.estimates), atol=1e-9)


@settings(max_examples=60)
@given(drawn=sizes, size=st.floats(0.0, 30.0))
def test_nobody_moves_further_than_the_norm_of_the_error(drawn, size):
    """‖Θ̃_k − X_k‖² ≤ Σ c_g ≤ tr Σ, whatever the others hold: the bound behind "at most a factor of four"."""
    blocks, members, scales, _ = _case(**drawn)
    p, q = blocks.shape[1:]
    others = blocks + size * np.random.default_rng(3).standard_normal(blocks.shape)
    others[0] = blocks[0]
    found = shrink(others, members, scales**-2.0, WhiteEnergy(scales, (p, q)))
    moved = np.sum((found.estimates - others) ** 2, axis=(1, 2))
    assert (moved <= scales**2 * p * q * (1 + 1e-12)).all()
    np.testing.assert_array_equal(found.estimates[~members], others[~members])


@pytest.mark.parametrize("p", [5, 40])
@pytest.mark.parametrize("together", [1, 1 << 17])
def test_the_others_are_those_of_a_fresh_fit(monkeypatch, p, together):
    """Downdated mean and scatter, also in the joint space of fewer columns than rows, against a fit without k."""
    monkeypatch.setattr("clair_stats.refinement.others._TOGETHER", together)
    rng = np.random.default_rng(4)
    blocks, members, weights = rng.standard_normal((6, p, 3)), np.arange(6) != 2, rng.uniform(0.5, 2, 6)
    seen = []
    for k, distance, frame, share in _one_by_one(blocks, members, weights, 4):
        seen.append(k)
        rest = members.copy()
        rest[k] = False
        mean = np.average(blocks[rest], axis=0, weights=weights[rest])
        np.testing.assert_allclose(blocks[k] - distance, mean, atol=1e-12)
        tall = np.concatenate([np.sqrt(weights[j]) * (blocks[j] - mean) for j in np.flatnonzero(rest)], axis=1)
        left = np.linalg.svd(tall)[0][:, :4]
        np.testing.assert_allclose(np.abs(np.sum(left * frame, axis=0)), 1.0, atol=1e-9)
        assert share == pytest.approx(weights[k] / weights[rest].sum())
    assert seen == np.flatnonzero(members).tolist()


def _one_by_one(blocks, members, weights, count):
    """Client, distance from the others' mean, frame and share, member by member."""
    for others in each_without_itself(blocks, members, weights, count=count):
        yield from zip(others.clients, others.distances(blocks), others.frames, others.shares, strict=True)


def test_directions_of_many_rows_begin_in_single_precision(monkeypatch):
    """Orthonormal to rounding, the same span of what stands out, estimates to 1e-7 over the gaps of the bulk."""
    rng = np.random.default_rng(15)
    basis = np.linalg.qr(rng.standard_normal((260, 3)))[0]
    blocks = 2 * basis @ rng.standard_normal((9, 3, 40)) + rng.standard_normal((9, 260, 40))
    everybody, law = np.ones(9, dtype=bool), WhiteEnergy(np.ones(9), (260, 40))
    found = shrink(blocks, everybody, np.ones(9), law).estimates
    single = list(_one_by_one(blocks, everybody, np.ones(9), 3))
    monkeypatch.setattr("clair_stats.refinement.others.LARGE", 10_000)
    plain = shrink(blocks, everybody, np.ones(9), law).estimates
    for (_, _, frame, _), (_, _, exact, _) in zip(single, _one_by_one(blocks, everybody, np.ones(9), 3), strict=True):
        np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(frame @ frame.T, exact @ exact.T, atol=1e-6)
        assert np.abs(frame @ frame.T - exact @ exact.T).max() > 0.0
    np.testing.assert_allclose(found, plain, atol=5e-6 * np.abs(plain).max())


@pytest.mark.parametrize(("count", "noise"), [(2, 0.1), (20, 0.1), (2, 0.0), (0, 0.1)])
def test_leading_directions_are_singular_vectors_of_the_stack(count, noise):
    """Few by evr, many by divide and conquer, those of estimates without noise by the stack itself."""
    rng = np.random.default_rng(8)
    blocks = np.eye(40)[:, :2] @ rng.standard_normal((12, 2, 10)) + noise * rng.standard_normal((12, 40, 10))
    members, weights = np.arange(12) > 1, rng.uniform(0.5, 2, 12)
    mean = np.average(blocks[members], axis=0, weights=weights[members])
    tall = np.concatenate([np.sqrt(weights[k]) * (blocks[k] - mean) for k in np.flatnonzero(members)], axis=1)
    expected = np.linalg.svd(tall)[0][:, :count]
    found = leading_directions(blocks, members, weights, count)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-9)


def test_what_a_client_is_drawn_towards_does_not_know_the_client():
    """The one fact that the theorem rests on: another X_k changes neither the mean nor the frame."""
    rng = np.random.default_rng(5)
    blocks, everybody = rng.standard_normal((6, 5, 3)), np.ones(6, dtype=bool)
    other = blocks.copy()
    other[2] = 100 * rng.standard_normal((5, 3))
    before, after = (list(_one_by_one(x, everybody, np.ones(6), 3))[2] for x in (blocks, other))
    np.testing.assert_allclose(blocks[2] - before[1], other[2] - after[1], atol=1e-12)
    np.testing.assert_allclose(before[2] @ before[2].T, after[2] @ after[2].T, atol=1e-10)


def test_the_exact_risk_at_a_given_distance():
    """E‖δ − θ‖² ≤ dσ² − (d − 2)²σ² E[1/(d − 2 + 2N)], N ~ Poisson(‖θ‖²/2σ²), equality far from the others."""
    d, distance, rng = 20, 6.0, np.random.default_rng(6)
    theta = np.zeros(d)
    theta[0] = distance
    draws = theta + rng.standard_normal((20_000, d))
    energy = np.sum(draws**2, axis=1)
    estimates = (1 - stein_weight(np.full(len(draws), d - 2.0), energy))[:, None] * draws
    losses = np.sum((estimates - theta) ** 2, axis=1)
    n = np.arange(400)
    expected = d - (d - 2) ** 2 * np.sum(poisson.pmf(n, distance**2 / 2) / (d - 2 + 2 * n))
    error = losses.std(ddof=1) / np.sqrt(losses.size)
    assert losses.mean() == pytest.approx(expected, abs=4 * error)
    assert error < 0.01 * (d - expected)
    # And Stein's estimate of it is unbiased.
    differences = stein_risk(np.full(len(draws), d - 2.0), energy, np.full(len(draws), float(d))) - losses
    assert abs(differences.mean()) < 4 * differences.std(ddof=1) / np.sqrt(differences.size)


def _ratio(estimate, *, seed, shape=(10, 8), n_members=12, heterogeneity=0.0, draws=200):
    """Mean and standard error of refined minus own squared error over own risk, one client, truth with H_k ≠ 0."""
    (p, q), rng = shape, np.random.default_rng(seed)
    found = np.empty(draws)
    for draw in range(draws):
        targets = heterogeneity * rng.standard_normal((n_members, p, q))
        blocks = targets + rng.standard_normal(targets.shape)
        found[draw] = np.sum((estimate(blocks)[0] - targets[0]) ** 2) - np.sum((blocks[0] - targets[0]) ** 2)
    return found.mean() / (p * q), found.std(ddof=1) / np.sqrt(draws) / (p * q)


def _shrunk(blocks, reach=1.0):
    everybody = np.ones(len(blocks), dtype=bool)
    return shrink(blocks, everybody, np.ones(len(blocks)), WhiteEnergy(np.full(len(blocks), reach), blocks.shape[1:]))


@pytest.mark.parametrize(
    "heterogeneity", [0.0, 1.0, 10.0, *(pytest.param(h, marks=pytest.mark.slow) for h in (0.5, 3.0))]
)
def test_shrinkage_gains_at_every_heterogeneity(heterogeneity):
    mean, error = _ratio(lambda x: _shrunk(x).estimates, seed=7, heterogeneity=heterogeneity)
    # What a known heterogeneity would allow, 1/n + (1 − 1/n) h²/(1 + h²), and two error variances a part.
    allowed = 1 / 12 + 11 / 12 * heterogeneity**2 / (1 + heterogeneity**2) - 1 + 0.06
    assert mean <= min(0.0, allowed) + 3 * error


def test_the_same_rule_rejects_averaging_and_a_doubled_scale():
    average, error = _ratio(lambda x: np.broadcast_to(x.mean(axis=0), x.shape), seed=7, heterogeneity=3.0)
    assert average > 3 * error
    doubled, error = _ratio(lambda x: _shrunk(x, reach=2.0).estimates, seed=7, heterogeneity=3.0)
    assert doubled > 3 * error


def test_halves_give_trace_and_share_of_the_error():
    rng = np.random.default_rng(8)
    row, column = np.diag([4.0, 1.0, 1.0, 1.0, 1.0]), np.diag([2.0, 1.0, 1.0])
    halves = np.sqrt(2) * np.sqrt(row) @ rng.standard_normal((2, 4000, 5, 3)) @ np.sqrt(column)
    energy = HalvesEnergy(halves[0] - halves[1])
    traces = energy.whole(np.arange(400))[0]
    assert traces.mean() == pytest.approx(32.0, abs=4 * traces.std(ddof=1) / np.sqrt(400))
    assert energy.share == pytest.approx(8 / 32, rel=0.05)
    along = energy.along(np.arange(400), np.broadcast_to(np.eye(5)[:, :2], (400, 5, 2)))[0]
    np.testing.assert_allclose(along.mean(axis=0), [16.0, 4.0], rtol=0.15)


def test_the_norm_that_weighs_by_the_inverse_covariance_is_guarded():
    """Directions with small errors are not given up for what is large in others: taken for white they would be."""
    rng = np.random.default_rng(10)
    size = np.repeat([3.0, 0.1], [4, 8])
    rows = np.broadcast_to(np.diag(size**2), (10, 12, 12)).copy()
    energy = KroneckerEnergy(rows, np.broadcast_to(np.eye(6), (10, 6, 6)).copy())
    together = WhiteEnergy(np.full(10, np.sqrt(np.mean(size**2))), (12, 6))
    everybody, excess = np.ones(10, dtype=bool), np.zeros((100, 2))
    for draw in range(len(excess)):
        targets = 0.3 * rng.standard_normal((10, 12, 6))
        blocks = targets + size[:, None] * rng.standard_normal(targets.shape)
        for place, law in enumerate((energy, together)):
            moved = shrink(blocks, everybody, np.ones(10), law).estimates
            weighed = [np.sum(((x - targets)[0] / size[:, None]) ** 2) for x in (moved, blocks)]
            excess[draw, place] = (weighed[0] - weighed[1]) / 72
    mean, error = excess.mean(axis=0), excess.std(axis=0, ddof=1) / np.sqrt(len(excess))
    assert mean[0] < -3 * error[0]
    assert mean[1] > 3 * error[1]


def test_sampling_error_of_halves_does_not_make_coordinates():
    """100 columns for 30 rows of white differences: eigenvalues spread by a factor of 20, the whitening hardly."""
    left, right = HalvesEnergy(np.random.default_rng(9).standard_normal((20, 30, 5))).whitening()
    assert np.linalg.cond(left) < 1.3
    assert np.linalg.cond(right) < 1.3


def test_a_norm_that_nobody_promised_can_lose():
    """Statement 1 is about one norm: the client differs in one row, where the weight of all rows takes that away."""
    rng = np.random.default_rng(11)
    n, p, q = 12, 40, 5
    target = np.zeros((n, p, q))
    target[0, 0] = np.sqrt(p)  # norm √(pq), that of the error
    energy = WhiteEnergy(np.ones(n), (p, q))
    losses = []
    for _ in range(60):
        blocks = target + rng.standard_normal(target.shape)
        found = shrink(blocks, np.ones(n, dtype=bool), np.ones(n), energy, basis=np.zeros((p, 0))).estimates
        losses.append([np.sum((x[0] - target[0]) ** 2, axis=1) for x in (found, blocks)])
    refined, own = np.mean(losses, axis=0)
    assert refined.sum() < 0.7 * own.sum()
    assert refined[0] > p / 8 * own[0]  # a quarter of λ_max(Q)/λ_min(Q) is reached as Q leaves the other rows out
