"""Aggregations of low-rank factors for comparison, one per file; CLAIR does not use them.

Every one is called ``method(pairs, weights=None)`` with the clients' factors (B_k, A_k), and returns an
:class:`~clair_stats.baselines.aggregation.aggregated.Aggregated`.  RoLoRA also needs to know which factor was trained.
None of them tells contaminated clients from benign ones.
"""

from collections.abc import Mapping
from types import MappingProxyType

from clair_stats.baselines.aggregation.aggregated import Aggregated, Aggregation
from clair_stats.baselines.aggregation.fedex import fedex
from clair_stats.baselines.aggregation.fedit import fedit
from clair_stats.baselines.aggregation.fedrot import fedrot
from clair_stats.baselines.aggregation.fedrpca import fedrpca
from clair_stats.baselines.aggregation.fedsa_lora import fedsa_lora
from clair_stats.baselines.aggregation.ffa_lora import ffa_lora
from clair_stats.baselines.aggregation.flexlora import flexlora
from clair_stats.baselines.aggregation.flora import flora
from clair_stats.baselines.aggregation.rolora import rolora

__all__ = ["AGGREGATIONS", "Aggregated", "Aggregation", "ffa_lora", "rolora"]

AGGREGATIONS: Mapping[str, Aggregation] = MappingProxyType(
    {
        "fedit": fedit,
        "flora": flora,
        "fedex": fedex,
        "flexlora": flexlora,
        "fedsa_lora": fedsa_lora,
        "fedrpca": fedrpca,
        "fedrot": fedrot,
    }
)
"""Aggregations that take any factors of one rank; the two others need a factor that all clients share."""
