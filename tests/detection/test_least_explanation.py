"""A majority that needs fewer directions is the smaller explanation, over one module and several."""

import numpy as np

from clair_stats import CLAIR
from simulations.design import content_hash
from simulations.regimes.adapter_modules import AdapterModulesRegime
from simulations.streams import Streams


def test_mimics_filled_up_with_benign_clients_are_no_explanation_where_benign_ones_have_a_smaller_one():
    """Eleven mimics of twenty-four: a half with them needs twice the rank, and its gap can be the clearer one."""
    regime = AdapterModulesRegime(
        n_clients=24,
        n_rows=48,
        n_columns=40,
        rank=2,
        share=0.45,
        contamination="mimic",
        noise_scale=0.12,
        common_scale=0.15,
        noise_known=False,
        n_modules=1,
    )
    for replication in (1, 2, 3, 4):  # everybody was called benign at rank 4 in these
        federation = regime.generate(Streams(915_000_777, content_hash(regime), replication))
        model = CLAIR().fit(federation.modules)
        np.testing.assert_array_equal(model.collaborative_set_, federation.collaborative_set)
        assert model.modules_.verdict.ranks == (2,)
