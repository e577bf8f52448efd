"""How far each client moves the average, and what was done to keep that within bounds.

A client that is altered inside the subspace that all share is benign by definition (docs/limits.md), and its number of
examples is what it states itself.  Neither is contamination; but who has been bounded is named, and why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clair_stats.adapters.report import AdapterReport
from clair_stats.federation.weights import bounded_shares, capped_weights, usual_examples
from clair_stats.records import FloatArray

__all__ = ["Influence", "influence_of", "with_influence"]


@dataclass(frozen=True, eq=False)
class Influence:
    """The members of one round."""

    weights: FloatArray  # (n,), sum to 1
    shares: FloatArray  # (n,), share of each step that enters the average
    moved: FloatArray  # (n,), how far each moves the average, in units of the median member
    reasons: tuple[str, ...]  # what was bounded; empty where nothing was


def influence_of(n_examples: Sequence[float], sizes: FloatArray, *, cap: float) -> Influence:
    """Weights, shares of steps, and what they bounded.

    Parameters
    ----------
    n_examples : sequence of n float
        As the members state them.
    sizes : ndarray, shape (n,)
        s_k, Frobenius norm of each member's step over all modules.
    cap : float
        A member counts for at most this many times the median one.

    Returns
    -------
    Influence

    Raises
    ------
    ValueError
        For a cap below 1.
    """
    weights = capped_weights(n_examples, cap=cap)
    shares = bounded_shares(weights, sizes)
    reached = weights * sizes
    usual = float(np.median(reached))
    median = usual_examples(n_examples)
    reasons = []
    for examples, share in zip(n_examples, shares, strict=True):
        told = []
        if np.isfinite(examples) and examples > cap * median:
            told.append(f"states {examples:.3g} examples, {examples / median:.2g} times the median: counts for {cap:g}")
        if share < 1.0:
            told.append(f"its step reaches further than twice the median one: {share:.2g} of it enters the average")
        reasons.append("; ".join(told))
    moved = reached * shares / usual if usual > 0.0 else np.ones(len(reached))
    return Influence(weights, shares, moved, tuple(reasons))


def with_influence(report: AdapterReport, names: Sequence[str], found: Influence) -> AdapterReport:
    """The report with the influence of every member; who was bounded is "capped" in place of "benign".

    Parameters
    ----------
    report : AdapterReport
    names : sequence of n str
        Of the members.
    found : Influence

    Returns
    -------
    AdapterReport
    """
    by_name: Mapping[str, tuple[float, str]] = dict(
        zip(names, zip(found.moved.tolist(), found.reasons, strict=True), strict=True)
    )
    rows = []
    for row in report.rows:
        moved, told = by_name.get(row.name, (None, ""))
        verdict = "capped" if told and row.verdict == "benign" else row.verdict
        rows.append(replace(row, verdict=verdict, influence=moved, reason="; ".join(filter(None, (row.reason, told)))))
    capped = [name for name, told in zip(names, found.reasons, strict=True) if told]
    explanation = report.explanation + (f"; influence capped: {', '.join(capped)}" if capped else "")
    return replace(report, rows=tuple(rows), explanation=explanation)
