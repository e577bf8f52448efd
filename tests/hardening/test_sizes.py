"""One huge client is flagged and has no part; a unit in which squares overflow is refused."""

import warnings

import numpy as np
import pytest

from clair_stats import CLAIR, ClientEstimates, NoMajorityWarning, decompose, verify_solution
from clair_stats.detection.panel import panel_of
from clair_stats.detection.shared_fit import fit_shared, standardised_residuals
from clair_stats.linalg import project_off

RNG = np.random.default_rng(0)
BASIS = np.linalg.qr(RNG.normal(size=(10, 2)))[0]
BLOCKS = BASIS @ RNG.normal(size=(14, 2, 8)) + 0.05 * RNG.normal(size=(14, 10, 8))


@pytest.mark.parametrize("size", [1e78, 1e100, 1e155])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_one_huge_client_is_flagged_and_has_no_part(size):
    blocks = BLOCKS.copy()
    blocks[3] *= size
    model = CLAIR().fit(blocks)
    np.testing.assert_array_equal(np.flatnonzero(model.flagged_), [3])
    others = np.delete(np.arange(14), 3)
    expected = CLAIR().fit(BLOCKS[others]).refined_
    assert np.abs(model.refined_[others] - expected).max() < 0.05


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_client_of_1e300_is_flagged():
    blocks = BLOCKS.copy()
    blocks[3] *= 1e300
    np.testing.assert_array_equal(np.flatnonzero(CLAIR().fit(blocks).flagged_), [3])


@pytest.mark.parametrize("size", [1e-60, 1e60])
def test_the_unit_does_not_matter(size):
    found, expected = CLAIR().fit(BLOCKS * size).refined_ / size, CLAIR().fit(BLOCKS).refined_
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("size", [1e160, 1e300])
def test_a_unit_in_which_squares_overflow_is_refused(size):
    with pytest.raises(ValueError, match="another unit"):
        CLAIR().fit(BLOCKS * size)


@pytest.mark.parametrize("size", [1e-160, 1e-300])
def test_a_unit_in_which_squares_are_lost_is_refused(size):
    with pytest.raises(ValueError, match="another unit"):
        CLAIR().fit(BLOCKS * size)
    with pytest.raises(ValueError, match="another unit"):
        decompose(BLOCKS * size, noise_penalty=0.3 * size)


