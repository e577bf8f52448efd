"""CLAIR-stats: certified solvers and theory verification for CLAIR (arXiv 2605.21217)."""

from clair_stats.records import ClientEstimates, Decomposition, Detection, Refinement

__all__ = ["ClientEstimates", "Decomposition", "Detection", "Refinement"]
__version__ = "0.1.0"
