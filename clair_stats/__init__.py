"""CLAIR-stats: certified solvers and theory verification for CLAIR (arXiv 2605.21217)."""

from clair_stats.clair import CLAIR, NoMajorityWarning
from clair_stats.decomposition.decompose import decompose, decompose_factors
from clair_stats.decomposition.modules.decompose_modules import decompose_modules
from clair_stats.decomposition.modules.solution import ModulesDecomposition
from clair_stats.decomposition.path import penalty_path
from clair_stats.decomposition.programs import Ball, Exact, Noisy
from clair_stats.decomposition.verify import Verification, verify_solution
from clair_stats.detection.detect import detect
from clair_stats.estimates import ClientEstimates
from clair_stats.records import Combination, Decomposition, Detection, FactoredDecomposition, Refinement
from clair_stats.refinement.combine import combine
from clair_stats.refinement.refine import refine

__all__ = [
    "CLAIR",
    "Ball",
    "ClientEstimates",
    "Combination",
    "Decomposition",
    "Detection",
    "Exact",
    "FactoredDecomposition",
    "ModulesDecomposition",
    "NoMajorityWarning",
    "Noisy",
    "Refinement",
    "Verification",
    "combine",
    "decompose",
    "decompose_factors",
    "decompose_modules",
    "detect",
    "penalty_path",
    "refine",
    "verify_solution",
]
__version__ = "0.1.0"
