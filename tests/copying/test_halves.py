"""Two trainings on half the data each: every sequence in one of them, and refinement that rests on their difference."""

import numpy as np

from clair_stats import ClientEstimates, refine
from simulations.copying.collaborate import collaborate
from simulations.copying.federated import run_rounds, train_halves


def test_halves_share_out_the_sequences(small_world):
    data = small_world.data
    first, second = data.half(0), data.half(1)
    for k, size in enumerate(data.sample_sizes):
        assert first.sample_sizes[k] == (size + 1) // 2
        assert second.sample_sizes[k] == max(size // 2, 1)
        np.testing.assert_array_equal(first.x[k, : first.sample_sizes[k]], data.x[k, :size:2])
        if size > 1:
            np.testing.assert_array_equal(second.y[k, : second.sample_sizes[k]], data.y[k, 1:size:2])


def test_shrinkage_rests_on_the_halves(small_world):
    halves = train_halves(small_world, 0, None)
    totals = small_world.first.dense()
    n_clients = small_world.federation.n_clients
    members = small_world.federation.collaborative_set
    sizes = small_world.data.sample_sizes.astype(float)
    found = collaborate(totals, rank=2, collaborative_set=members, sample_sizes=sizes, halves=halves)
    for name, blocks in totals.items():
        assert halves[name].shape == (n_clients, 2, *blocks.shape[1:])
        record = ClientEstimates(values=blocks, sample_sizes=sizes, halves=halves[name])
        again = refine(record, basis=None, collaborative_set=members, method="shrinkage")
        np.testing.assert_allclose(found.refined[name], again.estimates, atol=1e-12)
        np.testing.assert_array_equal(found.refined[name][~members], blocks[~members])
    exact = {name: np.stack([blocks, blocks], axis=1) for name, blocks in totals.items()}
    kept = collaborate(totals, rank=2, collaborative_set=members, sample_sizes=sizes, halves=exact)
    for name, blocks in totals.items():  # halves that agree say that there is no error to shrink
        np.testing.assert_allclose(kept.refined[name], blocks, atol=1e-12)


def test_a_round_with_halves(small_world):
    outcome = run_rounds(small_world, "clair_halves", rounds=2)
    for name, blocks in outcome.updates.items():
        assert np.isfinite(blocks).all()
        assert blocks.shape == outcome.local[name].shape
    assert outcome.collaboration is not None
