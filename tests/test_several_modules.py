"""CLAIR fitted to a mapping of modules: one verdict about the clients, the rest by module."""

import numpy as np
import pytest

from clair_stats import CLAIR, ClientEstimates, NoMajorityWarning
from clair_stats.detection.panel import make_panel
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.linalg import sin_theta
from tests.detection.test_joint import clients, factors

NAMES = tuple(f"hospital {k}" for k in range(14))
MODULES = ("query", "value", "head")


def records(seed=40, **options):
    modules, benign = clients(seed, **options)
    named = {name: ClientEstimates(values=m, client_names=NAMES) for name, m in zip(MODULES, modules, strict=True)}
    return named, benign


def test_the_set_is_the_clients_and_everything_else_is_by_module():
    named, benign = records()
    model = CLAIR(refinement="average").fit(named)
    np.testing.assert_array_equal(model.collaborative_set_, benign)
    np.testing.assert_array_equal(model.detection_.collaborative_set, benign)
    np.testing.assert_array_equal(model.scores_ > model.detection_.threshold, ~benign)
    assert model.majority_
    assert model.client_names_ == NAMES
    assert model.rank_ == dict.fromkeys(MODULES, 2)
    assert model.p_values_[~benign].max() < 1e-3 < model.p_values_[benign].min()
    for name, record in named.items():
        fit = fit_shared(make_panel(record.dense()), benign, 2)
        assert sin_theta(model.basis_[name], fit.basis) < 1e-9
        alone = record.dense()[benign]
        expected = fit.basis @ (fit.basis.T @ alone)
        expected += alone.mean(axis=0) - fit.basis @ (fit.basis.T @ alone.mean(axis=0))
        np.testing.assert_allclose(model.refined_[name][benign], expected, atol=1e-9)
        np.testing.assert_array_equal(model.refined_[name][~benign], record.dense()[~benign])
        assert model.decomposition_[name].status == "optimal"
        assert model.module_scores_[name][~benign].min() > 3.0
    assert list(model.basis_) == list(MODULES)
    with pytest.raises(KeyError, match="key"):
        model.refined_["key"]


def test_clients_are_matched_by_name():
    named, _ = records()
    model = CLAIR().fit(named)
    order = np.random.default_rng(0).permutation(14)
    turned = dict(named)
    turned["value"] = ClientEstimates(values=named["value"].dense()[order], client_names=tuple(NAMES[k] for k in order))
    again = CLAIR().fit(turned)
    np.testing.assert_allclose(again.scores_, model.scores_, rtol=1e-9)
    np.testing.assert_allclose(again.refined_["value"], model.refined_["value"], atol=1e-12)


def test_factors_give_what_their_products_give_and_nothing_large_is_formed():
    named, benign = records()
    model = CLAIR().fit(named)
    pairs = {
        name: ClientEstimates(factors=factors(record.dense(), 4), client_names=NAMES) for name, record in named.items()
    }
    factored = CLAIR().fit(pairs)
    np.testing.assert_allclose(factored.scores_, model.scores_, rtol=1e-6)
    np.testing.assert_allclose(factored.refined_["head"], model.refined_["head"], atol=1e-9)
    # 14 products of 30,000 × 30,000 numbers would be 100 GB.
    generator = np.random.default_rng(3)
    up = [
        np.linalg.qr(generator.standard_normal((30_000, 24)))[0],
        np.linalg.qr(generator.standard_normal((30_000, 18)))[0],
    ]
    large = {
        name: ClientEstimates(
            factors=tuple((up[0] @ left, right @ up[1].T) for left, right in record.factors), client_names=NAMES
        )
        for name, record in pairs.items()
    }
    lifted = CLAIR().fit(large)
    np.testing.assert_allclose(lifted.scores_, model.scores_, rtol=1e-6)
    left, right = lifted.refined_factors_["head"][int(np.flatnonzero(benign)[0])]
    assert left.shape[0] == right.shape[1] == 30_000


def test_modules_may_be_loaded_when_they_are_read():
    named, benign = records()
    read = []

    class Loading(dict):
        def __getitem__(self, name):
            read.append(name)
            return super().__getitem__(name)

    model = CLAIR().fit(Loading(named))
    assert read == list(MODULES)
    assert model.basis_["head"].shape == (24, 2)
    assert read == [*MODULES, "head"]
    np.testing.assert_array_equal(model.collaborative_set_, benign)


