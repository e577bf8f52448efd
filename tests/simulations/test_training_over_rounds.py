"""Training of factors and FedHyper: against slow versions, by hand, and identities between aggregations over rounds."""

import numpy as np
import pytest

from simulations.methods.client_losses import ClientLosses
from simulations.methods.factor_training import SCHEMES, FactorTraining, trained_factors
from simulations.methods.fed_hyper import FedHyperRounds, Rates, rounds_to_loss
from simulations.methods.fed_hyper_minibatches import FedHyperMinibatches, MinibatchLosses
from simulations.regimes.linear_regression import LinearRegressionRegime
from simulations.streams import Streams

REGIME = LinearRegressionRegime(
    n_clients=8, n_rows=6, n_columns=5, rank=1, share=0.25, sample_size=40, common_scale=0.5
)


@pytest.fixture(scope="module")
def instance():
    return REGIME.generate(Streams(3, "a" * 64, 0))


def evaluated(instance, **fields):
    return FactorTraining(**fields).evaluate(instance, np.random.default_rng(1))


def test_losses_are_those_of_the_regression_up_to_scale_and_a_constant(instance):
    losses = ClientLosses.of(instance)
    np.testing.assert_allclose(np.trace(losses.curvatures, axis1=1, axis2=2), 6.0)
    for k, fit in enumerate(instance.extras["fits"]):
        product = losses.curvatures[k] @ fit.row_covariance
        np.testing.assert_allclose(product, product[0, 0] * np.eye(6), atol=1e-10)
    step = 1e-6
    weights = np.random.default_rng(2).standard_normal((6, 5))
    gradient = losses.gradients(weights).mean(axis=0)
    moved = weights.copy()
    moved[2, 3] += step
    assert (losses.mean_loss(moved) - losses.mean_loss(weights)) / step == pytest.approx(gradient[2, 3], rel=1e-4)
    np.testing.assert_allclose(losses.gradients(losses.minimiser()).mean(axis=0), 0.0, atol=1e-10)


