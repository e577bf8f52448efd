"""Client estimates from files and from fitted models of other libraries."""

from clair_stats.readers.frameworks import from_sklearn, from_statsmodels
from clair_stats.readers.paths import read_estimates, read_usable

__all__ = ["from_sklearn", "from_statsmodels", "read_estimates", "read_usable"]
