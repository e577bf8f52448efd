"""Sequential precision: add replications until every monitored summary is known well enough, or the budget ends.

*Stopping rule.*  The looks n_1 < n_2 < … < n_J (the budget) are fixed before the run.  At look j only the replications
0 … n_j − 1 are read, whatever else the store holds, and the run stops at the first look at which every monitored
summary of every cell has a Monte Carlo standard error at or below its target.  So the stopping look depends on the data
alone, not on workers, order or kills.  A proportion enters the rule with p̃ = (x + z²/2)/(n + z²), z = 1.96 (Agresti and
Coull 1998), because an observed 0 or 1 has an estimated standard error of 0 after however few replications.

*Effect on error rates.*  Stopping looks at the data, and where an estimate and its estimated variance are correlated
(skewed metrics) the usual interval at the stopping look covers less than it says.  The intervals reported here are
repeated confidence intervals (Jennison and Turnbull, JRSS B 51, 1989): estimate ± c·MCSE with c such that, for partial
sums of a normal variable, P(|Z_j| ≤ c at all looks j) = level.  They cover at every look simultaneously, hence at the
stopping look of this rule and of any other.  c is computed by the recursion of Armitage, McPherson and Rowe (JRSS A
132, 1969); for equally spaced looks it is Pocock's constant.  Decisions about a claim from a sequential run use these
intervals.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Unpack

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from simulations.design import Study
from simulations.engine.executor import RunReport, run_study
from simulations.engine.options import RunOptions
from simulations.measure import Estimate, Measure
from simulations.measures.summarise import Summary, summaries_of
from simulations.storage.store import Store

__all__ = ["Monitored", "PrecisionRule", "SequentialResult", "repeated_critical_value", "run_until"]

_Z = 1.959963984540054
_NODES = 200  # the ten-look constant agrees with 800 nodes to 1e-12


@dataclass(frozen=True)
class PrecisionRule:
    """When to stop.

    Parameters
    ----------
    targets : mapping of Measure to float
        Largest Monte Carlo standard error allowed, for every monitored measure.
    budget : int
        Largest number of replications per cell, the last look.
    first : int
        Replications at the first look; fewer than 30 are refused, since standard errors are not to be trusted there.
    growth : float
        Each look has ``growth`` times the replications of the one before.
    level : float
        Simultaneous confidence level of the repeated intervals.
    """

    targets: Mapping[Measure, float]
    budget: int
    first: int = 100
    growth: float = 1.5
    level: float = 0.95

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("targets: give at least one measure and its largest Monte Carlo standard error")
        for measure, target in self.targets.items():
            if not target > 0.0:
                raise ValueError(f"targets: {measure.label!r} has target {target}; give a positive number")
        if not 30 <= self.first <= self.budget:
            raise ValueError(f"first is {self.first}; give a number from 30 to the budget ({self.budget})")
        if not self.growth > 1.0:
            raise ValueError(f"growth is {self.growth}; give a number above 1")
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"level is {self.level}; give a number strictly between 0 and 1")

    @property
    def looks(self) -> tuple[int, ...]:
        """Replications at every look, fixed before the run."""
        numbers = [self.first]
        while numbers[-1] < self.budget:
            numbers.append(min(max(math.ceil(numbers[-1] * self.growth), numbers[-1] + 1), self.budget))
        return tuple(numbers)

    def statement(self) -> str:
        """The rule in words, for a report."""
        targets = "; ".join(f"{measure.label} ≤ {target:g}" for measure, target in self.targets.items())
        return (
            f"Looks at {', '.join(map(str, self.looks))} replications per cell; stop at the first with Monte Carlo "
            f"standard errors {targets} in every cell. Intervals cover at all looks simultaneously with probability "
            f"{self.level:g} (critical value {repeated_critical_value(self.looks, self.level):.3f})."
        )


@dataclass(frozen=True)
class Monitored:
    """A monitored summary at the stopping look."""

    summary: Summary
    target: float
    precision: float  # the standard error that the rule compared with the target
    low: float  # repeated confidence interval
    high: float

    @property
    def reached(self) -> bool:
        """Whether the target is met."""
        return self.precision <= self.target  # False for NaN


@dataclass(frozen=True)
class SequentialResult:
    """Where a sequential run stopped."""

    study: Study  # with the replications of the stopping look; use it to read the rows
    reached: bool  # all targets met; False: the budget ended or the run was interrupted
    monitored: tuple[Monitored, ...]
    critical_value: float
    report: RunReport  # of the last extension


def _density(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normal density."""
    return np.asarray(np.exp(-0.5 * np.square(z)) / math.sqrt(2.0 * math.pi), dtype=np.float64)


