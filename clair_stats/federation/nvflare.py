"""An aggregator for NVFlare: the round of :mod:`clair_stats.federation.round` behind ``ModelAggregator``.

Needs ``nvflare`` 2.6 or newer.  Clients send their adapter's tensors as ``FLModel.params``; ``FLModel.meta`` holds
"site_name" (set by NVFlare), "num_examples" and, if they like, "adapter_config" (a mapping; the server's when absent).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.aggregators.model_aggregator import ModelAggregator

from clair_stats.federation.folder import RoundFolder
from clair_stats.federation.round import Adapter, Reply, RoundResult, aggregate_round
from clair_stats.federation.weights import CAP

__all__ = ["ClairAggregator"]


class ClairAggregator(ModelAggregator):
    """Names contaminated sites and leaves them out.

    Parameters
    ----------
    adapter_config : mapping
        What ``adapter_config.json`` holds; its rank is that of what is sent.
    report_folder : path, optional
        Reports of the rounds, and ``evidence.json``, which a restarted server reads.
    level : float
        Probability of any false alarm, half of it for each round and half for all rounds together.
    weight_cap : float
        A site counts for at most this many times the median site.
    """

    def __init__(
        self,
        adapter_config: Mapping[str, Any],
        report_folder: str | None = None,
        level: float = 0.05,
        weight_cap: float = CAP,
    ) -> None:
        super().__init__()
        self.adapter_config = dict(adapter_config)
        self.folder = RoundFolder(report_folder)
        self.level, self.weight_cap = level, weight_cap
        self.evidence = self.folder.evidence()
        self.last: RoundResult | None = None
        self._previous: Adapter | None = None
        self._replies: list[Reply] = []

    def accept_model(self, model: FLModel) -> None:
        """One site's reply; whatever it holds is judged in :meth:`aggregate_model`.

        Parameters
        ----------
        model : FLModel
        """
        meta = model.meta or {}
        name = str(meta.get("site_name", f"site {len(self._replies)}"))
        tensors = {key: np.asarray(value) for key, value in (model.params or {}).items()}
        fields = meta.get("adapter_config", self.adapter_config)
        stated = meta.get("num_examples", 1.0)
        examples = float(stated) if isinstance(stated, int | float) else 1.0
        self._replies.append(Reply(name, Adapter(tensors, fields if isinstance(fields, dict) else {}), examples))

    def aggregate_model(self) -> FLModel:
        """The mean of the benign sites' adapters; the previous one where there is no verdict.

        Returns
        -------
        FLModel
        """
        result = aggregate_round(
            self._replies,
            previous=self._previous,
            evidence=self.evidence,
            level=self.level,
            rank=int(self.adapter_config["r"]),
            weight_cap=self.weight_cap,
        )
        self.last, self.evidence = result, result.evidence
        self.folder.write(self.evidence.rounds, result)
        self._previous = result.aggregate or self._previous
        params = {} if self._previous is None else dict(self._previous.tensors)
        return FLModel(params_type=ParamsType.FULL, params=params, meta={"excluded": sorted(result.excluded)})

    def reset_stats(self) -> None:
        """Forget the replies of the last round; what was sent and the evidence stay."""
        self._replies = []
