import sys

import numpy as np
import pytest
from scipy.optimize import approx_fprime, least_squares

from clair_stats.local_fits import Training, fit_hidden_layers
from clair_stats.local_fits.neural import hidden_layer_jacobian, network


def data(seed, n=60, p=3, q=2, outputs=3, n_clients=2):
    generator = np.random.default_rng(seed)
    initial, output = generator.standard_normal((p, q)), generator.standard_normal((q, outputs))
    targets = 0.3 * generator.standard_normal((n_clients, p, q))
    inputs = generator.standard_normal((n_clients, n, p))
    clean = np.stack([network(x, initial + t, output, "tanh") for x, t in zip(inputs, targets, strict=True)])
    return inputs, clean + 0.1 * generator.standard_normal(clean.shape), initial, output, targets


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_jacobian_is_the_derivative_of_the_network(activation):
    inputs, _, initial, output, _ = data(0)
    x = inputs[0][:5]
    numeric = approx_fprime(
        initial.ravel(), lambda w: network(x, w.reshape(initial.shape), output, activation).ravel(), 1e-7
    )
    analytic = hidden_layer_jacobian(x, initial, output, activation).reshape(15, 6)
    np.testing.assert_allclose(analytic, numeric, atol=1e-5)


def least_squares_fit(inputs, responses, initial, output):
    return least_squares(
        lambda w: (network(inputs, w.reshape(initial.shape), output, "tanh") - responses).ravel(),
        initial.ravel(),
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    )


def test_trained_to_the_end_it_is_the_least_squares_solution_with_its_covariance():
    pytest.importorskip("torch")
    inputs, responses, initial, output, _ = data(1)
    plan = Training(steps=1000, learning_rate=0.05)
    fits = fit_hidden_layers(inputs, responses, initial=initial, output=output, training=plan)
    for k, fit in enumerate(fits):
        reference = least_squares_fit(inputs[k], responses[k], initial, output)
        np.testing.assert_allclose((initial + fit.estimate).ravel(), reference.x, atol=1e-6)
        variance = 2 * reference.cost / (60 * 3 - 6)
        covariance = variance * np.linalg.inv(reference.jac.T @ reference.jac)
        np.testing.assert_allclose(fit.standard_errors.ravel(), np.sqrt(np.diag(covariance)), rtol=1e-4)
        assert fit.converged


def test_gradient_descent_says_which_client_has_not_arrived():
    # The second client's saturated unit leaves a flat direction that plain gradient descent crosses slowly.
    pytest.importorskip("torch")
    inputs, responses, initial, output, _ = data(1)
    plan = Training(steps=1000, optimiser="sgd", learning_rate=0.5)
    fits = fit_hidden_layers(inputs, responses, initial=initial, output=output, training=plan)
    away = []
    for k, fit in enumerate(fits):
        reference = least_squares_fit(inputs[k], responses[k], initial, output)
        change = np.abs((initial + fit.estimate).ravel() - reference.x) / fit.standard_errors.ravel()
        away.append(change.max())
    assert [fit.converged for fit in fits] == [True, False]
    assert away[0] < 0.1
    assert away[1] > 0.1


def test_clients_do_not_see_each_other():
    pytest.importorskip("torch")
    inputs, responses, initial, output, _ = data(2)
    plan = Training(steps=30)
    together = fit_hidden_layers(inputs, responses, initial=initial, output=output, training=plan)
    alone = fit_hidden_layers(inputs[1:], responses[1:], initial=initial, output=output, training=plan)
    np.testing.assert_allclose(together[1].estimate, alone[0].estimate, atol=1e-12)


def test_stopping_early_is_told_and_stays_near_the_start():
    pytest.importorskip("torch")
    inputs, responses, initial, output, targets = data(3)
    early, late = (
        fit_hidden_layers(inputs, responses, initial=initial, output=output, training=Training(steps=steps))
        for steps in (3, 300)
    )
    assert not early[0].converged
    assert late[0].converged
    assert np.linalg.norm(early[0].estimate) < 0.5 * np.linalg.norm(late[0].estimate)
    assert np.linalg.norm(late[0].estimate - targets[0]) < np.linalg.norm(early[0].estimate - targets[0])


def test_mini_batches_follow_their_generator():
    pytest.importorskip("torch")
    inputs, responses, initial, output, _ = data(4)
    plan = Training(steps=20, batch_size=10)

    def run(seed):
        generator = np.random.default_rng(seed)
        fits = fit_hidden_layers(inputs, responses, initial=initial, output=output, training=plan, generator=generator)
        return fits[0].estimate

    np.testing.assert_array_equal(run(1), run(1))
    assert np.abs(run(1) - run(2)).max() > 1e-6
    with pytest.raises(ValueError, match="generator"):
        fit_hidden_layers(inputs, responses, initial=initial, output=output, training=plan)


def test_divergence_names_the_client():
    pytest.importorskip("torch")
    inputs, responses, initial, output, _ = data(5)
    plan = Training(steps=200, optimiser="sgd", learning_rate=1e200, decay=False)
    with pytest.raises(ValueError, match=r"(clinic|network).*(learning_rate|singular)"):
        fit_hidden_layers(
            inputs,
            responses,
            initial=initial,
            output=output,
            training=plan,
            client_names=["clinic", "other"],
            activation="softplus",
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": np.ones((5, 3))}, "output"),
        ({"inputs": np.full((2, 60, 3), np.inf)}, "inputs"),
        ({"activation": "relu"}, "activation"),
        ({"client_names": ["one"]}, "client_names"),
    ],
)
def test_bad_input_is_refused_before_any_work(changes, message):
    inputs, responses, initial, output, _ = data(6)
    arguments = {"inputs": inputs, "responses": responses, "initial": initial, "output": output, **changes}
    with pytest.raises(ValueError, match=message):
        fit_hidden_layers(arguments.pop("inputs"), arguments.pop("responses"), **arguments)


def test_without_torch_the_message_gives_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    inputs, responses, initial, output, _ = data(7)
    with pytest.raises(ImportError, match=r"clair-stats\[llm\]"):
        fit_hidden_layers(inputs, responses, initial=initial, output=output)