def repeated_critical_value(looks: tuple[int, ...], level: float = 0.95) -> float:
    """The c with P(max_j |Z_j| ≤ c) = level for standardised partial sums Z_j of n_j normal variables.

    Parameters
    ----------
    looks : tuple of int
        n_1 < n_2 < … < n_J.
    level : float

    Returns
    -------
    float
        1.960 for one look at 0.95; Pocock's 2.178 and 2.413 for two and five equally spaced looks.

    Raises
    ------
    ValueError
        Looks that do not increase, or begin below 1.
    """
    if any(later <= earlier for earlier, later in pairwise(looks)) or looks[0] < 1:
        raise ValueError(f"looks are {looks}; give increasing positive numbers")
    information = np.asarray(looks, dtype=np.float64) / looks[0]
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)

    def staying(c: float) -> float:
        # Density of the partial sum among paths that have stayed inside, carried from look to look on Gauss nodes.
        edge = c * math.sqrt(information[0])
        here = edge * nodes
        density: NDArray[np.float64] = _density(here)
        inside = float(edge * weights @ density)
        for earlier, later in pairwise(information):
            step = math.sqrt(later - earlier)
            target_edge = c * math.sqrt(later)
            there = target_edge * nodes
            kernel = _density((there[:, np.newaxis] - here) / step) / step
            density = kernel @ (edge * weights * density)
            here, edge = there, target_edge
            inside = float(edge * weights @ density)
        return inside

    one, all_looks = -ndtri((1.0 - level) / 2.0), -ndtri((1.0 - level) / (2.0 * len(looks)))
    if len(looks) == 1:
        return float(one)
    from scipy.optimize import brentq

    return float(brentq(lambda c: staying(c) - level, one - 1e-9, all_looks + 1e-9, xtol=1e-10))


def _precision(estimate: Estimate) -> float:
    if not estimate.proportion:
        return estimate.mcse
    smoothed = (estimate.value * estimate.n + _Z**2 / 2.0) / (estimate.n + _Z**2)
    return math.sqrt(smoothed * (1.0 - smoothed) / (estimate.n + _Z**2))


def _interval(estimate: Estimate, critical_value: float) -> tuple[float, float]:
    return estimate.interval(1.0 - 2.0 * float(ndtr(-critical_value)))


def run_until(
    study: Study,
    store_path: str | os.PathLike[str],
    rule: PrecisionRule,
    *,
    on_look: Callable[[int, tuple[Monitored, ...]], None] | None = None,
    **options: Unpack[RunOptions],
) -> SequentialResult:
    """Extend a study look by look until the rule stops it.

    Parameters
    ----------
    study : Study
        ``study.replications`` is not used; the looks are.
    store_path : path-like
    rule : PrecisionRule
    on_look : callable, optional
        Called with the number of replications and the monitored summaries at every look.
    **options
        For :func:`simulations.engine.executor.run_study`.

    Returns
    -------
    SequentialResult

    Raises
    ------
    ValueError
        A measure whose metrics no cell has; nothing would ever stop the run but the budget.
    """
    critical_value = repeated_critical_value(rule.looks, rule.level)
    for look in rule.looks:
        present = replace(study, replications=look)
        report = run_study(present, store_path, **options)
        if report.missing:
            return SequentialResult(present, False, (), critical_value, report)
        with Store(store_path, present) as store:
            found = tuple(summaries_of(store, list(rule.targets)))
        absent = [m.label for m in rule.targets if not any(s.measure == m for s in found)]
        if absent:
            raise ValueError(f"monitored measure {absent[0]!r}: no cell has its metrics; check the names")
        monitored = tuple(
            Monitored(s, rule.targets[s.measure], _precision(s.estimate), *_interval(s.estimate, critical_value))
            for s in found
        )
        if on_look is not None:
            on_look(look, monitored)
        reached = all(m.reached for m in monitored)
        if reached:
            break
    return SequentialResult(present, reached, monitored, critical_value, report)
