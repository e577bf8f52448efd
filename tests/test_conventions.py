import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from clair_stats import CLAIR, ClientEstimates, NotFittedError

RNG = np.random.default_rng(12)
BASIS = np.linalg.qr(RNG.normal(size=(8, 2)))[0]
BLOCKS = BASIS @ RNG.normal(size=(20, 2, 6)) + 0.05 * RNG.normal(size=(20, 8, 6))
BLOCKS[:3] += RNG.normal(size=(3, 8, 6))


def test_settings_can_be_read_set_and_copied():
    model = CLAIR(2, level=0.01, refinement="average")
    assert model.get_params()["level"] == 0.01
    assert model.set_params(level=0.1, shared="rows") is model
    assert (model.level, model.shared) == (0.1, "rows")
    with pytest.raises(ValueError, match="'lvel' is no setting of CLAIR"):
        model.set_params(lvel=0.1)


def test_scikit_learn_clones_it():
    base = pytest.importorskip("sklearn.base")
    model = CLAIR(2, level=0.01, heterogeneity=0.5)
    copy = base.clone(model.fit(BLOCKS))
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "basis_")


def test_repr_tells_every_setting():
    text = repr(CLAIR(heterogeneity=0.5))
    assert all(f"{name}=" in text for name in CLAIR().get_params())
    assert eval(text).get_params() == CLAIR(heterogeneity=0.5).get_params()


@pytest.mark.parametrize("name", ["basis_", "collaborative_set_", "refined_", "scores_"])
def test_results_before_fit_say_to_fit(name):
    with pytest.raises(NotFittedError, match="call fit first"):
        getattr(CLAIR(), name)
    with pytest.raises(AttributeError, match="no attribute 'baisis'"):
        getattr(CLAIR(), "baisis")  # noqa: B009 - the misspelt name is the point


def test_what_fit_takes_and_returns():
    model = CLAIR()
    assert model.fit(BLOCKS, None) is model
    np.testing.assert_array_equal(CLAIR().fit_predict(BLOCKS), model.collaborative_set_)
    np.testing.assert_array_equal(model.flagged_, np.arange(20) < 3)


def test_table_of_clients():
    names = [f"bank {k}" for k in range(20)]
    frame = CLAIR().fit(ClientEstimates(values=BLOCKS, client_names=names)).to_frame()
    assert list(frame.index) == names
    assert list(frame.index[frame["verdict"] == "flagged"]) == names[:3]
    assert (frame["score"] > frame["threshold"]).equals(frame["verdict"] == "flagged")
    assert frame["reason"].str.len().gt(0).all()


def test_without_a_verdict_everybody_is_undecided():
    strangers = RNG.normal(size=(9, 12, 12)) * np.geomspace(1, 1e4, 9)[:, None, None]
    with pytest.warns(UserWarning, match="no collaborative majority"):
        model = CLAIR().fit(strangers, noise_scales=np.full(9, 1e-3))
    assert set(model.to_frame()["verdict"]) == {"undecided"}
    assert not model.flagged_.any()


def test_page_in_a_notebook_holds_names_as_text():
    names = ["<script>alert(1)</script>", *(f"bank {k}" for k in range(19))]
    page = CLAIR().fit(ClientEstimates(values=BLOCKS, client_names=names))._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<tr>") == 21
    assert "CLAIR(" in CLAIR()._repr_html_()


def test_plot_returns_axes():
    axes = CLAIR().fit(BLOCKS).plot()
    assert isinstance(axes, Axes)
    assert "3 of 20 clients flagged" in axes.get_title()


def test_a_mapping_of_matrices_is_of_clients_and_one_of_stacks_of_modules():
    by_client = CLAIR().fit({f"c{k}": block for k, block in enumerate(BLOCKS)})
    assert by_client.client_names_ == tuple(f"c{k}" for k in range(20))
    frames = CLAIR().fit({f"c{k}": pd.DataFrame(block) for k, block in enumerate(BLOCKS)})
    np.testing.assert_array_equal(frames.collaborative_set_, by_client.collaborative_set_)
    by_module = CLAIR().fit({"first": BLOCKS, "second": BLOCKS[:, ::-1]})
    assert set(by_module.rank_) == {"first", "second"}
    assert by_module.collaborative_set_.shape == (20,)
