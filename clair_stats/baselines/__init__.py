"""Robust aggregation methods for comparison, one per file, with one signature; CLAIR does not use them.

Every method is called ``method(estimates, *, rank, n_contaminated, level=0.05)`` and returns a
:class:`~clair_stats.baselines.fit.BaselineFit`.  It is given the true rank and the number of contaminated clients,
which most of them need, and uses the record's noise scales when they are there.  Arguments without use are ignored.
"""

from collections.abc import Mapping
from types import MappingProxyType

from clair_stats.baselines.armul import armul_low_rank
from clair_stats.baselines.centred_clipping import centred_clipping
from clair_stats.baselines.coordinate_median import coordinate_median
from clair_stats.baselines.covariance_filter import covariance_filter
from clair_stats.baselines.fast_median_subspace import fast_median_subspace
from clair_stats.baselines.federated_average import federated_average
from clair_stats.baselines.fit import Baseline, BaselineFit
from clair_stats.baselines.geometric_median import geometric_median
from clair_stats.baselines.krum import krum, multi_krum
from clair_stats.baselines.local_only import local_only
from clair_stats.baselines.meamed import meamed
from clair_stats.baselines.median_svd import median_svd
from clair_stats.baselines.monna import monna
from clair_stats.baselines.optspace import optspace, optspace_guessed
from clair_stats.baselines.outlier_pursuit import outlier_pursuit
from clair_stats.baselines.penalised_subspaces import penalised_subspaces
from clair_stats.baselines.ras import ras
from clair_stats.baselines.robust_reduced_rank import robust_reduced_rank
from clair_stats.baselines.robust_reduced_rank_pic import robust_reduced_rank_pic
from clair_stats.baselines.subspace_tyler import subspace_tyler
from clair_stats.baselines.trimmed_mean import trimmed_mean
from clair_stats.baselines.winsorised_spectral import winsorised_spectral

__all__ = ["BASELINES", "OWN_RULES", "ROBUST_MEANS", "STATISTICAL_RIVALS", "Baseline", "BaselineFit"]

BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        "local_only": local_only,
        "federated_average": federated_average,
        "coordinate_median": coordinate_median,
        "geometric_median": geometric_median,
        "trimmed_mean": trimmed_mean,
        "krum": krum,
        "multi_krum": multi_krum,
        "median_svd": median_svd,
        "fast_median_subspace": fast_median_subspace,
        "subspace_tyler": subspace_tyler,
        "winsorised_spectral": winsorised_spectral,
        "armul_low_rank": armul_low_rank,
    }
)

STATISTICAL_RIVALS: Mapping[str, Baseline] = MappingProxyType(
    {
        "outlier_pursuit": outlier_pursuit,
        "robust_reduced_rank": robust_reduced_rank,
        "ras": ras,
        "optspace": optspace,
        "penalised_subspaces": penalised_subspaces,
    }
)
"""Methods of the same signature that only the study ``rivals`` compares: they came after the others had been run."""

OWN_RULES: Mapping[str, Baseline] = MappingProxyType(
    {"ras": ras, "robust_reduced_rank": robust_reduced_rank_pic, "optspace": optspace_guessed}
)
"""Of these methods the forms that find rank and number of outliers by their authors' rules; what they are told is not
used."""

ROBUST_MEANS: Mapping[str, Baseline] = MappingProxyType(
    {
        "federated_average": federated_average,
        "coordinate_median": coordinate_median,
        "geometric_median": geometric_median,
        "trimmed_mean": trimmed_mean,
        "krum": krum,
        "multi_krum": multi_krum,
        "meamed": meamed,
        "monna": monna,
        "centred_clipping": centred_clipping,
        "covariance_filter": covariance_filter,
    }
)
"""One mean for everybody, the aggregators of byzfl.  MDA and SMEA, which go through all sets of K − f clients, are
missing: 735,471 sets for eight of 24."""
