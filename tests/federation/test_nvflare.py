"""The NVFlare aggregator gives the numbers of the round itself."""

import numpy as np
import pytest

pytest.importorskip("nvflare", reason="NVFlare is not installed; the round itself needs no framework")

from nvflare.app_common.abstract.fl_model import FLModel

from clair_stats.federation import Reply, aggregate_round
from clair_stats.federation.nvflare import ClairAggregator
from tests.federation.clients import RANK, Federation, stranger


def test_the_same_numbers_as_the_round_itself(tmp_path):
    federation = Federation()
    adapters = [federation.adapter(change=stranger) if k == 5 else federation.adapter() for k in range(16)]
    aggregator = ClairAggregator(adapters[0].config, report_folder=str(tmp_path))
    for k, adapter in enumerate(adapters):
        params = {name: np.full_like(t, np.nan) if k == 9 else t for name, t in adapter.tensors.items()}
        aggregator.accept_model(FLModel(params=params, meta={"site_name": f"site {k}", "num_examples": 100}))
    found = aggregator.aggregate_model()
    kept = [Reply(f"site {k}", adapter, 100) for k, adapter in enumerate(adapters) if k != 9]
    alone = aggregate_round(kept, rank=RANK)
    assert found.meta["excluded"] == ["site 5"] == sorted(alone.excluded)
    for name, tensor in alone.aggregate.tensors.items():
        np.testing.assert_array_equal(found.params[name], tensor)
    rows = {row.name: row.verdict for row in aggregator.last.report.rows}
    assert rows["site 9"] == "quarantined"
    aggregator.reset_stats()
    assert ClairAggregator(adapters[0].config, report_folder=str(tmp_path)).evidence == aggregator.evidence
