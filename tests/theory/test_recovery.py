import numpy as np
import pytest

from clair_stats.linalg import stack
from clair_stats.theory import (
    block_leverages,
    certificate_bounds,
    instance_certificate,
    leverage,
    penalty_range,
    recovery_condition,
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
    # Theorem 1 as stated: |O|/|C| · μr < 0.147...; sharp: < 1.  γ = x/(1 + x) on the grid of 1/K.
    assert tolerable_share(1, 1, 1000, common_component=False, form="stated") == pytest.approx(0.147 / 1.147, abs=2e-3)
    for mu_r in (1, 2, 5):
        sharp = tolerable_share(1, mu_r, 1000, common_component=False)
        assert sharp == pytest.approx(1 / (1 + mu_r), abs=1.1e-3)
        # μ r ρ(1 + ρ) < (1 − ρ)² has the root below.
        a, b = mu_r - 1, mu_r + 2
        root = 1 / b if a == 0 else (-b + np.sqrt(b * b + 4 * a)) / (2 * a)
        found = tolerable_share(1, mu_r, 1000, common_component=True)
        assert found == pytest.approx(root / (1 + root), abs=1.1e-3)


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
