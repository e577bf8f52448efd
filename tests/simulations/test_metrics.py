import math
from dataclasses import replace

import numpy as np
import pytest

from simulations.design import content_hash
from simulations.measures.metrics import detection_metrics, estimation_metrics, evaluate, verdict_metrics
from simulations.methods.clients_and_oracles import Clair
from simulations.methods.combined import CombinedClair
from simulations.methods.interval_coverage import IntervalsAfterSelection
from simulations.methods.refinements import Refinements
from simulations.methods.verdicts import ClairVerdict
from simulations.regimes.gaussian import GaussianRegime
from simulations.streams import Streams


def draw(**fields):
    regime = GaussianRegime(**fields)
    return regime.generate(Streams(7, content_hash(regime), 0))


def test_estimation_errors_count_benign_clients_only():
    instance = draw(noise_scale=0.3)
    benign = instance.collaborative_set
    estimates = instance.targets.copy()
    estimates[benign] += 0.5
    estimates[~benign] = 1e6
    found = estimation_metrics(instance, estimates)
    assert found["refined_mse"] == pytest.approx(0.25)
    assert found["local_mse"] == pytest.approx(np.mean(instance.errors[benign] ** 2))
    size = np.linalg.norm(instance.targets[benign])
    assert found["relative_error"] == pytest.approx(0.5 * math.sqrt(benign.sum() * 200) / size)
    assert found["improved_share"] == 0.0
    estimates[benign] = instance.targets[benign]
    assert estimation_metrics(instance, estimates)["improved_share"] == 1.0


@pytest.mark.parametrize(
    ("truth", "found", "precision", "recall", "exact", "alarm"),
    [
        ("1100", "1100", 1.0, 1.0, 1.0, 0.0),
        ("1100", "1110", 1.0, 0.5, 0.0, 0.0),
        ("1100", "0100", 2 / 3, 1.0, 0.0, 1.0),
        ("1111", "1111", math.nan, math.nan, 1.0, 0.0),
        ("1111", "0111", 0.0, math.nan, 0.0, 1.0),
        ("0111", "1111", math.nan, 0.0, 0.0, 0.0),
    ],
)
def test_detection(truth, found, precision, recall, exact, alarm):
    masks = [np.array([c == "1" for c in word]) for word in (truth, found)]
    metrics = detection_metrics(*masks)
    assert metrics["precision"] == pytest.approx(precision, nan_ok=True)
    assert metrics["recall"] == pytest.approx(recall, nan_ok=True)
    assert (metrics["exact_set"], metrics["false_alarm"]) == (exact, alarm)


@pytest.mark.parametrize("truth", ["1111", "1100"])
def test_without_a_verdict_nobody_is_flagged_and_nothing_is_found(truth):
    mask = np.array([c == "1" for c in truth])
    found = verdict_metrics(mask, ~mask, majority=False)  # whatever stands in the mask
    assert (found["flagged"], found["hits"], found["false_alarm"], found["exact_set"]) == (0.0, 0.0, 0.0, 0.0)
    assert verdict_metrics(mask, ~mask, majority=True)["exact_set"] == 1.0


@pytest.mark.parametrize(
    "method", [Clair(), ClairVerdict(), CombinedClair(), IntervalsAfterSelection(), Refinements()], ids=lambda m: m.name
)
def test_no_method_counts_clients_without_a_verdict_as_flagged(method):
    # Two equal camps: no majority, and the complement of the empty set would be everybody.
    instance = draw(n_clients=8, n_rows=12, n_columns=6, share=0.0, noise_scale=0.1, rank=1)
    halves = instance.estimates.dense().copy()
    halves[4:] += 3.0 * np.random.default_rng(3).standard_normal(halves[4:].shape)
    instance = replace(instance, estimates=replace(instance.estimates, values=halves))
    found = method.evaluate(instance, np.random.default_rng(0))
    assert found["majority"] == 0.0
    assert (found["flagged"], found["false_alarm"], found["exact_set"]) == (0.0, 0.0, 0.0)


def test_scorers_and_subspace_join_what_a_method_gives():
    instance = draw()
    instance.extras["scorers"] = {"mean_entry": lambda estimates: float(estimates.mean())}
    alone = evaluate(instance, np.ones_like(instance.targets))
    assert alone["mean_entry"] == 1.0
    assert "sin_theta" not in alone
    assert "exact_set" not in alone
    full = evaluate(instance, instance.targets, collaborative_set=instance.collaborative_set, basis=instance.basis)
    assert full["sin_theta"] < 1e-12
    assert full["rank"] == 2
    assert full["exact_set"] == 1.0
    assert full["refined_mse"] == 0.0
