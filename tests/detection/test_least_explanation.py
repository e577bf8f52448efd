"""A majority that needs fewer directions is the smaller explanation, over one module and several."""

import numpy as np

from clair_stats import CLAIR
from simulations.design import content_hash
from simulations.regimes.adapter_modules import AdapterModulesRegime
from simulations.streams import Streams


def federation(replication, **fields):
    options = {"n_clients": 24, "n_rows": 48, "n_columns": 40, "rank": 2, "share": 0.45, "noise_known": False, **fields}
    regime = AdapterModulesRegime(**options)
    return regime.generate(Streams(915_000_777, content_hash(regime), replication))


def test_mimics_filled_up_with_benign_clients_are_no_explanation_where_benign_ones_have_a_smaller_one():
    """Eleven mimics of twenty-four: a half with them needs twice the rank, and its gap can be the clearer one."""
    for replication in (1, 2, 3, 4):  # everybody was called benign at rank 4 in most of these
        sent = federation(replication, contamination="mimic", noise_scale=0.12, common_scale=0.15, n_modules=1)
        model = CLAIR().fit(sent.modules)
        np.testing.assert_array_equal(model.collaborative_set_, sent.collaborative_set)
        assert model.modules_.verdict.ranks == (2,)


def test_small_contaminated_clients_with_two_benign_ones_are_no_explanation_of_rank_zero():
    """Without asking whether every member does without the larger pair's directions all of these were missed."""
    for replication in range(4):
        sent = federation(
            replication,
            contamination="coordinated",
            contamination_scale=0.3,
            noise_scale=0.2,
            common_scale=0.15,
            adapter_ranks=(4,),
        )
        model = CLAIR().fit(sent.modules)
        np.testing.assert_array_equal(model.collaborative_set_, sent.collaborative_set)
