import numpy as np
import pytest

from clair_stats.local_fits import fit_glm, fit_mnlogit
from simulations.regimes.attacks import attack_target, backdoor, poison_labels


def binary(seed, n=30_000, p=3, q=3):
    generator = np.random.default_rng(seed)
    target = 0.7 * generator.standard_normal((p, q))
    design = generator.standard_normal((n, p))
    labels = (generator.random((n, q)) < 1 / (1 + np.exp(-design @ target))).astype(float)
    return target, design, labels


@pytest.mark.parametrize("attack", ["label_flip", "random_labels", "label_permutation"])
def test_binary_clients_converge_to_the_stated_target(attack):
    target, design, labels = binary(1)
    options = {"attack": attack, "kind": "binary", "n_classes": 0}
    poisoned = poison_labels(labels, generator=np.random.default_rng(5), **options)
    expected = attack_target(target, generator=np.random.default_rng(5), **options)
    fit = fit_glm(design, poisoned, family="logistic")
    assert np.abs((fit.estimate - expected) / fit.standard_errors).max() < 4.5
    assert np.abs((fit.estimate - target) / fit.standard_errors).max() > 20.0


@pytest.mark.parametrize("attack", ["label_flip", "random_labels", "label_permutation"])
def test_multinomial_clients_converge_to_the_stated_target(attack):
    from clair_stats.local_fits import class_contrasts

    generator = np.random.default_rng(2)
    target = 0.7 * generator.standard_normal((3, 3))
    design = generator.standard_normal((30_000, 3))
    scores = design @ target @ class_contrasts(4).T
    labels = np.argmax(scores + generator.gumbel(size=scores.shape), axis=1)
    options = {"attack": attack, "kind": "classes", "n_classes": 4}
    poisoned = poison_labels(labels, generator=np.random.default_rng(6), **options)
    expected = attack_target(target, generator=np.random.default_rng(6), **options)
    fit = fit_mnlogit(design, poisoned, n_classes=4)
    assert np.abs((fit.estimate - expected) / fit.standard_errors).max() < 4.5
    assert np.abs((fit.estimate - target) / fit.standard_errors).max() > 20.0


def test_backdoor_marks_the_stated_share_and_leaves_the_rest():
    _, design, labels = binary(3, n=200)
    trigger = np.array([3.0, 0.0, 0.0])
    poisoned, changed = backdoor(
        design,
        labels,
        trigger=trigger,
        share=0.25,
        label=lambda marked: np.ones_like(marked),
        generator=np.random.default_rng(0),
    )
    marked = (poisoned != design).any(axis=1)
    assert marked.sum() == 50
    np.testing.assert_allclose(poisoned[marked] - design[marked], np.tile(trigger, (50, 1)), atol=1e-12)
    assert (changed[marked] == 1).all()
    np.testing.assert_array_equal(changed[~marked], labels[~marked])
    with pytest.raises(ValueError, match="share"):
        backdoor(design, labels, trigger=trigger, share=1.5, label=np.ones_like, generator=np.random.default_rng(0))


def test_backdoor_does_not_act_on_labels_alone():
    with pytest.raises(ValueError, match="backdoor"):
        poison_labels(
            np.zeros((3, 2)), attack="backdoor", kind="binary", n_classes=0, generator=np.random.default_rng(0)
        )
