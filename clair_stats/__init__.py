"""CLAIR-stats: certified solvers and theory verification for CLAIR (arXiv 2605.21217)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clair_stats.clair import CLAIR, NoMajorityWarning, NotFittedError
    from clair_stats.decomposition.decompose import decompose, decompose_factors
    from clair_stats.decomposition.modules.decompose_modules import decompose_modules
    from clair_stats.decomposition.modules.solution import ModulesDecomposition
    from clair_stats.decomposition.path import penalty_path
    from clair_stats.decomposition.programs import Ball, Exact, Noisy
    from clair_stats.decomposition.verify import Verification, verify_solution
    from clair_stats.detection.detect import detect
    from clair_stats.estimates import ClientEstimates
    from clair_stats.readers.frameworks import from_sklearn, from_statsmodels
    from clair_stats.readers.paths import read_estimates
    from clair_stats.records import Combination, Decomposition, Detection, FactoredDecomposition, Refinement
    from clair_stats.refinement.combine import combine
    from clair_stats.refinement.refine import refine

# Where each name lives.  Names are imported when they are first used: the command line answers before SciPy is loaded.
_HOMES = {
    "CLAIR": "clair",
    "NoMajorityWarning": "clair",
    "NotFittedError": "clair",
    "decompose": "decomposition.decompose",
    "decompose_factors": "decomposition.decompose",
    "decompose_modules": "decomposition.modules.decompose_modules",
    "ModulesDecomposition": "decomposition.modules.solution",
    "penalty_path": "decomposition.path",
    "Ball": "decomposition.programs",
    "Exact": "decomposition.programs",
    "Noisy": "decomposition.programs",
    "Verification": "decomposition.verify",
    "verify_solution": "decomposition.verify",
    "detect": "detection.detect",
    "ClientEstimates": "estimates",
    "from_sklearn": "readers.frameworks",
    "from_statsmodels": "readers.frameworks",
    "read_estimates": "readers.paths",
    "Combination": "records",
    "Decomposition": "records",
    "Detection": "records",
    "FactoredDecomposition": "records",
    "Refinement": "records",
    "combine": "refinement.combine",
    "refine": "refinement.refine",
}

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
    "NotFittedError",
    "Refinement",
    "Verification",
    "combine",
    "decompose",
    "decompose_factors",
    "decompose_modules",
    "detect",
    "from_sklearn",
    "from_statsmodels",
    "penalty_path",
    "read_estimates",
    "refine",
    "verify_solution",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'clair_stats' has no attribute {name!r}")
    value = getattr(import_module(f"clair_stats.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