def test_the_summary_says_what_was_evened_out():
    modules, _ = clients(40, kept=None)
    scales = np.exp(0.7 * np.random.default_rng(0).standard_normal(14))[:, None, None]
    ranks = np.resize([4, 8, 12], 14)
    pairs = {
        name: ClientEstimates(
            factors=tuple((a[:, :r], b[:r]) for (a, b), r in zip(factors(scales * m, 12), ranks, strict=True))
        )
        for name, m in zip(MODULES, modules, strict=True)
    }
    told = CLAIR().fit(pairs).summary()
    assert "3 of 14 clients flagged at family-wise level 0.05 from 3 modules together" in told
    assert "cut to rank 4" in told
    assert "divided by its norm" in told
    plain = CLAIR().fit(records()[0]).summary()
    assert "cut to rank" not in plain
    assert "divided by its norm" not in plain
    assert "log scores" in plain
    assert "χ²" in CLAIR().fit(records(37, kept=None)[0]).summary()


def test_without_a_majority_nobody_is_benign_and_estimates_are_kept():
    modules, _ = clients(34, n_clients=12, bad=range(6))
    named = dict(zip(MODULES, modules, strict=True))
    with pytest.warns(NoMajorityWarning, match="no more than half"):
        model = CLAIR().fit(named)
    assert not model.majority_
    assert not model.collaborative_set_.any()
    assert "no collaborative majority" in model.summary()
    np.testing.assert_array_equal(model.refined_["query"], modules[0])


def test_a_picture_is_drawn(tmp_path):
    model = CLAIR().fit(records()[0])
    model.plot(tmp_path / "modules.png")
    assert (tmp_path / "modules.png").stat().st_size > 10_000


def test_a_fit_to_one_set_of_estimates_afterwards_is_as_always():
    named, benign = records()
    model = CLAIR().fit(named)
    model.fit(named["query"])
    assert model.refined_.shape == (14, 24, 18)
    assert model.module_scores_ is None
    np.testing.assert_array_equal(model.collaborative_set_, benign)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda named: {}, "no module"),
        (
            lambda named: {
                **named,
                "value": ClientEstimates(values=named["value"].dense()[:12], client_names=NAMES[:12]),
            },
            "module 'value'.*misses hospital 12, hospital 13",
        ),
        (lambda named: {**named, "value": named["value"].dense()}, "module 'value'.*has client 0"),
        (lambda named: {**named, "value": np.full((14, 3, 3), np.nan)}, "client 0: values"),
    ],
)
def test_bad_modules_are_refused_by_name(change, told):
    with pytest.raises(ValueError, match=told):
        CLAIR().fit(change(records()[0]))


def test_options_of_one_module_are_refused_for_several():
    with pytest.raises(ValueError, match="heterogeneity"):
        CLAIR(heterogeneity=0.1).fit(records()[0])
    with pytest.raises(ValueError, match="rank"):
        CLAIR(rank=30).fit(records()[0])


def test_given_scales_hold_for_all_modules():
    named, benign = records(37, kept=None)
    model = CLAIR().fit(named, noise_scales=np.full(14, 0.1))
    np.testing.assert_array_equal(model.collaborative_set_, benign)
    np.testing.assert_array_equal(model.noise_scales_["query"], np.full(14, 0.1))


def pointing(flipped=3, n_clients=16):
    """Own parts with a mean inside the shared subspace, of which some are turned round: benign by definition."""
    generator = np.random.default_rng(71)
    modules = {}
    for name in MODULES:
        basis = np.linalg.qr(generator.standard_normal((24, 2)))[0]
        own = generator.standard_normal((2, 20)) + generator.standard_normal((n_clients, 2, 20))
        own[:flipped] *= -1.0
        modules[name] = basis @ own + 0.1 * generator.standard_normal((n_clients, 24, 20))
    return modules


def test_clients_that_point_away_are_named_and_not_flagged():
    model = CLAIR().fit(pointing())
    assert not model.flagged_.any()
    assert model.collaborative_set_.all()
    np.testing.assert_array_equal(model.alignment_.against, np.arange(16) < 3)
    line = next(line for line in model.summary().splitlines() if "point away" in line)
    assert all(f"{k} (" in line for k in model.client_names_[:3])
    clean = CLAIR().fit(pointing(flipped=0))
    assert not clean.alignment_.against.any()
    assert "point away" not in clean.summary()
    assert clean.fit(pointing()["query"]).alignment_ is None