def test_factors_are_trained_as_one_client_after_the_other_by_automatic_derivatives(instance):
    torch = pytest.importorskip("torch")
    losses = ClientLosses.of(instance)
    rng = np.random.default_rng(4)
    base, left, right = (rng.standard_normal(shape) for shape in ((8, 6, 5), (8, 6, 2), (8, 2, 5)))
    for trained in ("both", "left", "right"):
        found = trained_factors(losses, base, (left, right), steps=3, rate=0.05, trained=trained)
        for k in range(8):
            b, a = (torch.tensor(part[k], requires_grad=True) for part in (left, right))
            for _ in range(3):
                away = torch.tensor(base[k]) + b @ a - torch.tensor(losses.optima[k])
                loss = 0.5 * (away * (torch.tensor(losses.curvatures[k]) @ away)).sum()
                slopes = torch.autograd.grad(loss, (b, a))
                with torch.no_grad():
                    b = (b - 0.05 * slopes[0] * (trained != "right")).requires_grad_()
                    a = (a - 0.05 * slopes[1] * (trained != "left")).requires_grad_()
            np.testing.assert_allclose(found[0][k], b.detach().numpy(), atol=1e-12)
            np.testing.assert_allclose(found[1][k], a.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_trains_and_says_what_it_sends(instance, scheme):
    found = evaluated(instance, scheme=scheme, rounds=4, factor_rank=3)
    assert np.isfinite(found["refined_mse"])
    pair, block = 3 * (6 + 5), 30
    expected = {
        "local": 0.0,
        "flora": pair * (1 + 8) / block,
        "fedex": (2 * pair + block) / block,
        "fedsa_lora": 2 * 15 / block,
        "ffa_lora": 2 * 18 / block,
        "rolora": (2 * 18 + 2 * 15) / 2 / block,
        "clair": (pair + block) / 4 / block,
    }
    if scheme != "clair_members":  # depends on who is a member
        assert found["sent"] == pytest.approx(expected.get(scheme, 2 * pair / block))


def test_schemes_agree_where_they_have_to(instance):
    """One round: FLoRA and FedEx hold the same weights.  Full rank: FlexLoRA as well, since it goes on from them."""
    same = [evaluated(instance, scheme=scheme, rounds=1)["refined_mse"] for scheme in ("flora", "fedex")]
    assert same[0] == pytest.approx(same[1], rel=1e-10)
    full = [evaluated(instance, scheme=s, rounds=1, factor_rank=5)["refined_mse"] for s in ("flora", "flexlora")]
    assert full[0] == pytest.approx(full[1], rel=1e-10)
    one_round = [evaluated(instance, scheme=scheme, rounds=1)["refined_mse"] for scheme in ("ffa_lora", "rolora")]
    assert one_round[0] == pytest.approx(one_round[1], rel=1e-12)
    assert evaluated(instance, scheme="fedit", rounds=1)["refined_mse"] != pytest.approx(same[0], rel=1e-3)


def test_local_training_reaches_the_clients_own_fit(instance):
    found = evaluated(instance, scheme="local", rounds=200, steps=20, factor_rank=5)
    assert found["refined_mse"] == pytest.approx(found["local_mse"], rel=1e-3)


def scalar_losses(optimum):
    return ClientLosses(np.ones((1, 1, 1)), np.full((1, 1, 1), optimum))


def test_the_global_rate_by_hand():
    """One client, loss ½(w − 2)², one local step at 0.1: Δ_1 = .2, Δ_2 = .18, α_2 = 1.036, w_2 = .2 + 1.036 · .18."""
    rates = Rates(0.1, adapt_global=True)
    rounds, used = rounds_to_loss(scalar_losses(2.0), rates, steps=1, goal=0.5 * (2 - 0.2 - 1.036 * 0.18) ** 2, limit=9)
    assert rounds == 2
    np.testing.assert_allclose(used, [1.0, 1.036])


def test_the_local_rate_by_hand():
    """Three local steps at 0.5 from 0 towards 2: u = 1, .5; growth min(1.1, 1.5) = 1.1, third step 1.1 · .25."""
    rates = Rates(0.5, adapt_local=True)
    rounds, _ = rounds_to_loss(scalar_losses(2.0), rates, steps=3, goal=0.5 * (0.5 - 0.275) ** 2 + 1e-12, limit=3)
    assert rounds == 1
    fixed, _ = rounds_to_loss(scalar_losses(2.0), Rates(0.5), steps=3, goal=0.5 * (0.5 - 0.275) ** 2 + 1e-12, limit=3)
    assert fixed == 2  # the third fixed step is .25, so that .25 are left


def test_rates_keep_their_bounds_and_fixed_rates_are_federated_averaging(instance):
    losses = ClientLosses.of(instance)
    large = ClientLosses(losses.curvatures, 10.0 * losses.optima)  # inner products of updates are 100 times as large
    _, used = rounds_to_loss(large, Rates(0.3, adapt_global=True), steps=5, goal=0.0, limit=40)
    assert max(used) == 3.0
    assert min(used) >= 1.0 / 3.0
    weights = np.zeros((6, 5))
    for _ in range(3):
        ends = []
        for curvature, optimum in zip(losses.curvatures, losses.optima, strict=True):
            own = weights
            for _ in range(5):
                own = own - 0.05 * curvature @ (own - optimum)
            ends.append(own)
        weights = np.mean(ends, axis=0)
    goal = losses.mean_loss(weights)
    assert rounds_to_loss(losses, Rates(0.05), steps=5, goal=goal * (1 + 1e-9), limit=9)[0] == 3
    assert rounds_to_loss(losses, Rates(0.05), steps=5, goal=goal * (1 - 1e-6), limit=9)[0] == 4


def test_rows_of_fedhyper_count_rounds_and_unreached_goals(instance):
    found = FedHyperRounds(rate=0.001, limit=5).evaluate(instance, np.random.default_rng(1))
    assert found["rounds_fixed"] == 6.0
    assert found["reached_fixed"] == 0.0
    found = FedHyperRounds(rate=0.05).evaluate(instance, np.random.default_rng(1))
    assert found["reached_fixed"] == 1.0
    for name in ("global", "local", "both"):
        assert found[f"log_gain_{name}"] == pytest.approx(np.log(found["rounds_fixed"] / found[f"rounds_{name}"]))


def test_observations_of_minibatches_give_the_clients_fits_and_gradients_are_right_on_average(instance):
    full = ClientLosses.of(instance)
    drawn = MinibatchLosses.drawn(instance, batch=4, generator=np.random.default_rng(1), seed=2)
    for k, fit in enumerate(instance.extras["fits"]):
        rows, responses = drawn.rows[k], drawn.responses[k]
        np.testing.assert_allclose(np.linalg.lstsq(rows, responses, rcond=None)[0], fit.estimate, atol=1e-10)
        np.testing.assert_allclose(rows.T @ rows / len(rows), full.curvatures[k], atol=1e-10)
        # What the regression left over, in the same unit: s² n/(s² d) for every response, up to its own error.
        left = np.sum((responses - rows @ fit.estimate) ** 2) / (fit.residual_degrees_of_freedom * 5)
        unit = len(rows) * 6 / np.trace(np.linalg.inv(fit.row_covariance))
        assert 0.7 < left / unit < 1.4
    weights = np.random.default_rng(3).standard_normal((6, 5))
    draws = np.array([drawn.gradients(weights) for _ in range(4000)])
    error = draws.std(axis=0) / np.sqrt(4000)
    assert (np.abs(draws.mean(axis=0) - full.gradients(weights)) < 5.0 * error).all()


def test_fedhyper_on_minibatches_repeats_itself_and_nears_full_gradients(instance):
    method = FedHyperMinibatches(rate=0.05, batch=4, limit=60)
    assert method.evaluate(instance, np.random.default_rng(1)) == method.evaluate(instance, np.random.default_rng(1))
    large = FedHyperMinibatches(rate=0.05, batch=400).evaluate(instance, np.random.default_rng(1))
    full = FedHyperRounds(rate=0.05).evaluate(instance, np.random.default_rng(1))
    for name in ("fixed", "global", "both"):
        assert abs(large[f"rounds_{name}"] - full[f"rounds_{name}"]) <= 1
    with pytest.raises(ValueError, match="sample sizes"):
        MinibatchLosses.drawn(
            LinearRegressionRegime(n_clients=8, n_rows=6, n_columns=5, rank=1, sample_size_spread=4.0).generate(
                Streams(3, "a" * 64, 0)
            ),
            batch=4,
            generator=np.random.default_rng(1),
            seed=2,
        )


def test_bad_settings_are_refused(instance):
    with pytest.raises(ValueError, match="scheme"):
        FactorTraining(scheme="mean")
    with pytest.raises(ValueError, match="rounds"):
        FactorTraining(rounds=0)
    with pytest.raises(ValueError, match="rate"):
        FactorTraining(rate=2.0)
