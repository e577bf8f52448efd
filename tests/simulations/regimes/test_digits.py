import numpy as np
import pytest
from sklearn.linear_model import Ridge

from clair_stats.linalg import project_off
from clair_stats.local_fits import class_contrasts
from simulations.design import content_hash
from simulations.regimes.digits import DigitsRegime, load_images, smooth_patterns
from simulations.streams import Streams


def draw(replication=0, **fields):
    regime = DigitsRegime(**fields)
    return regime, regime.generate(Streams(7, content_hash(regime), replication))


def test_patterns_are_orthonormal_smooth_and_blind_to_brightness():
    patterns = smooth_patterns(8)
    np.testing.assert_allclose(patterns.T @ patterns, np.eye(8), atol=1e-14)
    np.testing.assert_allclose(patterns[:64].sum(axis=0), 0.0, atol=1e-13)
    assert not patterns[64].any()


def test_images_are_dealt_out_once_and_held_out_ones_to_nobody():
    regime = DigitsRegime(n_clients=7)
    _, labels = load_images()
    held_out, owners = regime._deal(labels, np.random.default_rng(0))
    assert np.array_equal(owners == -1, held_out)
    assert held_out.sum() == pytest.approx(0.3 * 1797, abs=6)
    assert set(owners[~held_out]) == set(range(7))


def test_scanners_are_orthogonal_and_leave_the_rest_of_the_image_alone():
    regime = DigitsRegime(rank=3, n_clients=5)
    basis = smooth_patterns(3)
    scanners = regime._scanners(basis, np.random.default_rng(1))
    for scanner in scanners:
        np.testing.assert_allclose(scanner @ scanner.T, np.eye(65), atol=1e-12)
        np.testing.assert_allclose(project_off(basis, scanner - np.eye(65)), 0.0, atol=1e-12)
        assert np.linalg.norm(scanner - np.eye(65)) > 0.1


def test_at_one_class_mix_the_scanner_moves_the_classifier_inside_the_subspace_only():
    images, labels = load_images()
    regime = DigitsRegime(rank=3, n_clients=4)
    scanners = regime._scanners(smooth_patterns(3), np.random.default_rng(2))
    weights = np.ones(labels.size)
    plain = regime._target(images, labels, weights)
    for scanner in scanners:
        moved = regime._target(images @ scanner, labels, weights)
        change = moved - plain
        assert np.linalg.norm(project_off(smooth_patterns(3), change)) < 1e-9 * np.linalg.norm(change)
        np.testing.assert_allclose(images @ scanner @ moved, images @ plain, atol=1e-9)


def test_fit_is_the_ridge_classifier_of_scikit_learn():
    images, labels = load_images()
    regime = DigitsRegime()
    fit = regime._fit(images[:90], labels[:90], "client 0")
    indicators = np.eye(10)[labels[:90]]
    reference = Ridge(alpha=1.0).fit(images[:90, :64], indicators)
    np.testing.assert_allclose(fit.estimate[:64], reference.coef_.T @ class_contrasts(10), atol=1e-9)
    np.testing.assert_allclose(fit.estimate[64], reference.intercept_ @ class_contrasts(10), atol=1e-9)


def test_accuracy_is_that_of_the_clients_own_classifier_on_held_out_images():
    regime, instance = draw(share=0.3, n_clients=10)
    scorers = instance.extras["scorers"]
    local = instance.estimates.dense()
    assert 0.6 < scorers["worst_accuracy"](local) < scorers["accuracy"](local) < 0.95
    assert scorers["accuracy"](np.zeros_like(local)) == pytest.approx(0.1, abs=0.05)
    # Contaminated clients do not enter: replacing theirs changes nothing.
    replaced = np.where(instance.collaborative_set[:, None, None], local, 0.0)
    assert scorers["accuracy"](replaced) == scorers["accuracy"](local)
    assert regime.n_clients == 10


def test_truth_separates_permuted_labels_from_truthful_ones():
    _, instance = draw(share=0.3)
    assert (~instance.collaborative_set).sum() == 6
    distances = instance.effective_contamination
    assert distances[~instance.collaborative_set].min() > 3 * distances[instance.collaborative_set].max()
    _, same = draw(share=0.0, rank=0)
    assert same.collaborative_set.all()
    assert same.basis.shape == (65, 0)


def test_multinomial_clients_are_fitted_too():
    _, instance = draw(n_clients=4, share=0.25, classifier="multinomial")
    assert all(fit.converged for fit in instance.extras["fits"])
    assert instance.extras["scorers"]["accuracy"](instance.estimates.dense()) > 0.85


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_clients", 2),
        ("rank", 9),
        ("share", 1.0),
        ("class_concentration", 0.0),
        ("ridge", -1.0),
        ("classifier", "svm"),
    ],
)
def test_bad_settings_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        DigitsRegime(**{field: value})
