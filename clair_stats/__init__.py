"""CLAIR-stats: certified solvers and theory verification for CLAIR (arXiv 2605.21217)."""

from clair_stats.decomposition.decompose import decompose
from clair_stats.records import ClientEstimates, Decomposition, Detection, Refinement
from clair_stats.refinement.refine import refine

__all__ = ["ClientEstimates", "Decomposition", "Detection", "Refinement", "decompose", "refine"]
__version__ = "0.1.0"
