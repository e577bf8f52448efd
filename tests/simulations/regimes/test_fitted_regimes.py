"""Every regime with a real fit keeps the contract: the model, its error law, reproducible draws, checked fields."""

import dataclasses

import numpy as np
import pytest

from clair_stats.linalg import block_norms
from clair_stats.local_fits.neural import hidden_layer_jacobian
from simulations.design import content_hash
from simulations.measures.metrics import detection_metrics
from simulations.methods.error_laws import LocalLaw, NoDetection, OracleRefinement
from simulations.regimes.adaptive_attack import AdaptiveAttackRegime
from simulations.regimes.contamination import Clean, contaminate
from simulations.regimes.gaussian import GaussianRegime
from simulations.regimes.glm import GlmRegime
from simulations.regimes.neural import NeuralRegime
from simulations.regimes.robust_regression import RobustRegressionRegime
from simulations.regimes.trace_regression import TraceRegressionRegime
from simulations.streams import Streams
from simulations.studies.regime_neural import DESIGN

SIZE = {
    "n_clients": 8,
    "n_rows": 6,
    "n_columns": 2,
    "rank": 1,
    "share": 0.25,
    "common_scale": 0.2,
    "coefficient_scale": 0.5,
}
REGIMES = [
    GlmRegime(**SIZE, sample_size=400),
    GlmRegime(**SIZE, family="poisson", sample_size=400),
    GlmRegime(**SIZE, family="multinomial", sample_size=400, data_attack="label_permutation"),
    TraceRegressionRegime(**SIZE, sample_size=600),
    TraceRegressionRegime(**SIZE, link="one_bit", sample_size=1500),
    RobustRegressionRegime(**SIZE, error_law="student"),
    NeuralRegime(**SIZE, sample_size=200, steps=120),
]


def draw(regime, replication=0):
    if isinstance(regime, NeuralRegime):
        pytest.importorskip("torch")
    return regime.generate(Streams(1, content_hash(regime), replication))


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
def test_benign_targets_follow_the_model_and_errors_the_stated_scale(regime):
    instance = draw(regime)
    benign = instance.collaborative_set
    model = instance.common + instance.basis @ instance.coefficients.transpose(0, 2, 1) + instance.heterogeneity
    np.testing.assert_allclose(instance.targets[benign], model[benign], atol=1e-12)
    assert benign.sum() == 6
    assert (instance.effective_contamination[~benign] > 1e-3).all()
    assert instance.extras["separation"] == pytest.approx(instance.effective_contamination[~benign].min())
    law = LocalLaw().evaluate(instance, np.random.default_rng(0))
    assert 0.75 < law["scale_ratio"] < 1.35  # 72 entries: standard error about 0.09
    assert 0.85 < law["coverage"] <= 1.0
    again = draw(regime)
    np.testing.assert_array_equal(instance.estimates.dense(), again.estimates.dense())
    assert np.abs(draw(regime, 1).estimates.dense() - instance.estimates.dense()).max() > 1e-3


@pytest.mark.parametrize(
    "regime", [REGIMES[0], pytest.param(REGIMES[3], marks=pytest.mark.slow)], ids=lambda regime: regime.name
)
def test_four_times_the_data_halve_the_error(regime):
    def error(n):
        larger = dataclasses.replace(regime, sample_size=n, n_clients=24)
        return LocalLaw().evaluate(draw(larger), np.random.default_rng(0))["local_rmse"]

    assert error(1600) / error(6400) == pytest.approx(2.0, rel=0.15)


def test_separated_clients_take_part_and_are_counted():
    instance = draw(GlmRegime(**SIZE, sample_size=12), 3)
    assert instance.extras["separated"].any()
    assert np.isfinite(instance.estimates.dense()).all()
    law = LocalLaw().evaluate(instance, np.random.default_rng(0))
    assert law["separated"] == instance.extras["separated"].sum()


@pytest.mark.parametrize("attack", ["label_flip", "random_labels", "backdoor"])
def test_data_attacks_move_attacked_clients_only(attack):
    clean = draw(GlmRegime(**{**SIZE, "share": 0.0}, sample_size=400))
    instance = draw(GlmRegime(**SIZE, sample_size=400, data_attack=attack))
    attacked = instance.extras["attacked"]
    assert attacked.sum() == 2
    z = (instance.estimates.dense() - instance.targets) / instance.extras["fits"][0].noise_scale
    assert np.abs(z[~attacked]).max() < 6.0
    assert clean.collaborative_set.all()
    assert not instance.collaborative_set[attacked].any()


def test_oracle_refinement_keeps_the_promise_where_theory_is_exact():
    regime = GaussianRegime(n_clients=60, n_rows=12, n_columns=6, share=0.2, noise_scale=0.1)
    rows = []
    for replication in range(6):
        instance = regime.generate(Streams(2, content_hash(regime), replication))
        rows.append(OracleRefinement().evaluate(instance, np.random.default_rng(0)))
    assert np.mean([row["gain_ratio"] for row in rows]) == pytest.approx(1.0, abs=0.03)
    assert all(row["promised"] == 1.0 and row["sign_kept"] == 1.0 for row in rows)


