import math

import numpy as np
import pytest
from scipy import stats

from clair_stats.linalg import project_off
from clair_stats.theory import leverage
from simulations.design import content_hash
from simulations.regimes.contamination import CONTAMINATIONS
from simulations.regimes.gaussian import GaussianRegime
from simulations.streams import Streams


def draw(replication=0, **fields):
    regime = GaussianRegime(**fields)
    return regime.generate(Streams(7, content_hash(regime), replication))


@pytest.mark.parametrize("mode", CONTAMINATIONS)
@pytest.mark.parametrize("rank", [0, 1, 4])
def test_benign_targets_follow_the_model_exactly(mode, rank):
    instance = draw(contamination=mode, rank=rank, common_scale=0.3, heterogeneity_scale=0.1, contamination_scale=2.0)
    benign = instance.collaborative_set
    rebuilt = instance.common + instance.basis @ instance.coefficients.transpose(0, 2, 1) + instance.heterogeneity
    np.testing.assert_allclose(instance.targets[benign], rebuilt[benign], atol=1e-12)
    np.testing.assert_allclose(instance.basis.T @ instance.heterogeneity, 0.0, atol=1e-13)
    np.testing.assert_allclose(instance.basis.T @ instance.basis, np.eye(rank), atol=1e-13)
    assert not instance.coefficients[~benign].any()
    assert not instance.heterogeneity[~benign].any()
    # Clean clients of rank 0 do not vary, so an attack in units of their spread moves nobody.
    expected = 0 if (mode, rank) == ("little_is_enough", 0) else 6
    assert (~benign).sum() == expected


@pytest.mark.parametrize("mode", ["sign_flip", "scaled"])
def test_change_inside_the_subspace_alone_is_benign_by_definition(mode):
    instance = draw(contamination=mode, common_scale=0.0, contamination_scale=3.0)
    assert instance.collaborative_set.all()
    assert instance.extras["attacked"].sum() == 6
    attacked = instance.extras["attacked"]
    rebuilt = instance.basis @ instance.coefficients.transpose(0, 2, 1)
    np.testing.assert_allclose(instance.targets[attacked], rebuilt[attacked], atol=1e-12)


def test_noiseless_estimates_are_the_targets():
    instance = draw(noise_scale=0.0)
    assert np.array_equal(instance.estimates.dense(), instance.targets)
    assert instance.estimates.noise_scales is None


def test_errors_have_the_stated_law_client_by_client():
    instance = draw(noise_scale=0.3, noise_spread=10.0, n_rows=40, n_columns=30)
    standardised = instance.errors / instance.estimates.noise_scales[:, None, None]
    p_values = [stats.kstest(block.ravel(), "norm").pvalue for block in standardised]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    scales = instance.estimates.noise_scales
    assert 0.3 / math.sqrt(10) <= scales.min() < scales.max() <= 0.3 * math.sqrt(10)
    assert scales.max() / scales.min() > 5.0


def test_sample_sizes_set_the_noise():
    instance = draw(noise_scale=0.3, sample_size=100, sample_size_spread=20.0)
    sizes, scales = instance.estimates.sample_sizes, instance.estimates.noise_scales
    np.testing.assert_allclose(scales, 0.3 * np.sqrt(100 / sizes))
    assert sizes.max() / sizes.min() > 8.0
    hidden = draw(noise_scale=0.3, noise_known=False)
    assert hidden.estimates.noise_scales is None
    np.testing.assert_allclose(hidden.extras["noise_scales"], 0.3)


def test_balanced_coefficients_have_block_incoherence_one():
    instance = draw(coefficient_law="balanced", rank=3, share=0.0)
    # μ = ν|C|/r (theory.md section 3)
    assert leverage(instance.coefficients) * 30 / 3 == pytest.approx(1.0)
    spread = draw(coefficient_law="balanced", coefficient_spread=9.0, rank=3, share=0.0)
    assert leverage(spread.coefficients) * 30 / 3 > 1.5


def test_score_of_a_benign_client_is_chi_square_at_the_truth():
    scores = []
    for replication in range(40):
        instance = draw(replication, noise_scale=0.2, share=0.3, common_scale=0.3)
        residuals = project_off(instance.basis, instance.estimates.dense() - instance.common)
        scores += list((residuals[instance.collaborative_set] ** 2).sum(axis=(1, 2)) / 0.2**2)
    assert stats.kstest(scores, stats.chi2(18 * 10).cdf).pvalue > 1e-3


def test_replications_differ_and_repeat():
    first, again, other = draw(0), draw(0), draw(1)
    assert np.array_equal(first.estimates.dense(), again.estimates.dense())
    assert not np.array_equal(first.estimates.dense(), other.estimates.dense())
    assert not np.array_equal(first.basis, other.basis)


def test_coefficients_of_other_laws_have_their_spread_and_mean_square_one():
    many = {"n_clients": 4000, "n_rows": 4, "n_columns": 2, "rank": 1, "share": 0.0}
    normal, student, unequal = (
        draw(coefficient_law=law, **many).coefficients for law in ("normal", "student", "unequal")
    )
    # The median of |t₃|/√3 has a standard error of .007 from 8,000 entries; its mean square has none.
    assert np.median(np.abs(student)) == pytest.approx(stats.t(3).ppf(0.75) / math.sqrt(3.0), abs=0.03)
    assert np.mean(unequal**2) == pytest.approx(1.0, abs=0.3)  # standard error .07
    spread = [np.log((blocks**2).mean(axis=(1, 2))).var() / 4.0 for blocks in (normal, unequal)]
    assert spread[1] - spread[0] == pytest.approx(0.7**2, abs=0.1)  # standard error .02


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rank", 20),
        ("n_clients", 0),
        ("share", 1.0),
        ("share", 0.99),
        ("contamination", "evil"),
        ("noise_scale", -1.0),
        ("noise_spread", 0.5),
        ("sample_size", 0),
        ("coefficient_law", "odd"),
        ("coefficient_spread", 0.1),
        ("common_scale", math.nan),
    ],
)
def test_bad_settings_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        GaussianRegime(**{field: value})
