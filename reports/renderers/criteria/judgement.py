"""Each criterion in each setting: shown, open or refuted, by Holm's procedure over the settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from clair_stats.laws import holm
from reports.renderers.criteria.comparison import Comparison
from reports.renderers.criteria.evidence import SettingEvidence, of_errors, of_shares
from simulations.methods.clients_and_oracles import Clair, OracleClair, OracleDetection
from simulations.methods.combined import CombinedClair
from simulations.presentation import Criteria

__all__ = ["LEVEL", "OWN", "Criterion", "criteria", "oracle_ratio", "replications_to_show"]

# CLAIR's two estimates and what they are called.
OWN = ((Clair.name, "refined"), (CombinedClair.name, "combined"))
LEVEL = 0.05
_NORMAL = 1.96  # of means over all settings, that is over thousands of replications


@dataclass(frozen=True, eq=False)
class Criterion:
    """One criterion over the settings where it is asked."""

    words: str
    evidence: SettingEvidence
    pooled: str  # the quantity over all settings, with its 95 % interval
    remark: str = ""  # what is to be said where it is refuted
    shown: pd.Series = field(init=False)  # per setting, after Holm's procedure
    refuted: pd.Series = field(init=False)

    def __post_init__(self) -> None:
        for name in ("shown", "refuted"):
            p_values = getattr(self.evidence, name)
            object.__setattr__(self, name, pd.Series(holm(p_values.to_numpy(float)) <= LEVEL, p_values.index))

    @property
    def n(self) -> int:
        """Settings in which the criterion is asked."""
        return int(self.evidence.shown.notna().sum())

    @property
    def open(self) -> int:
        """Settings that are neither shown nor refuted."""
        return self.n - int(self.shown.sum()) - int(self.refuted.sum())


def replications_to_show(margin: float, settings: int) -> int:
    """Replications without a single loss that show a share within ``margin`` in one setting of a family of settings."""
    return math.ceil(math.log(LEVEL / max(settings, 1)) / math.log1p(-margin))


def oracle_ratio(data: Comparison, metric: str) -> tuple[pd.Series, pd.Series]:
    """CLAIR's mean over oracle CLAIR's and its standard error, paired, by the delta method; one row per setting.

    The error of own − R·oracle is bounded by that of own − oracle plus |R − 1| times that of the oracle.
    """
    own, oracle = data.of(f"mean {metric}", Clair.name), data.of(f"mean {metric}", OracleClair.name)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = own / oracle
        return ratio, _spread(data, metric, ratio) / oracle


def _spread(data: Comparison, metric: str, ratio: pd.Series | float) -> pd.Series:
    paired = data.error(f"{metric} − {Clair.name}", OracleClair.name)
    return paired.add(data.error(f"mean {metric}", OracleClair.name) * np.abs(ratio - 1.0))


def _interval(mean: float, error: float) -> str:
    return f"{mean:.3f} [{mean - _NORMAL * error:.3f}, {mean + _NORMAL * error:.3f}]"


def _mean_over(values: pd.Series, errors: pd.Series) -> str:
    """Mean over settings with its 95 % interval; settings are independent."""
    known = values.notna() & errors.notna() & np.isfinite(values) & np.isfinite(errors)
    if not known.any():
        return "--"
    n = int(known.sum())
    return _interval(float(values[known].mean()), float(np.sqrt((errors[known] ** 2).sum())) / n)


def _against_oracles(data: Comparison, asked: Criteria) -> list[Criterion]:
    name = f"exact_set − {Clair.name}"
    gap, error = data.of(name, OracleDetection.name), data.error(name, OracleDetection.name).fillna(0.0)
    shares = of_shares(gap, error, data.size(name, OracleDetection.name), asked.margin)
    found = [
        Criterion(
            f"P(Ĉ = C) at least oracle detection's minus {asked.margin:g}",
            shares,
            f"shortfall {_mean_over(gap, error.where(gap.notna()))}",
        )
    ]
    detects = data.of("P(exact_set)", OracleDetection.name) >= asked.detects
    for metric, words in (("sin_theta", "subspace error"), ("refined_mse", "refined mean squared error")):
        own, oracle = data.of(f"mean {metric}", Clair.name), data.of(f"mean {metric}", OracleClair.name)
        size = data.size(f"{metric} − {Clair.name}", OracleClair.name)
        ratio, spread = oracle_ratio(data, metric)
        found.append(
            Criterion(
                f"{words} at most {asked.ratio:g} × oracle CLAIR's, where oracle detection finds the set",
                of_errors(own - asked.ratio * oracle, _spread(data, metric, asked.ratio), size).where(detects),
                f"ratio {_mean_over(ratio.where(detects), spread.where(detects))}",
            )
        )
    return found


def _against_baselines(data: Comparison) -> list[Criterion]:
    """CLAIR below every baseline is shown by the largest p-value, CLAIR above some baseline refuted by Bonferroni."""
    found = []
    for method, words in OWN:
        if not data.has(method):
            continue
        paired = f"refined_mse − {method}"
        each = [
            of_errors(-data.of(paired, name), data.error(paired, name), data.size(paired, name))
            for name in data.baselines
        ]
        shown = pd.concat([e.shown for e in each], axis=1).max(axis=1)
        refuted = (pd.concat([e.refuted for e in each], axis=1).min(axis=1) * len(each)).clip(upper=1.0)
        difference, spread = data.best_baseline(method)
        mean = data.of("mean refined_mse", method)
        best = mean + difference
        pooled = _mean_over(mean / best, spread / best)
        made = Criterion(
            f"{words} mean squared error below every baseline's",
            SettingEvidence(shown, refuted),
            f"to the best: {pooled}",
        )
        if made.refuted.any():
            ahead = int((difference < data.of(paired, OracleClair.name))[made.refuted].sum())
            made = replace(made, remark=f"in {ahead} of these the best baseline is ahead of oracle CLAIR as well")
        found.append(made)
    return found


def criteria(data: Comparison, asked: Criteria) -> list[Criterion]:
    """Criteria against the oracles, and against all baselines where the study has baselines."""
    return [*_against_oracles(data, asked), *(_against_baselines(data) if data.baselines else [])]
