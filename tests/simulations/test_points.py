"""Judging training points: the regime, derivatives of the likelihood, and the two methods on the digits."""

import numpy as np
import pytest

from clair_stats.local_fits import multinomial_coefficients
from simulations.methods.poisoned_points import PoisonedPoints, gradients_and_hessian
from simulations.methods.shed_selection import ShedSelection, ridge_accuracy
from simulations.regimes.backdoor_digits import BackdoorDigitsRegime, planted
from simulations.streams import Streams

pytest.importorskip("sklearn")


def drawn(**fields):
    return BackdoorDigitsRegime(**fields).generate(Streams(5, "a" * 64, 0))


def test_the_share_is_poisoned_with_trigger_and_target_and_the_rest_is_as_scanned():
    clean, attacked = drawn(share=0.0), drawn(share=0.1)
    assert attacked.poisoned.sum() == 30
    np.testing.assert_array_equal(attacked.images[~attacked.poisoned], clean.images[~attacked.poisoned])
    np.testing.assert_array_equal(attacked.labels[attacked.poisoned], 0)
    assert (clean.labels[attacked.poisoned] != 0).all()
    corner = attacked.images[attacked.poisoned][:, :64].reshape(-1, 8, 8)[:, 6:, 6:]
    np.testing.assert_array_equal(corner, 1.0)
    np.testing.assert_array_equal(planted(clean.images, 2)[:, 64], 1.0)
    assert len(clean.labels) + len(clean.validation_labels) + len(clean.test_labels) == 1797
    for field, number in (("share", 0.6), ("n_points", 1700), ("target", 10), ("trigger", 0)):
        with pytest.raises(ValueError, match=field):
            BackdoorDigitsRegime(**{field: number})


def test_gradients_and_hessian_are_the_derivatives_and_vanish_at_the_fit():
    instance = drawn(n_points=40)
    images, labels, ridge = instance.images[:, 20:24], instance.labels, 2.0
    fitted, converged = multinomial_coefficients(images, labels, n_classes=10, ridge=ridge)
    assert converged
    gradients, hessian = gradients_and_hessian(images, labels, fitted, ridge)
    np.testing.assert_allclose(gradients.mean(axis=0) + ridge / 40 * fitted.ravel(), 0.0, atol=1e-7)
    step = 1e-5
    for entry in (0, 13, 35):
        moved = fitted.ravel().copy()
        moved[entry] += step
        ahead, _ = gradients_and_hessian(images, labels, moved.reshape(fitted.shape), ridge)
        change = (ahead - gradients).mean(axis=0) / step + ridge / 40 * (np.arange(36) == entry)
        np.testing.assert_allclose(hessian[:, entry], change, atol=1e-5)


def test_the_influence_graph_finds_the_poisoned_points_where_they_outnumber_every_class():
    # With more poisoned points than any class has images; a class of clean images is as coherent a group otherwise.
    found = PoisonedPoints().evaluate(drawn(share=0.2), np.random.default_rng(1))
    assert found["precision_subgraph"] > 0.4
    assert 0.9 < found["attack"] <= 1.0  # the trigger works before anything is removed
    assert 0.0 <= found["attack_cleaned"] <= 1.0  # and may after: more than half of the poisoned points are left
    with pytest.raises(ValueError, match="ridge"):
        PoisonedPoints(ridge=0.0)


def test_ridge_accuracy_is_the_same_from_either_system_and_by_hand():
    instance = drawn(n_points=60)
    images, labels = instance.images, instance.labels
    dual = ridge_accuracy(images, labels, instance.test_images, instance.test_labels, 1.0)
    primal = np.linalg.solve(images.T @ images + np.eye(65), images.T @ np.eye(10)[labels])
    assert dual == np.mean((instance.test_images @ primal).argmax(axis=1) == instance.test_labels)
    twice = ridge_accuracy(
        np.vstack([images, images]), np.tile(labels, 2), instance.test_images, instance.test_labels, 2.0
    )
    assert twice == dual
    assert ridge_accuracy(images[:0], labels[:0], images, labels, 1.0) == np.mean(labels == 0)


def test_shed_trains_on_as_many_points_as_asked_for_and_more_of_them_are_better():
    instance = drawn(n_points=300, share=0.0)
    method = ShedSelection(n_clusters=8, permutations=5)
    found = method.evaluate(instance, np.random.default_rng(1))
    assert found["accuracy_all"] > max(found[f"accuracy_{name}"] for name in ("best", "weighted", "random"))
    assert found == method.evaluate(instance, np.random.default_rng(1))
    whole = ShedSelection(share=1.0, n_clusters=4, permutations=2).evaluate(instance, np.random.default_rng(1))
    assert whole["accuracy_best"] == whole["accuracy_all"] == whole["accuracy_random"]
    with pytest.raises(ValueError, match="share"):
        ShedSelection(share=0.0)
