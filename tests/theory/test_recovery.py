import numpy as np
import pytest

from clair_stats.decomposition.decompose import decompose
from clair_stats.linalg import stack
from clair_stats.theory import (
    block_leverages,
    certificate_bounds,
    instance_certificate,
    leverage,
    penalty_range,
    recovery_condition,
    span_window,
    tolerable_share,
)
from tests.theory.cases import draw


@pytest.mark.parametrize("form", ["stated", "sharp"])
@pytest.mark.parametrize("common", [False, True])
def test_bounds_hold_for_the_certificate_of_random_and_adversarial_instances(common, form):
    rng = np.random.default_rng(7 + common)
    used = sharp_kappa = 0
    for trial in range(150):
        values, basis, coefficients, mask, _ = draw(rng, common=common, kind="identical" if trial % 2 else "random")
        nu = block_leverages(coefficients[mask], common_component=common).max()
        lam = float(np.sqrt(nu) * rng.uniform(0.8, 3))
        certificate = instance_certificate(
            values, basis=basis, collaborative_set=mask, block_penalty=lam, common_component=common
        )
        for directions in (None, certificate.directions):
            bound = recovery_condition(
                coefficients[mask],
                n_contaminated=int((~mask).sum()),
                block_penalty=lam,
                common_component=common,
                directions=directions,
                form=form,
            )
            assert certificate.eta <= bound.eta_bound + 1e-9
            assert certificate.kappa <= bound.kappa_bound + 1e-9
            used += np.isfinite(bound.eta_bound)
            sharp_kappa += certificate.kappa > 0.99 * bound.kappa_bound
    assert used > 15
    if form == "sharp" and not common:
        assert sharp_kappa > 5  # the bound is attained


@pytest.mark.parametrize("common", [False, True])
def test_the_sharp_form_contains_the_stated_one(common):
    rng = np.random.default_rng(0)
    both = 0
    for _ in range(2000):
        n_benign, n_contaminated = int(rng.integers(4, 60)), int(rng.integers(1, 8))
        numbers = {
            "block_leverage": float(rng.uniform(1, 3) / n_benign),
            "n_benign": n_benign,
            "n_contaminated": n_contaminated,
            "block_penalty": float(rng.uniform(0.1, 0.6)),
            "common_component": common,
            "mean_leverage": 1 / n_benign,
        }
        stated, sharp = (certificate_bounds(form=form, **numbers) for form in ("stated", "sharp"))
        both += stated.holds
        assert sharp.holds or not stated.holds
    assert both > 20


def test_tolerable_shares_match_the_closed_formulas():
    n_clients = 400
    # Theorem 1 as stated: |O|/|C| · μr < 0.147...; sharp: < 1.  γ = x/(1 + x) on the grid of 1/K.
    assert tolerable_share(1, 1, n_clients, common_component=False, form="stated") == pytest.approx(
        0.147 / 1.147, abs=2 / n_clients
    )
    for mu_r in (1, 2, 5):
        sharp = tolerable_share(1, mu_r, n_clients, common_component=False)
        assert sharp == pytest.approx(1 / (1 + mu_r), abs=1.1 / n_clients)
        # q = 1: ρ(1 + μr) < 1.  Many columns: the first bound alone, μrρ(1 + ρ) < (1 − ρ)².
        found = tolerable_share(1, mu_r, n_clients, common_component=True)
        assert found == pytest.approx(1 / (2 + mu_r), abs=1.1 / n_clients)
        a, b = mu_r - 1, mu_r + 2
        root = 1 / b if a == 0 else (-b + np.sqrt(b * b + 4 * a)) / (2 * a)
        found = tolerable_share(1, mu_r, n_clients, common_component=True, columns=500)
        assert found == pytest.approx(root / (1 + root), abs=1.1 / n_clients)


@pytest.mark.parametrize("form", ["stated", "sharp"])
@pytest.mark.parametrize("common", [False, True])
def test_the_range_of_penalties_ends_where_the_condition_does(common, form):
    numbers = {
        "block_leverage": 0.02,
        "n_benign": 100,
        "n_contaminated": 3,
        "common_component": common,
        "mean_leverage": 0.01,
        "form": form,
    }
    low, best, high = penalty_range(**numbers)
    assert low < best < high
    for penalty, holds in ((low * 1.001, True), (low * 0.999, False), (high * 0.999, True), (high * 1.001, False)):
        assert certificate_bounds(block_penalty=penalty, **numbers).holds == holds
    margin = certificate_bounds(block_penalty=best, **numbers).margin
    around = [certificate_bounds(block_penalty=best * f, **numbers).margin for f in (0.99, 1.01)]
    assert margin >= max(around) - 1e-6
    assert penalty_range(**{**numbers, "n_contaminated": 101}) is None


