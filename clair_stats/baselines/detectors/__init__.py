"""Detectors of contaminated clients and points for comparison, one per file; CLAIR does not use them.

Those that work on clients are called ``method(blocks, n_contaminated=None)`` (Horus: on factors) and return a
:class:`~clair_stats.baselines.detectors.suspicion.Suspicion`: by the method's own rule, or with the number of
contaminated clients told.  Multi-Krum is in :mod:`clair_stats.baselines.krum`.
"""

from clair_stats.baselines.detectors.average_subgraph import average_subgraph, max_average_subgraph
from clair_stats.baselines.detectors.foolsgold import foolsgold
from clair_stats.baselines.detectors.horus import horus
from clair_stats.baselines.detectors.influence import pairwise_influence
from clair_stats.baselines.detectors.shapley import exact_shapley, sampled_shapley
from clair_stats.baselines.detectors.spectral_statistics import spectral_statistics
from clair_stats.baselines.detectors.suspicion import Suspicion

__all__ = [
    "Suspicion",
    "average_subgraph",
    "exact_shapley",
    "foolsgold",
    "horus",
    "max_average_subgraph",
    "pairwise_influence",
    "sampled_shapley",
    "spectral_statistics",
]
