"""What the ways of aggregation are called in tables and figures."""

from __future__ import annotations

from reports.words import worded

__all__ = ["NAMES"]

# Called the same everywhere.
_COMMON = (
    "factor_average",
    "coordinate_median",
    "trimmed_mean",
    "geometric_median",
    "krum",
    "multi_krum",
    "clair_halves",
    "oracle_average",
    "oracle_clair",
)
NAMES = {
    "base": "base model",
    "local": "local",
    "average": "average of products",
    "clair": "CLAIR",
    **{name: worded(name) for name in _COMMON},
}
