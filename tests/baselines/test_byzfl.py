"""Robust aggregators against those of the package byzfl (EPFL, MIT licence), where it is installed.

``pip install --no-deps byzfl`` is enough: the aggregators need NumPy and PyTorch alone.  Its benchmark needs
torchvision, whose wheels fit builds of PyTorch for GPUs, so the package is opened without its first file.
"""

import importlib
import importlib.util
import sys
import types

import numpy as np
import pytest

from clair_stats.baselines import BASELINES, ROBUST_MEANS
from clair_stats.baselines.centred_clipping import clipped_mean

pytest.importorskip("torch", reason="PyTorch is not installed; byzfl imports it")


@pytest.fixture
def byzfl(monkeypatch):
    found = importlib.util.find_spec("byzfl")
    if found is None or found.submodule_search_locations is None:
        pytest.skip("byzfl is not installed")
    package = types.ModuleType("byzfl")
    package.__path__ = list(found.submodule_search_locations)
    monkeypatch.setitem(sys.modules, "byzfl", package)
    yield importlib.import_module("byzfl.aggregators.aggregators")
    for name in [name for name in sys.modules if name.startswith("byzfl.")]:
        del sys.modules[name]


@pytest.fixture
def blocks():
    rng = np.random.default_rng(4)
    values = rng.standard_normal((11, 3, 4))
    values[:3] += 4.0
    return values


def ours(name, blocks, n_contaminated):
    return BASELINES[name](blocks, rank=0, n_contaminated=n_contaminated).common.ravel()


def test_mean_median_and_trimmed_mean_are_the_same(byzfl, blocks):
    flat = blocks.reshape(11, -1)
    np.testing.assert_allclose(ours("federated_average", blocks, 3), byzfl.Average()(flat), atol=1e-12)
    np.testing.assert_allclose(ours("coordinate_median", blocks, 3), byzfl.Median()(flat), atol=1e-12)
    np.testing.assert_allclose(ours("trimmed_mean", blocks, 3), byzfl.TrMean(f=3)(flat), atol=1e-12)


def test_the_geometric_median_is_where_its_smoothed_iteration_ends(byzfl, blocks):
    # Distances are floored at nu there and at 1e-8 of their median here; no block lies near the minimum.
    end = byzfl.GeometricMedian(nu=1e-9, T=2000)(blocks.reshape(11, -1))
    np.testing.assert_allclose(ours("geometric_median", blocks, 3), end, atol=1e-6)


def test_krum_counts_one_neighbour_fewer_as_its_paper_does(byzfl, blocks):
    flat = blocks.reshape(11, -1)
    # K − f − 1 neighbours there, K − f − 2 in Blanchard et al. and here.
    np.testing.assert_allclose(ours("krum", blocks, 2), byzfl.Krum(f=3)(flat), atol=1e-12)


def test_the_mean_around_the_median_monna_and_clipping_are_the_same(byzfl, blocks):
    flat = blocks.reshape(11, -1)
    means = {name: ROBUST_MEANS[name](blocks, rank=0, n_contaminated=3) for name in ("meamed", "monna")}
    np.testing.assert_allclose(means["meamed"].common.ravel(), byzfl.Meamed(f=3)(flat), atol=1e-12)
    for k in range(11):
        np.testing.assert_allclose(means["monna"].estimates[k].ravel(), byzfl.MoNNA(f=3, idx=k)(flat), atol=1e-12)
    clipped = clipped_mean(blocks, np.zeros((3, 4)), 2.0, 4)
    np.testing.assert_allclose(clipped.ravel(), byzfl.CenteredClipping(L=4, tau=2.0)(flat), atol=1e-12)