def test_operator_norm_alone_is_not_enough_in_theorem_2():
    """A counterexample: with ‖H‖_op in place of √|O| the stated Theorem 2 would promise what cannot be.

    Six of eleven clients carry the same flat block D.  ‖H‖_op is small because D is spread over 80 singular values, but
    moving D into M costs λ·5‖D‖ instead of λ·6‖D‖, so the oracle point is not optimal.
    """
    m, n_contaminated, n_benign = 80, 6, 5
    n_clients = n_contaminated + n_benign
    rng = np.random.default_rng(0)
    basis = np.eye(m + 1)[:, :1]
    coefficients = np.zeros((n_clients, m, 1))
    # Five vectors of equal length that add up to 0: every centred leverage is 1/5.
    angles = 2 * np.pi * np.arange(n_benign) / n_benign
    frame = np.linalg.qr(rng.normal(size=(m, 2)))[0]
    coefficients[:n_benign] = (np.stack([np.cos(angles), np.sin(angles)], 1) @ frame.T)[:, :, None]
    mask = np.arange(n_clients) < n_benign
    block = np.vstack([np.zeros((1, m)), np.linalg.qr(rng.normal(size=(m, m)))[0]])
    values = np.einsum("pi,kqi->kpq", basis, coefficients)
    values[~mask] = block

    nu_c = leverage(coefficients[mask], common_component=True)
    norm = np.sqrt(n_contaminated / m)
    lam, share = 0.3 / norm, n_contaminated / n_clients
    t, g = 0.3, 0.3**2 + share
    gain = t * np.sqrt(g) / (1 - g)
    assert t + gain < 1
    assert np.sqrt(nu_c) + gain * np.sqrt(nu_c + 1 / n_clients) < lam

    certificate = instance_certificate(
        values, basis=basis, collaborative_set=mask, block_penalty=lam, common_component=True
    )
    assert np.linalg.norm(stack(certificate.directions), 2) == pytest.approx(norm)
    assert certificate.kappa > 1
    # A feasible point that is better than the oracle: M takes the block, the benign clients are "corrected".
    own = values[mask] - np.zeros_like(values[mask])
    oracle = np.linalg.norm(stack(np.concatenate([own, np.zeros((n_contaminated, *block.shape))])), "nuc")
    assert certificate.oracle.objective <= oracle + lam * n_contaminated * np.linalg.norm(block) + 1e-9
    better = oracle + lam * n_benign * np.linalg.norm(block)
    assert better < certificate.oracle.objective - 1
    # What the room evaluates is safe.
    for form in ("stated", "sharp"):
        condition = recovery_condition(
            coefficients[mask],
            n_contaminated=n_contaminated,
            block_penalty=lam,
            common_component=True,
            directions=certificate.directions,
            form=form,
        )
        assert not condition.holds
        assert condition.kappa_bound >= certificate.kappa - 1e-9


