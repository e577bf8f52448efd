"""Each criterion in each setting: met, missed, or missed by no more than Monte Carlo error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.renderers.criteria.comparison import Comparison
from simulations.methods.clients_and_oracles import Clair, OracleClair, OracleDetection
from simulations.methods.combined import CombinedClair
from simulations.presentation import Criteria

__all__ = ["OWN", "Criterion", "criteria", "oracle_ratio"]

# CLAIR's two estimates and what they are called.
OWN = ((Clair.name, "refined"), (CombinedClair.name, "combined"))
_NORMAL = 1.96


@dataclass(frozen=True, eq=False)
class Criterion:
    """One criterion over the settings where it applies; ``aside`` counts settings of the criterion before it."""

    words: str
    met: pd.Series
    missed: pd.Series  # by more than Monte Carlo error
    aside: bool = False


def oracle_ratio(data: Comparison, metric: str, limit: float) -> tuple[pd.Series, pd.Series]:
    """CLAIR's mean over oracle CLAIR's, and how many standard errors CLAIR is above ``limit`` times the oracle."""
    own, oracle = data.of(f"mean {metric}", Clair.name), data.of(f"mean {metric}", OracleClair.name)
    paired = f"{metric} − {Clair.name}"
    spread = data.error(paired, OracleClair.name) + (limit - 1) * data.error(f"mean {metric}", OracleClair.name)
    excess = own - limit * oracle
    # Where nothing varies (all zero) the criterion holds or fails exactly.
    with np.errstate(divide="ignore", invalid="ignore"):
        return own / oracle, (excess / spread).where(spread > 0, np.sign(excess) * np.inf).where(excess != 0, 0.0)


def _against_oracles(data: Comparison, asked: Criteria) -> list[Criterion]:
    exact = f"exact_set − {Clair.name}"
    gap, error = data.of(exact, OracleDetection.name), data.error(exact, OracleDetection.name)
    found = [
        Criterion(
            f"P(Ĉ = C) at least oracle detection's minus {asked.margin:g}",
            gap <= asked.margin + 1e-12,
            gap - _NORMAL * error.fillna(0.0) > asked.margin,
        )
    ]
    detects = data.of("P(exact_set)", OracleDetection.name) >= asked.detects
    for metric, words in (("sin_theta", "subspace error"), ("refined_mse", "refined mean squared error")):
        ratio, excess = oracle_ratio(data, metric, asked.ratio)
        known = detects & ratio.notna()
        found.append(
            Criterion(
                f"{words} at most {asked.ratio:g} × oracle CLAIR's, where oracle detection finds the set",
                (ratio <= asked.ratio)[known],
                (excess > _NORMAL)[known],
            )
        )
    return found


def _against_baselines(data: Comparison) -> list[Criterion]:
    found = []
    for method, words in OWN:
        if not data.has(method):
            continue
        difference, spread = data.best_baseline(method)
        worse = difference + _NORMAL * spread.fillna(0.0) < 0
        oracle = data.of(f"refined_mse − {method}", OracleClair.name)
        beaten = difference[worse] < oracle[worse]
        found += [
            Criterion(f"{words} mean squared error at most the best baseline's", difference >= 0, worse),
            Criterion("of these, the best baseline is ahead of oracle CLAIR as well", beaten, ~beaten, aside=True),
        ]
    return found


def criteria(data: Comparison, asked: Criteria) -> list[Criterion]:
    """Criteria against the oracles, and against the best baseline where the study has baselines."""
    return [*_against_oracles(data, asked), *(_against_baselines(data) if data.baselines else [])]
