"""Incomplete features: patterns and shares, handlings against plain computations, codes that descend, the condition."""

import numpy as np
import pytest

from clair_stats.local_fits import fit_glm, fit_least_squares
from simulations.regimes import missing_features, sparse_codes
from simulations.regimes.incomplete import IncompleteRegime
from simulations.regimes.incomplete_labels import IncompleteLabelsRegime
from simulations.regimes.missing_features import HANDLINGS, draw_observed, fit_incomplete
from simulations.regimes.sparse_codes import learn_sparse_codes
from simulations.streams import Streams
from theory_checks.claims.reconstruction import CLAIM, ReconstructionMargin
from theory_checks.instances.reconstructions import ReconstructionRegime, visibility

STREAMS = Streams(5, "e" * 64, 0)
FIELDS = {"n_clients": 4, "n_rows": 4, "n_columns": 2, "rank": 1, "sample_size": 60, "n_atoms": 6, "share": 0.25}


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(8)
    mixing = generator.standard_normal((4, 4))
    features = generator.standard_normal((60, 4)) @ mixing
    responses = features @ generator.standard_normal((4, 2)) + generator.standard_normal((60, 2))
    return features, responses, draw_observed(60, 4, missing=0.2, pattern="random", generator=generator)


def fitted(data, handling, observed=None):
    features, responses, mask = data
    mask = mask if observed is None else observed
    # What is not observed is not looked at.
    blanked = np.where(mask, features, np.nan)
    generator = np.random.default_rng(1)
    return fit_incomplete(blanked, mask, responses, handling, n_atoms=6, generator=generator, client="client 7")


@pytest.mark.parametrize("pattern", ["random", "block"])
@pytest.mark.parametrize("missing", [0.0, 0.2, 0.6])
def test_patterns_have_their_share_and_blocks_are_missing_whole(pattern, missing):
    observed = draw_observed(4000, 8, missing=missing, pattern=pattern, generator=np.random.default_rng(0))
    # Standard error of a mean of 4,000 rows of which a share is missing: at most 0.5·√(6/8)/√4000 = 0.007.
    assert 1.0 - observed.mean() == pytest.approx(missing, abs=0.02)
    if pattern == "block":
        lacking = np.unique((~observed).sum(axis=1))
        assert set(lacking) <= {0, 6}
        assert len({tuple(row) for row in observed}) <= 2


@pytest.mark.parametrize("handling", HANDLINGS)
def test_without_missing_features_every_handling_is_least_squares(data, handling):
    features, responses, _ = data
    plain = fit_least_squares(features, responses, covariance="HC2")
    own = fitted(data, handling, np.ones((60, 4), dtype=bool))
    assert np.array_equal(own.estimate, plain.estimate)
    assert np.array_equal(own.row_covariance, plain.row_covariance)


def test_complete_cases_and_means_are_plain_computations(data):
    features, responses, mask = data
    whole = mask.all(axis=1)
    assert np.allclose(
        fitted(data, "complete").estimate, np.linalg.lstsq(features[whole], responses[whole], rcond=None)[0]
    )
    filled = features.copy()
    for column in range(4):
        filled[~mask[:, column], column] = features[mask[:, column], column].mean()
    assert np.allclose(fitted(data, "mean").estimate, np.linalg.lstsq(filled, responses, rcond=None)[0])
    for handling in ("iterative", "sparse"):
        assert np.isfinite(fitted(data, handling).estimate).all()


def test_what_cannot_be_fitted_is_refused_by_name(data):
    mask = data[2].copy()
    mask[5:, 0] = False
    with pytest.raises(ValueError, match=r"client 7: . complete observations do not determine 4"):
        fitted(data, "complete", mask)
    mask[:, 0] = False
    for handling in ("mean", "iterative", "multiple", "sparse"):
        with pytest.raises(ValueError, match="client 7: a feature was never observed"):
            fitted(data, handling, mask)


class Drawn:
    """An imputer whose draws are known."""

    def __init__(self, tables):
        self.tables = iter(tables)

    def fit_transform(self, table):
        return next(self.tables)

    transform = fit_transform