@pytest.mark.parametrize("mode", ["inner_product", "little_is_enough"])
def test_attacks_of_the_field_send_one_block_built_from_the_benign_ones(mode):
    generator = np.random.default_rng(0)
    targets = generator.standard_normal((20, 4, 3)) + 1.0
    members = np.arange(20) < 6
    basis = np.linalg.qr(generator.standard_normal((4, 1)))[0]
    clean = Clean(targets=targets, basis=basis, common=np.zeros((4, 3)), reference_norm=1.0)
    found = contaminate(mode, clean, members=members, scale=1.5, generator=generator)
    np.testing.assert_array_equal(found[~members], targets[~members])
    mean, deviation = targets[~members].mean(axis=0), targets[~members].std(axis=0)
    if mode == "inner_product":
        expected = -1.5 * mean
        assert np.sum(expected * mean) < 0
    else:
        # 20 // 2 + 1 − 6 = 5 supporters among 14: z = Φ⁻¹(9/14)
        expected = mean - 1.5 * 0.36610635680056963 * deviation
    np.testing.assert_allclose(found[members], np.repeat(expected[None], 6, axis=0), atol=1e-12)


def test_adaptive_attack_keeps_its_norm_and_hurts_the_undefended_more_than_chance():
    fields = {
        "n_clients": 12,
        "n_rows": 8,
        "n_columns": 3,
        "share": 0.25,
        "contamination_scale": 1.0,
        "common_scale": 0.2,
    }
    regime = AdaptiveAttackRegime(defender=NoDetection(), n_candidates=8, n_refinements=8, n_trials=2, **fields)
    plain = GaussianRegime(contamination="random", **fields)
    harm, chance = [], []
    for replication in range(4):
        instance = regime.generate(Streams(3, content_hash(regime), replication))
        off = instance.effective_contamination[~instance.collaborative_set]
        np.testing.assert_allclose(off, regime.reference_norm, rtol=1e-9)
        for where, made in ((harm, instance), (chance, plain.generate(Streams(3, content_hash(plain), replication)))):
            metrics = NoDetection().evaluate(made, np.random.default_rng(0))
            where.append(metrics["refined_mse"] / metrics["local_mse"])
    assert np.mean(harm) > 1.3 * np.mean(chance)


def test_adaptive_attack_without_attackers_is_the_plain_regime():
    regime = AdaptiveAttackRegime(defender=NoDetection(), share=0.0, n_clients=5, n_rows=6, n_columns=2)
    instance = regime.generate(Streams(4, content_hash(regime), 0))
    assert instance.collaborative_set.all()
    assert block_norms(instance.errors).max() < 10 * 0.1 * np.sqrt(12)
    assert detection_metrics(instance.collaborative_set, instance.collaborative_set)["exact_set"] == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GlmRegime(**SIZE, family="gamma"), "family"),
        (lambda: GlmRegime(**SIZE, family="poisson", data_attack="label_flip"), "data_attack"),
        (lambda: TraceRegressionRegime(**SIZE, link="probit"), "link"),
        (lambda: RobustRegressionRegime(**SIZE, estimator="lasso"), "estimator"),
        (lambda: NeuralRegime(**SIZE, optimiser="rmsprop"), "optimiser"),
        (lambda: NeuralRegime(**SIZE, sample_size=2), "sample_size"),
        (lambda: AdaptiveAttackRegime(defender=NoDetection(), **SIZE, noise_scale=0.0), "noise_scale"),
    ],
)
def test_bad_fields_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_sweep_of_the_network_begins_where_its_design_takes_less_than_half_the_margin_of_the_rate():
    regime = DESIGN.variants["tanh"]
    p, q, outputs = regime.n_rows, regime.n_columns, regime.n_outputs
    generator = np.random.default_rng(0)

    def log_errors(sizes):
        """½ log tr (JᵀJ)⁻¹ at every n, for one start and one output layer."""
        start = generator.standard_normal((p, q)) * regime.initial_scale / np.sqrt(p)
        output = generator.standard_normal((q, outputs))
        output /= np.linalg.norm(output, axis=1, keepdims=True)
        traces = []
        for n in sizes:
            jacobian = hidden_layer_jacobian(generator.standard_normal((n, p)), start, output, regime.activation)
            flat = jacobian.reshape(n * outputs, p * q)
            traces.append(np.trace(np.linalg.inv(flat.T @ flat)))
        return 0.5 * np.log(traces)

    def slope(sizes):
        return np.mean([np.polyfit(np.log(sizes), log_errors(sizes), 1)[0] for _ in range(40)])

    # Standard error of either mean about 0.002.
    assert DESIGN.sizes == (400, 800, 1600, 3200)
    assert slope(DESIGN.sizes) == pytest.approx(-0.510, abs=0.007)
    assert slope((200, 400, 800, 1600)) == pytest.approx(-0.522, abs=0.007)