def results(model, unit):
    """Everything that a fitted model says on the scale of the estimates, over the unit."""
    solution = model.decomposition_
    value = unit if solution.program == "E" else unit * unit
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the size of the errors is learnt", category=UserWarning)
        interval = model.conf_int()
    return {
        "refined": model.refined_ / unit,
        "common": model.common_ / unit,
        "residuals": model.residuals_ / unit,
        "coefficients": model.coefficients_ / unit,
        "scores": model.scores_ / unit,
        "thresholds": model.thresholds_ / unit,
        "noise": model.noise_scales_ / unit,
        "risk": model.refinement_.risk / unit / unit,
        "low rank": solution.low_rank / unit,
        "objective": solution.objective / value,
        "lower": interval.lower / unit,
        "p": model.p_values_,
        "basis": model.basis_,
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("known", ["noise", "nothing", "sizes"])
@pytest.mark.parametrize("bad", [False, True])
def test_a_fit_is_the_same_in_every_unit_to_the_last_bit(known, bad):
    blocks = BLOCKS.copy()
    blocks[3] += bad * np.random.default_rng(3).standard_normal(blocks[3].shape)

    def fitted(unit):
        told = {
            "noise": {"noise_scales": np.full(14, 0.05 * unit)},
            "sizes": {"sample_sizes": np.arange(50, 64)},
            "nothing": {},
        }
        return CLAIR().fit(blocks * unit, **told[known])

    plain = fitted(1.0)
    expected = results(plain, 1.0)
    assert plain.flagged_[3] == bad
    for unit in (2.0**exponent for exponent in (-480, -300, -70, 250, 480)):
        scaled = fitted(unit)
        assert np.array_equal(plain.flagged_, scaled.flagged_), unit
        for name, found in results(scaled, unit).items():
            np.testing.assert_allclose(found, expected[name], rtol=1e-9, atol=1e-12, err_msg=f"{name}, {unit:g}")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("exponent", [-300, 300])
def test_factors_of_any_size_are_fitted_as_their_products(exponent):
    pairs = [tuple(np.linalg.qr(block)) for block in BLOCKS]
    plain = CLAIR().fit(ClientEstimates(factors=pairs))
    # One side huge, the other tiny, and the product in another unit.
    sides = [(np.ldexp(left, exponent + 500), np.ldexp(right, -500)) for left, right in pairs]
    scaled = CLAIR().fit(ClientEstimates(factors=sides))
    np.testing.assert_array_equal(plain.flagged_, scaled.flagged_)
    np.testing.assert_allclose(np.ldexp(scaled.refined_, -exponent), plain.refined_, atol=1e-10)
    joint = [CLAIR().fit({"a": ClientEstimates(factors=f), "b": BLOCKS}) for f in (pairs, sides)]
    np.testing.assert_array_equal(joint[0].flagged_, joint[1].flagged_)


@pytest.mark.parametrize(
    ("penalty", "told"), [(5e-324, "rounding hides it"), (1e-30, "rounding hides"), (1e308, "smaller")]
)
def test_a_noise_penalty_that_float64_cannot_hold_is_refused(penalty, told):
    with pytest.raises(ValueError, match=f"^noise_penalty: .*{told}"):
        decompose(BLOCKS, noise_penalty=penalty)


@pytest.mark.parametrize(
    ("size", "ratio"), [(1e-140, 1e-8), (1e-140, 1e90), (1.0, 1e-20), (1.0, 1e90), (1e140, 1e-20), (1e140, 1.0)]
)
def test_noise_penalties_within_the_limits_are_certified(size, ratio):
    tau = ratio * size * 1.01 * np.abs(BLOCKS).max()
    solution = decompose(BLOCKS * size, noise_penalty=tau)
    assert verify_solution(BLOCKS * size, solution).valid
    assert np.isfinite(solution.objective)


@pytest.mark.parametrize("size", [1e40, 1e100, 1e200, 1e290])
def test_one_huge_client_of_several_modules_is_flagged(size):
    spoilt = BLOCKS.copy()
    spoilt[3] *= size
    rng = np.random.default_rng(1)
    other = BASIS[::-1] @ rng.normal(size=(14, 2, 8)) + 0.05 * rng.normal(size=(14, 10, 8))
    for modules in ({"a": spoilt, "b": other}, {"a": other, "b": spoilt}):
        model = CLAIR().fit(modules)
        np.testing.assert_array_equal(np.flatnonzero(model.flagged_), [3])
        assert np.isfinite(model.refined_["b"]).all()


def test_a_module_of_one_large_and_small_clients_has_a_unit():
    blocks = np.array([3.9e179, -5.1e-134, 2.5e-133])[:, None, None]
    with pytest.warns(NoMajorityWarning, match="too few"):
        assert not CLAIR().fit({"m": blocks}).majority_
    with pytest.warns(NoMajorityWarning, match="too few"):
        assert not CLAIR().fit({"zeros": np.zeros((3, 1, 1)), "m": blocks}).majority_


def test_a_client_beyond_all_numbers_in_the_unit_of_the_others_is_flagged():
    blocks = 1e-133 * BLOCKS
    blocks[0] = 1e179 * BLOCKS[0]
    model = CLAIR().fit(blocks)
    assert model.flagged_.tolist() == [True] + [False] * 13
    assert np.array_equal(model.refined_[0], blocks[0])
    assert model.noise_scales_[1] == pytest.approx(CLAIR().fit(1e-133 * BLOCKS).noise_scales_[1], rel=0.1)


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6, 1e9])
def test_the_statistic_of_a_client_outside_does_not_cancel(size):
    rng = np.random.default_rng(20_261_990)
    blocks = np.linalg.qr(rng.standard_normal((5, 2)))[0] @ rng.standard_normal((7, 2, 3))
    blocks += 0.1 * rng.standard_normal(blocks.shape)
    # A rank-one block: all of its residual lies along the one direction in which its leverage is large.
    blocks[0] = size * np.outer(rng.standard_normal(5), [1.0, 0.0, 0.0])
    panel = panel_of(ClientEstimates(values=blocks, noise_scales=np.full(7, 0.1)), blocks, common_component=False)
    fit = fit_shared(panel, np.arange(7) > 0, 2)
    found = standardised_residuals(panel, fit).standardised[0]
    rows, residual = fit.basis.T @ panel.blocks, project_off(fit.basis, panel.blocks[0])
    scatter = np.einsum("kij,klj->il", rows[1:], rows[1:])
    # R (I + BBᵀ)⁻¹ Rᵀ with B = A₀ᵀ S^{-1/2} of rank one: along its direction alone.
    leverage = rows[0, :, 0] @ np.linalg.solve(scatter, rows[0, :, 0])
    assert found == pytest.approx(np.sum(residual**2) / (1.0 + leverage), rel=1e-6)
