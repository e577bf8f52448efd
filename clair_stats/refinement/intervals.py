"""Confidence intervals about an estimate whose error has a known normal law given the data, or a mixture of such.

The half-width h about the estimate solves P(|b + √v N| > h) = tail: b and v are mean and variance of the estimate's
error given the data (clair_stats/refinement/given_data.py, docs/derivations/intervals.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from clair_stats.records import FloatArray

__all__ = ["ErrorLaw", "Intervals", "about", "joined", "normal_intervals", "swapped"]

_ROUNDS = 60  # of Newton's method inside a bracket; six to eight are taken
_CLOSE = 1e-11  # of the half-width
_ROOT_TWO_PI = float(np.sqrt(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class Intervals:
    """Estimates with the ends of their confidence intervals; all arrays of one shape."""

    estimate: FloatArray
    standard_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray  # of "it is 0": below 1 − level exactly where the interval leaves 0 out
    level: float
    simultaneous: bool  # whether all intervals hold together at the level, or each by itself


@dataclass(frozen=True, eq=False)
class ErrorLaw:
    """A mixture of T normal laws of the errors of estimates of one shape, the T components along the first axis."""

    bias: FloatArray  # (T, …), b
    variance: FloatArray  # (T, …), v
    weights: FloatArray  # (T,), of sum 1

    @property
    def standard_error(self) -> FloatArray:
        """Root of the mean squared error."""
        return np.asarray(np.sqrt(np.tensordot(self.weights, self.bias**2 + self.variance, axes=1)))

    def part(self, components: slice, weights: FloatArray | None = None) -> ErrorLaw:
        """Some of the components, with other weights.

        Parameters
        ----------
        components : slice
        weights : ndarray, shape (T',), optional
            Of sum 1; by default equal ones.

        Returns
        -------
        ErrorLaw
        """
        bias = self.bias[components]
        equal = np.full(len(bias), 1.0 / max(len(bias), 1))
        return ErrorLaw(bias, self.variance[components], equal if weights is None else weights)

    def widest(self) -> ErrorLaw:
        """One normal law of the largest |b| and the largest v: no symmetric interval misses more under a component.

        Returns
        -------
        ErrorLaw
        """
        bias, variance = (np.max(part, axis=0, keepdims=True) for part in (np.abs(self.bias), self.variance))
        return ErrorLaw(bias, variance, np.ones(1))

    def tail(self, size: FloatArray) -> FloatArray:
        """P(|error| ≥ size).

        Parameters
        ----------
        size : ndarray, shape (…)
            Of the shape of the estimates.

        Returns
        -------
        ndarray
        """
        outside = np.minimum(sum(ndtr(end) for end in self._ends(size)), 1.0)
        return np.asarray(np.tensordot(self.weights, outside, axes=1))

    def half_width(self, tail: float) -> FloatArray:
        """h with P(|error| > h) = ``tail``, by Newton's method on its logarithm.

        Parameters
        ----------
        tail : float
            In (0, 1).

        Returns
        -------
        ndarray
            Of the shape of the estimates.
        """
        deviation = np.sqrt(self.variance)
        # P(|b + √v N| > |b| + z√v) is at most the tail, and under one component at least it is at least that at z√v.
        spread = -float(ndtri(tail / 2.0)) * deviation
        low, high = spread.min(axis=0), np.max(np.abs(self.bias) + spread, axis=0)
        found = high
        for _ in range(_ROUNDS):
            if not (high - low > _CLOSE * high).any():
                break
            outside = self.tail(found)
            low, high = np.where(outside > tail, found, low), np.where(outside > tail, high, found)
            with np.errstate(divide="ignore", invalid="ignore"):
                density = sum(np.exp(-0.5 * end**2) / deviation for end in self._ends(found)) / _ROOT_TWO_PI
                slope = np.tensordot(self.weights, np.where(deviation > 0, density, 0.0), axes=1)
                step = found + np.log(outside / tail) * outside / slope
            inside = (step >= low) & (step <= high)
            moved = np.where(inside, step, (low + high) / 2.0)
            if (np.abs(moved - found) <= _CLOSE * high).all():
                return np.asarray(moved)
            found = moved
        return np.asarray(high)

    def _ends(self, size: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(b − size)/√v and −(b + size)/√v; without variance −∞ where size is beyond |b|, else ∞."""
        deviation = np.sqrt(self.variance)
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = (np.asarray((sign * self.bias - size) / deviation) for sign in (1.0, -1.0))
            above, below = (np.where(np.isnan(end), np.inf, end) for end in ends)
        return above, below


def about(estimate: FloatArray, law: ErrorLaw, level: float, *, among: int = 1, spent: float = 0.0) -> Intervals:
    """Intervals about estimates with errors of the given law, together by Bonferroni's inequality.

    Parameters
    ----------
    estimate : ndarray, shape (…)
    law : ErrorLaw
        Its components have the shape of the estimate.
    level : float
        Confidence, in (0, 1).
    among : int
        How many intervals, these and others, are to hold together.
    spent : float
        What part of 1 − level has been spent on limits for what the law depends on.

    Returns
    -------
    Intervals
    """
    half = law.half_width((1.0 - level - spent) / among)
    p_value = np.minimum(spent + among * law.tail(np.abs(estimate)), 1.0)
    return Intervals(estimate, law.standard_error, estimate - half, estimate + half, p_value, level, among > 1)


def joined(found: Sequence[Intervals], level: float, *, simultaneous: bool) -> Intervals:
    """Intervals of several groups of clients as one, the clients along the first axis.

    Parameters
    ----------
    found : sequence of Intervals
    level : float
    simultaneous : bool

    Returns
    -------
    Intervals
    """
    names = ("estimate", "standard_error", "lower", "upper", "p_value")
    estimate, error, lower, upper, p_value = (np.concatenate([getattr(one, name) for one in found]) for name in names)
    return Intervals(estimate, error, lower, upper, p_value, level, simultaneous)


def normal_intervals(estimate: FloatArray, error: FloatArray, level: float, *, simultaneous: bool) -> Intervals:
    """Estimate ± z × standard error; together by Šidák's inequality, which holds for any correlation of normal errors.

    Parameters
    ----------
    estimate, error : array, one shape
    level : float
        Confidence, in (0, 1).
    simultaneous : bool

    Returns
    -------
    Intervals
    """
    each = level ** (1.0 / estimate.size) if simultaneous else level
    half = -float(ndtri((1.0 - each) / 2.0)) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = 2.0 * ndtr(-np.abs(estimate) / error)
        if simultaneous:
            p_value = -np.expm1(estimate.size * np.log1p(-p_value))
    return Intervals(estimate, error, estimate - half, estimate + half, np.asarray(p_value), level, simultaneous)


def swapped(found: Intervals) -> Intervals:
    """The last two axes of every array exchanged.

    Parameters
    ----------
    found : Intervals

    Returns
    -------
    Intervals
    """
    estimate, error, lower, upper, p_value = (
        np.ascontiguousarray(np.swapaxes(part, -1, -2))
        for part in (found.estimate, found.standard_error, found.lower, found.upper, found.p_value)
    )
    return Intervals(estimate, error, lower, upper, p_value, found.level, found.simultaneous)
