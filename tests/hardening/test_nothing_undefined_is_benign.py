"""NaN never means benign: every p-value, mask and verdict of every way to one, at the edge of what can be judged.

A client is benign only with a score that is a number at most its threshold, and with a p-value that is a number; where
no test is possible there is no verdict.
"""

import itertools
import warnings

import numpy as np
import pytest

from clair_stats import CLAIR, ClientEstimates, detect
from clair_stats.baselines import BASELINES
from tests.hardening.cases import K, P, Q, shared

X, BASIS = shared()
EXACT = shared(noise=0.0)[0]


def with_one(blocks, client):
    """The last client replaced."""
    return np.concatenate([blocks[:-1], np.broadcast_to(client, blocks.shape[1:])[None]])


DATA = {
    "plain": X,
    "one contaminated": with_one(X, 1.0),
    "exact": EXACT,
    "exact, one contaminated": with_one(EXACT, 1.0),
    "single precision": EXACT.astype(np.float32).astype(float),
    "zeros": np.zeros((K, P, Q)),
    "zeros and one": with_one(np.zeros((K, P, Q)), 1.0),
    "identical": np.repeat(X[:1], K, axis=0),
    "half identical": np.concatenate([np.repeat(X[:1], K // 2, axis=0), X[K // 2 :]]),
    "one huge": with_one(X, 1e200),
    "one tiny": with_one(X, 1e-300),
    "tiny": 1e-140 * X,
    "huge": 1e140 * X,
    "three clients": X[:3],
    "four vectors": X[:4, :, :1],
    "one row": X[:, :1],
    "one number": X[:, :1, :1],
    "as many rows as columns": X[:, :4],
    "two camps": np.concatenate([X[:6], X[6:] + 3.0]),
}
OPTIONS = [
    {},
    {"rank": 0},
    {"rank": "all"},
    {"common_component": False},
    {"shared": "rows"},
    {"heterogeneity": 1e-9},
    {"heterogeneity": 0.1},
    {"heterogeneity": 1e6},
    {"level": 1e-290},
    {"level": 1 - 1e-12},
    {"detection": "program"},
]
SCALES = {"unknown": None, "known": 0.1, "tiny": 1e-12, "large": 1e12}


def wrong(majority, benign, flagged, scores, thresholds, p_values):
    """What is wrong with the masks and numbers of one verdict."""
    found = []
    if (benign & flagged).any():
        found.append("both benign and flagged")
    if not majority and (benign.any() or flagged.any()):
        found.append("somebody is judged without a majority")
    if majority and not (benign | flagged).all():
        found.append("neither benign nor flagged")
    for name, values in (("score", scores), ("threshold", thresholds), ("p-value", p_values)):
        if np.isnan(values[benign]).any():
            found.append(f"benign with {name} NaN")
    if not (scores[benign] <= thresholds[benign] * (1 + 1e-9)).all():
        found.append("benign above the threshold")
    if not ((p_values[benign] >= 0) & (p_values[benign] <= 1)).all():
        found.append("benign with a p-value outside [0, 1]")
    return found


def verdict_of(model):
    model_wrong = wrong(
        model.majority_, model.collaborative_set_, model.flagged_, model.scores_, model.thresholds_, model.p_values_
    )
    verdicts = model.to_frame()["verdict"].to_numpy()[: len(model.client_names_)]  # those set aside come last
    if ((verdicts == "benign") != model.collaborative_set_).any():
        model_wrong.append("the table says otherwise")
    if not np.array_equal(model.detection_.collaborative_set, model.collaborative_set_):
        model_wrong.append("detection_ says otherwise")
    return model_wrong


# On these the convex programs take hundreds of iterations at every penalty.
LONG = ("single precision", "exact, one contaminated")
CASES = [
    # All scales with the usual options and the usual scale with all options; the rest of the square is walked nightly.
    pytest.param(options, scale, several, marks=() if quick else pytest.mark.slow)
    for options in OPTIONS
    for scale in SCALES
    for several, quick in (
        ("short", not options or scale == "unknown"),
        ("long", scale == "unknown" and options in ({}, {"detection": "program"})),
    )
]


@pytest.mark.parametrize(("options", "scale", "several"), CASES, ids=str)
def test_a_fit(options, scale, several):
    scale, found, judged = SCALES[scale], [], 0
    data = {name: blocks for name, blocks in DATA.items() if (name in LONG) == (several == "long")}
    for name, blocks in data.items():
        own = dict(options)
        if own.get("rank") == "all":
            own["rank"] = blocks.shape[1]
        given = (
            {}
            if scale is None
            else {"noise_scales": np.full(len(blocks), scale * max(np.abs(blocks[0]).max(), 1e-140))}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model = CLAIR(**own).fit(blocks, **given)
            except ValueError as error:
                found += [(name, str(error))] if "give" not in str(error) else []
                continue
        judged += 1
        found += [(name, what) for what in verdict_of(model)]
        if not np.isfinite(model.refined_).all():
            found.append((name, "refined estimates that are not finite"))
    assert found == []
    assert judged >= len(data) // 2


@pytest.mark.parametrize("names", list(itertools.combinations(list(DATA)[:13], 2))[::5], ids=str)
def test_several_modules(names):
    modules = {name: DATA[name] for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CLAIR().fit(modules)
    assert verdict_of(model) == []


@pytest.mark.parametrize("scale", [None, 0.1, 1e-12, 1e12])
@pytest.mark.parametrize("heterogeneity", [0.0, 1e-9, 0.1, 1e6])
def test_detection_with_a_given_basis(scale, heterogeneity):
    for name, blocks in DATA.items():
        for rank in (0, 1, blocks.shape[1]):
            basis = np.linalg.qr(np.random.default_rng(3).standard_normal((blocks.shape[1],) * 2))[0][:, :rank]
            scales = None if scale is None else np.full(len(blocks), scale)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = detect(
                    ClientEstimates(values=blocks, noise_scales=scales), basis=basis, heterogeneity=heterogeneity
                )
            benign, p_values = found.collaborative_set, found.p_values
            assert not np.isnan(p_values[benign]).any(), (name, rank)
            assert not np.isnan(found.scores).any(), (name, rank)


@pytest.mark.parametrize("name", BASELINES)
def test_sets_of_other_methods_hold_no_client_that_is_not_finite(name):
    for blocks in DATA.values():
        fit = BASELINES[name](blocks, rank=min(1, blocks.shape[1]), n_contaminated=1)
        if fit.collaborative_set is not None:
            assert fit.collaborative_set.dtype == np.bool_
            assert np.isfinite(fit.estimates[fit.collaborative_set]).all()
