"""What is claimed of every regime with a real fit: statement, rule, the sections it is looked at in, and its control.

A control is a departure in which the claim is certain to be false, named by the design; where a design cannot have one
the control is a false rule on the same rows.  Either must come out as violated.
"""

from __future__ import annotations

from theory_checks.regimes.detection import DETECTION
from theory_checks.regimes.error_law import ERROR_LAW
from theory_checks.regimes.refinement import REFINEMENT
from theory_checks.regimes.statement import Statement

__all__ = ["STATEMENTS"]

# In the order of the tables: what comes first in a section of a design.
_ORDER = (
    "estimate-rate",
    "coverage",
    "shared-bias",
    "subspace-rate",
    "set-against-n",
    "set-against-separation",
    "level",
    "level-whitened",
    "level-own-covariance",
    "level-oracle",
    "level-covariance",
    "off-subspace-rate",
    "gain",
    "sign-rule",
    "exact-set",
)
_BY_NAME = {statement.identifier: statement for statement in (*ERROR_LAW, *REFINEMENT, *DETECTION)}
if set(_ORDER) != set(_BY_NAME):
    raise ValueError(f"statements without a place in the order, or the other way round: {set(_ORDER) ^ set(_BY_NAME)}")

STATEMENTS: tuple[Statement, ...] = tuple(_BY_NAME[name] for name in _ORDER)
