"""What the ways of aggregation are called in tables and figures."""

from __future__ import annotations

__all__ = ["NAMES"]

NAMES = {
    "base": "base model",
    "local": "local",
    "factor_average": "average of factors",
    "average": "average of products",
    "coordinate_median": "entrywise median",
    "trimmed_mean": "trimmed mean",
    "geometric_median": "geometric median",
    "krum": "Krum",
    "multi_krum": "multi-Krum",
    "clair": "CLAIR",
    "clair_halves": "CLAIR, two half trainings",
    "oracle_average": "oracle average",
    "oracle_clair": "oracle CLAIR",
}
