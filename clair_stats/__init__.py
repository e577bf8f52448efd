"""CLAIR-stats: certified solvers and theory verification for CLAIR (arXiv 2605.21217)."""

from clair_stats.clair import CLAIR, NoMajorityWarning
from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.verify import verify_solution
from clair_stats.detection.detect import detect
from clair_stats.records import ClientEstimates, Decomposition, Detection, Refinement
from clair_stats.refinement.refine import refine

__all__ = [
    "CLAIR",
    "ClientEstimates",
    "Decomposition",
    "Detection",
    "NoMajorityWarning",
    "Refinement",
    "decompose",
    "detect",
    "refine",
    "verify_solution",
]
__version__ = "0.1.0"