def test_the_second_bound_of_kappa_is_attained_with_the_mean():
    """Identical rank-one contamination at the benign mean: κ² = (ν^c + λ²ρ²)/λ², between the two bounds."""
    rng = np.random.default_rng(3)
    n_benign, n_contaminated, q, rank, p = 8, 2, 3, 2, 6
    basis = np.linalg.qr(rng.normal(size=(p, rank)))[0]
    half = np.stack([np.linalg.qr(rng.normal(size=(q, rank)))[0] for _ in range(n_benign // 2)])
    coefficients = np.concatenate([half, -half, np.zeros((n_contaminated, q, rank))])
    mask = np.arange(n_benign + n_contaminated) < n_benign
    values = np.einsum("pi,kqi->kpq", basis, coefficients)
    direction = (np.eye(p) - basis @ basis.T)[:, 0]
    values[~mask] = np.outer(direction, rng.normal(size=q))
    share = n_contaminated / n_benign
    low, best, high = penalty_range(
        block_leverage=rank / n_benign,
        n_benign=n_benign,
        n_contaminated=n_contaminated,
        common_component=True,
        columns=1,
    )
    assert share * (1 + rank) < 1
    # At the upper end of the window the second bound is attained.
    for penalty in (best, high):
        certificate = instance_certificate(values, basis=basis, collaborative_set=mask, block_penalty=penalty)
        expected = np.sqrt(rank / n_benign + (penalty * share) ** 2) / penalty
        assert certificate.kappa == pytest.approx(expected, rel=1e-9)
        bound = recovery_condition(
            coefficients[mask],
            n_contaminated=n_contaminated,
            block_penalty=penalty * (1 - 1e-12),
            common_component=True,
            directions=certificate.directions,
        )
        assert certificate.kappa <= bound.kappa_bound + 1e-9
    assert certificate.kappa == pytest.approx(bound.kappa_bound, rel=1e-9)
    assert certificate.eta == pytest.approx(1.0, rel=1e-9)
    assert low == pytest.approx(np.sqrt(rank / n_benign + share / ((1 + share) * n_benign)))


def test_beyond_the_limit_unequal_leverages_are_still_recovered():
    """ρ(1 + μr) = 1.008 and κ > 1, yet (E) recovers: the limit of Theorem 2 is exact at equal leverages only."""
    heavy, n_light = 0.404, 8
    light = (1 - 2 * heavy) / n_light
    sizes = np.sqrt([heavy] * 2 + [light] * n_light) * np.tile([1.0, -1.0], 5)
    mask = np.arange(12) < 10
    values = np.zeros((12, 2, 1))
    values[mask, 0, 0] = sizes
    values[~mask, 1, 0] = 1.0
    mu = block_leverages(sizes.reshape(10, 1, 1), common_component=True).max() * 10
    assert 2 / 10 * (1 + mu) > 1.007
    for penalty in (0.638, 0.642):
        certificate = instance_certificate(
            values, basis=np.eye(2)[:, :1], collaborative_set=mask, block_penalty=penalty
        )
        assert certificate.kappa > 1.005
        assert not certificate.certified
        assert not certificate.refuted
        solution = decompose(values, block_penalty=penalty, tol=1e-11)
        low_rank = solution.low_rank - solution.low_rank.mean(axis=0)
        assert np.abs(low_rank[:, 1]).max() < 1e-7
        corrected = np.linalg.norm(solution.block_sparse, axis=(1, 2)) > 1e-6
        np.testing.assert_array_equal(corrected, ~mask)


def test_span_and_support_have_different_limits():
    """The counterexample to "recovery if and only if |O|ν < 1": the span is found, a benign client is corrected too."""
    coefficients = np.array([10.0] + [1.0] * 9).reshape(10, 1, 1)
    n_contaminated = 3
    mask = np.arange(13) < 10
    values = np.zeros((13, 2, 1))
    values[mask, 0, 0] = coefficients[:, 0, 0]
    values[~mask, 1, 0] = 1.0
    basis = np.eye(2)[:, :1]
    assert n_contaminated * leverage(coefficients) > 2.7
    low, high = 1 / 3, 1 / 2
    window = span_window(coefficients, n_contaminated=n_contaminated)
    np.testing.assert_array_equal(window.set_aside, np.arange(10) == 0)
    assert (window.lowest, window.highest) == pytest.approx((low, high))
    assert not window.support
    for penalty in (0.35, 0.45, 0.55):
        certificate = instance_certificate(
            values, basis=basis, collaborative_set=mask, block_penalty=penalty, common_component=False
        )
        assert certificate.refuted
        assert not certificate.certified
        solution = decompose(values, block_penalty=penalty, common_component=False, tol=1e-12)
        assert np.abs(solution.low_rank[:, 1]).max() < 1e-7
        corrected = np.linalg.norm(solution.block_sparse, axis=(1, 2)) > 1e-6
        np.testing.assert_array_equal(corrected, ~mask | (np.arange(13) == 0))


def test_nobody_is_set_aside_without_need_and_nothing_is_promised_beyond():
    rng = np.random.default_rng(0)
    even = np.stack([np.linalg.qr(rng.normal(size=(3, 2)))[0] for _ in range(10)])
    window = span_window(even, n_contaminated=1)
    assert window.support
    assert window.lowest == pytest.approx(np.sqrt(2 / 10))
    assert span_window(even, n_contaminated=9) is None
    with pytest.raises(ValueError, match="n_contaminated"):
        span_window(even, n_contaminated=-1)


def test_bad_arguments_are_refused():
    numbers = {"block_leverage": 0.1, "n_benign": 10, "n_contaminated": 1, "common_component": False}
    with pytest.raises(ValueError, match="block_penalty"):
        certificate_bounds(block_penalty=-1.0, **numbers)
    with pytest.raises(ValueError, match="form"):
        certificate_bounds(block_penalty=1.0, form="loose", **numbers)
    with pytest.raises(ValueError, match="n_benign"):
        certificate_bounds(block_penalty=1.0, **{**numbers, "n_benign": 0})
    with pytest.raises(ValueError, match="incoherence"):
        tolerable_share(0.5, 1, 10, common_component=False)
    coefficients = np.random.default_rng(0).normal(size=(5, 2, 1))
    with pytest.raises(ValueError, match="directions"):
        recovery_condition(coefficients, n_contaminated=2, block_penalty=1.0, directions=np.ones((1, 2, 2)))