def test_multiple_imputation_is_by_rubins_rules(data, monkeypatch):
    features, responses, _ = data
    generator = np.random.default_rng(6)
    tables = [np.hstack([features + 0.3 * generator.standard_normal((60, 4)), responses]) for _ in range(5)]
    monkeypatch.setattr(missing_features, "_imputer", lambda *_: Drawn(tables))
    found = fitted(data, "multiple")
    fits = [fit_least_squares(table[:, :4], responses, covariance="HC2") for table in tables]
    estimates = np.stack([fit.estimate for fit in fits])
    assert np.allclose(found.estimate, estimates.mean(axis=0))
    within = np.mean([np.outer(np.diag(f.row_covariance), np.diag(f.column_covariance)) for f in fits], axis=0)
    assert np.allclose(found.entry_variances, within + 1.2 * estimates.var(axis=0, ddof=1))
    assert np.trace(found.column_covariance) == pytest.approx(2.0)


def test_the_objective_of_sparse_codes_never_rises_and_the_codes_beat_the_mean(monkeypatch):
    monkeypatch.setattr(sparse_codes, "_STEPS", 80)
    generator = np.random.default_rng(3)
    atoms = generator.standard_normal((6, 7))
    codes = np.where(generator.random((250, 7)) < 0.2, generator.standard_normal((250, 7)), 0.0)
    features = codes @ atoms.T
    responses = features @ generator.standard_normal((6, 2))
    observed = generator.random(features.shape) < 0.8
    told = {"n_atoms": 7, "sparsity": 0.05, "supervision": 0.1}
    model = learn_sparse_codes(np.where(observed, features, np.nan), observed, responses, **told, generator=generator)
    # The decrease is exact; sums of 1,500 terms are computed to about 1e-12 of the objective.
    assert np.all(np.diff(model.objectives) <= 1e-10 * model.objectives[0])
    assert np.linalg.norm(model.dictionary, axis=0).max() <= 1.0 + 1e-12
    error = np.mean((model.reconstruction - features)[~observed] ** 2)
    assert error < 0.8 * np.mean(features[~observed] ** 2)
    with pytest.raises(ValueError, match="feature 2 is never observed"):
        learn_sparse_codes(features, observed & (np.arange(6) != 2), responses, **told, generator=generator)


def test_codes_learnt_with_a_classifier_descend_and_know_the_labels(monkeypatch):
    monkeypatch.setattr(sparse_codes, "_STEPS", 60)
    generator = np.random.default_rng(4)
    codes = np.where(generator.random((150, 6)) < 0.3, generator.standard_normal((150, 6)), 0.0)
    features = codes @ generator.standard_normal((5, 6)).T
    labels = (features @ generator.standard_normal((5, 2)) > 0.0).astype(float)
    observed = generator.random(features.shape) < 0.8
    told = {"sparsity": 0.05, "supervision": 0.5, "loss": "logistic"}
    model = learn_sparse_codes(features, observed, labels, n_atoms=6, generator=generator, **told)
    assert np.all(np.diff(model.objectives) <= 1e-10 * model.objectives[0])
    parts = (model.dictionary, model.codes, model.predictor)
    assert sparse_codes.objective(features, observed, labels, parts, **told) == pytest.approx(model.objectives[-1])
    assert np.mean((model.reconstruction @ model.predictor > 0.0) == (labels > 0.0)) > 0.9
    # The derivative by a reconstruction, against differences of the naive objective.
    step = 1e-6 * np.eye(5)[2]
    pull = sparse_codes._residual(features, observed, labels, *parts, 0.5, "logistic") @ model.dictionary
    moved = [model.codes.copy(), model.codes.copy()]
    moved[0][3, 2], moved[1][3, 2] = moved[0][3, 2] + step[2], moved[1][3, 2] - step[2]
    smooth = [
        sparse_codes.objective(features, observed, labels, (parts[0], m, parts[2]), **{**told, "sparsity": 0.0})
        for m in moved
    ]
    assert (smooth[0] - smooth[1]) / 2e-6 == pytest.approx(pull[3, 2], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("handling", HANDLINGS)
def test_labels_get_a_logistic_fit(data, handling, monkeypatch):
    monkeypatch.setattr(sparse_codes, "_STEPS", 20)
    features, responses, mask = data
    features, labels = (
        features / 3.0,
        (responses + np.random.default_rng(2).normal(0.0, 4.0, (60, 2)) > 0).astype(float),
    )
    told = {"n_atoms": 6, "client": "client 7", "loss": "logistic"}
    whole = fit_incomplete(features, np.ones_like(mask), labels, handling, generator=np.random.default_rng(1), **told)
    assert np.array_equal(whole.estimate, fit_glm(features, labels, family="logistic").estimate)
    part = fit_incomplete(features, mask, labels, handling, generator=np.random.default_rng(1), **told)
    assert np.isfinite(part.estimate).all()
    assert not np.array_equal(part.estimate, whole.estimate)
    with pytest.raises(ValueError, match="client 7"):
        fit_incomplete(
            features, mask & (np.arange(4) != 1), labels, handling, generator=np.random.default_rng(1), **told
        )


def test_labels_have_the_probabilities_of_their_scores():
    regime = IncompleteLabelsRegime(**FIELDS, missing=0.0)
    scores = np.repeat([[-1.0, 0.0, 2.0]], 20_000, axis=0)
    labels = regime._responses(scores, np.random.default_rng(3))
    assert set(np.unique(labels)) == {0.0, 1.0}
    # Standard error at most 0.5/sqrt(20,000) = 0.0035.
    assert labels.mean(axis=0) == pytest.approx(1.0 / (1.0 + np.exp([1.0, 0.0, -2.0])), abs=0.015)
    larger = IncompleteLabelsRegime(**{**FIELDS, "sample_size": 200}, missing=0.0).generate(STREAMS)
    assert np.isfinite(larger.estimates.dense()).all()


def test_excess_is_the_prediction_error_on_new_complete_observations():
    regime = IncompleteRegime(**FIELDS, handling="mean")
    instance = regime.generate(STREAMS)
    assert instance.extras["missing"] == pytest.approx(0.2, abs=0.06)
    excess = instance.extras["scorers"]["excess"]
    assert excess(instance.targets) == 0.0
    assert excess(np.zeros_like(instance.targets)) == pytest.approx(1.0)
    many = IncompleteRegime(**{**FIELDS, "sample_size": 40_000})
    data = STREAMS.generator("data")  # the same atoms, then other observations
    atoms = data.standard_normal((4, 6))
    atoms *= np.sqrt(2.0) / np.linalg.norm(atoms, axis=0)
    z = many._features(atoms, data)
    ratios = [
        np.mean((z @ (x - t)) ** 2) / np.mean((z @ t) ** 2)
        for x, t, kept in zip(instance.estimates.dense(), instance.targets, instance.collaborative_set, strict=True)
        if kept
    ]
    assert excess(instance.estimates.dense()) == pytest.approx(np.mean(ratios), rel=0.05)


def test_bad_settings_are_refused():
    bad = {
        "handling": "guess",
        "pattern": "rows",
        "missing": 0.8,
        "sample_size": 5,
        "n_active": 7,
        "feature_noise": -1.0,
    }
    for field, value in bad.items():
        with pytest.raises(ValueError, match=field):
            IncompleteRegime(**{**FIELDS, field: value})
    with pytest.raises(ValueError, match="n_missing"):
        ReconstructionRegime(n_missing=5)


def test_the_separation_condition_is_sharp_and_its_sabotages_are_seen():
    fine = CLAIM.fine.cells[0].method
    counts = {"claim": 0.0, "gross": 0.0, "fine": 0.0}
    for replication in range(12):
        instance = ReconstructionRegime(n_missing=3).generate(Streams(2, "f" * 64, replication))
        found = ReconstructionMargin().evaluate(instance, np.random.default_rng(0))
        assert found["sharpness"] == pytest.approx(1.0, abs=1e-9)
        counts["claim"] += found["violation"]
        counts["gross"] += ReconstructionMargin(observed_only=True).evaluate(instance, np.random.default_rng(0))[
            "violation"
        ]
        if replication < 12:
            counts["fine"] += fine.evaluate(instance, np.random.default_rng(replication))["violation"]
    assert counts["claim"] == 0.0
    assert counts["gross"] == 12.0
    assert counts["fine"] <= 12.0


def test_visibility_is_the_smallest_quotient_over_sparse_differences():
    generator = np.random.default_rng(4)
    dictionary = generator.standard_normal((5, 6))
    observed = np.array([True, True, False, True, True])
    alpha, vector = visibility(dictionary, observed, 1)
    assert np.count_nonzero(vector) == 2
    tries = np.zeros((4000, 6))
    for row in tries:
        row[generator.permutation(6)[:2]] = generator.standard_normal(2)
    quotients = np.linalg.norm((tries @ dictionary.T)[:, observed], axis=1) / np.linalg.norm(
        tries @ dictionary.T, axis=1
    )
    assert alpha <= quotients.min() <= alpha + 0.05
