"""Programs (E) and (N) with noise: a span that turns by Newton steps, and small problems inside it.

The span U of L has far fewer columns than a block.  In turn the problem inside it is solved (``coefficients``), and U
moves until P = P_⊥Qzᵀ vanishes, Q the dual point.  Passes over the stack are two thin products a turn, one Gram matrix
of Q at the beginning, and the certificate at the end.  Directions in which ‖Q‖_op exceeds its bound join, those in
which L vanishes leave.  Nothing is promised: where the point is not certified, or blocks are fitted to rounding (no
noise), the caller goes on with a solver that works on the stack itself (docs/derivations/programs.md, section 8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from clair_stats.decomposition.problem import Problem, tall_norms
from clair_stats.decomposition.solvers.coefficients import Fit, settle
from clair_stats.decomposition.solvers.grams import Grams
from clair_stats.decomposition.solvers.points import Accept, SolverPoint
from clair_stats.records import FloatArray

__all__ = ["Followed", "Spectrum", "dual_spectrum", "empty_fit", "follow_span", "solve_span", "span_point"]

_TURNS = 20
_ROUNDS = 500  # of the small problems, all together
_VERDICTS = 4  # certificates paid for before giving up
_REFRESH = 3  # turns after which the spectrum of the dual point is taken again
_FIRST = 1e-2  # accuracy inside the first span, which is about to turn
_EMPTY = 1e-3  # accuracy of the robust centre from which the first span is read
_INSIDE = 0.5  # share of the tolerance left to the problem inside the span
_GAP = 1.0  # and to the turn that is still to be made, whose excess counts half (a norm for its square)
_NEAR = 0.999  # eigenvalues of P_⊥QQᵀP_⊥ count as at most this part of their bound where differences are divided by
_EXCESS = 1e-7  # relative excess of an eigenvalue over its bound from which on its direction joins
_SMALLEST = 1e-2  # size with which a direction joins at least, in units of τ over the mean weight
# Where the stack would have to be copied, this many numbers are worked on at a time: they stay in the cache and, below
# 128 KiB, in memory that the process has already (a fresh stack costs more page faults than arithmetic).
_CHUNK = 1 << 14


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues and eigenvectors of P_⊥QQᵀP_⊥, ascending; a snapshot, used as a preconditioner afterwards."""

    values: FloatArray  # (p,)
    vectors: FloatArray  # (p, p)


@dataclass(frozen=True, eq=False)
class Followed:
    """Where the optimality conditions hold."""

    fit: Fit
    spectrum: Spectrum
    n_rounds: int


@dataclass(frozen=True, eq=False)
class _Start:
    basis: FloatArray  # (p, m)
    root: FloatArray  # (m, m), W
    norms: FloatArray  # (K,)


def solve_span(problem: Problem, *, tolerance: float, max_iterations: int, accept: Accept) -> SolverPoint | None:
    """A certified solution of (E) or (N), or None.

    Parameters
    ----------
    problem : Problem
        Of (E) or (N).
    tolerance : float
        Relative duality gap.
    max_iterations : int
        Rounds of the small problems, all together.
    accept : callable
        The certificate, asked once as a rule, four times at most.

    Returns
    -------
    SolverPoint or None
    """
    grams = Grams(problem)
    start = empty_fit(grams, tolerance=_EMPTY)
    if start is None or start.n_rounds > max_iterations:
        return None
    found: list[SolverPoint] = []

    def verify(fit: Fit) -> bool:
        found[:] = [span_point(grams, fit)]
        return accept(found[0]) <= tolerance

    spectrum = dual_spectrum(grams, start)
    followed = follow_span(
        grams, start, spectrum, tolerance=tolerance, max_rounds=max_iterations - start.n_rounds, verify=verify
    )
    if followed is None:
        return None
    return replace(found[0], n_iterations=start.n_rounds + followed.n_rounds)


def empty_fit(grams: Grams, *, tolerance: float) -> Fit | None:
    """The program with L = 0: a robust centre and the weights of the blocks about it.

    Parameters
    ----------
    grams : Grams
        Of the stack and its penalties.
    tolerance : float
        Largest relative step of a distance at which to stop.

    Returns
    -------
    Fit or None
        None as for :func:`~clair_stats.decomposition.solvers.coefficients.settle`.
    """
    p = grams.problem.tall.shape[2]
    if grams.problem.program == "E" and not grams.squared.all():
        return None  # S = 0 for such a block, and the distances of (E) must not vanish
    return settle(grams, np.zeros((p, 0)), np.zeros((0, 0)), grams.norms, tolerance=tolerance)


def follow_span(
    grams: Grams,
    fit: Fit,
    spectrum: Spectrum,
    *,
    tolerance: float,
    max_rounds: int = _ROUNDS,
    verify: Callable[[Fit], bool] | None = None,
) -> Followed | None:
    """Turn, widen and narrow the span until the optimality conditions hold.

    Parameters
    ----------
    grams : Grams
        Of the stack and its penalties.
    fit : Fit
        Where to start: an empty span, or the solution of a neighbouring problem.
    spectrum : Spectrum
        Of the dual point at ``fit``.
    tolerance : float
        Relative, on the fixed point inside the span and on the operator norm of the dual point.
    max_rounds : int
        Rounds of the small problems, all together.
    verify : callable, optional
        Whether a fit that meets the tolerance by its own estimate is accepted.  Without it the spectrum of its dual
        point decides: nothing may exceed the bound.

    Returns
    -------
    Followed or None
        None after 20 turns or ``max_rounds``, where the span fills more than half of the rows, and where ``settle``
        gives up.
    """
    inside, verdicts, age, rounds = _INSIDE * tolerance, 0, 0, 0
    start, spectrum, _ = _widened(grams, fit, spectrum)
    for turn in range(_TURNS):
        if 2 * start.basis.shape[1] > start.basis.shape[0]:
            return None
        accuracy = inside if turn or fit.rank else max(inside, _FIRST)
        settled = settle(grams, start.basis, start.root, start.norms, tolerance=accuracy)
        if settled is None:
            return None
        fit, age, rounds = settled, age + 1, rounds + settled.n_rounds
        if rounds > max_rounds:
            return None
        if fit.leaving.any():
            staying = ~fit.leaving
            start = _Start(fit.basis[:, staying], np.diag(fit.sizes[staying]), fit.norms)
            continue
        tilt = _tilt(grams, fit)
        arrived = _excess(grams, fit, spectrum, tilt) <= _GAP * tolerance and fit.error <= inside
        if arrived and verify is not None:
            if verify(fit):
                return Followed(fit, spectrum, rounds)
            verdicts += 1
            if verdicts == _VERDICTS:
                return None
        if arrived or age > _REFRESH:
            age = 0
            start, spectrum, n_joined = _widened(grams, fit, dual_spectrum(grams, fit))
            if n_joined:
                continue
            if arrived and verify is None:
                return Followed(fit, spectrum, rounds)
            inside *= 0.1 if arrived else 1.0
        start = _turned(grams, fit, spectrum, tilt)
    return None


def dual_spectrum(grams: Grams, fit: Fit) -> Spectrum:
    """Spectrum of Q off the span, Q_k = a_k(X_k − M − L_k).

    Parameters
    ----------
    grams : Grams
        Of the stack and its penalties.
    fit : Fit
        Where Q is taken.

    Returns
    -------
    Spectrum
    """
    basis = fit.basis
    gram = grams.weighted_scatter(fit.weights) if "scatters" in vars(grams) else _scatter(grams, fit.weights)
    if fit.rank:
        gram -= basis @ (basis.T @ gram)
        gram -= (gram @ basis) @ basis.T
    values, vectors = np.linalg.eigh(gram)
    return Spectrum(np.maximum(values, 0.0), vectors)


def _scatter(grams: Grams, weights: FloatArray) -> FloatArray:
    """Σ_k a_k²(X_k − M)^T(X_k − M) about the weighted mean M, (p, p), from the stack."""
    tall = grams.problem.tall
    n_clients, q, p = tall.shape
    centre = grams.centre(weights)
    gram = np.zeros((p, p))
    width = max(-(-4 * p // q), _CHUNK // (q * p))  # at least 4p rows, or adding up the Gram matrices would dominate
    for first in range(0, n_clients, width):
        part = tall[first : first + width] - centre
        part *= weights[first : first + width, None, None]
        flat = part.reshape(-1, p)
        gram += flat.T @ flat
    return gram


@np.errstate(over="ignore")  # of weights of blocks that are fitted to rounding
def span_point(grams: Grams, fit: Fit) -> SolverPoint:
    """The full point and its dual candidate.

    Parameters
    ----------
    grams : Grams
        Of the stack and its penalties.
    fit : Fit
        The solution inside its span.

    Returns
    -------
    SolverPoint
    """
    problem, basis = grams.problem, fit.basis
    tall = problem.tall
    low_rank = (fit.coefficients.reshape(fit.rank, len(grams.rows)).T @ basis.T).reshape(tall.shape)
    centre = grams.centre(fit.weights)
    common = centre - (centre @ basis - fit.mean.T) @ basis.T
    left_over = tall - low_rank
    if problem.common_component:
        left_over -= common
    weights = grams.weights(np.maximum(tall_norms(left_over), np.finfo(np.float64).tiny))
    dual = left_over * weights[:, None, None]
    if problem.program == "N":
        left_over *= (1.0 - weights)[:, None, None]
        left_over[weights == 1.0] = 0.0
    return SolverPoint(common, low_rank, left_over, dual, fit.n_rounds, "span")


def _tilt(grams: Grams, fit: Fit) -> FloatArray:
    """P = P_⊥Qzᵀ, shape (p, m).  With z about its weighted mean the common component drops out."""
    weighted = fit.coefficients
    if grams.problem.common_component:
        weighted = weighted - _centres(fit)[:, None, :]
    weighted = weighted * fit.weights[:, None]
    # In this order: the other takes half as long again for a few long rows.
    tilt: FloatArray = (weighted.reshape(fit.rank, len(grams.rows)) @ grams.rows).T
    tilt -= fit.basis @ (fit.basis.T @ tilt)
    return tilt


def _centres(fit: Fit) -> FloatArray:
    """Σ_k a_kz_k/Σ_k a_k, shape (m, q)."""
    return np.asarray((fit.weights / fit.weights.sum()) @ fit.coefficients, dtype=np.float64)


def _excess(grams: Grams, fit: Fit, spectrum: Spectrum, tilt: FloatArray) -> float:
    """Relative excess of ‖Q‖_op² over τ² that the tilt leaves.

    Q = τU polar(z) + E with E polar(z)ᵀ = PW⁻¹: the largest eigenvalue of QQᵀ is τ² + τ²‖(τ² − EEᵀ)^{-1/2}PW⁻¹‖²/τ² to
    second order.
    """
    if not fit.rank:
        return 0.0
    squared = grams.problem.operator_bound**2
    room = squared - np.minimum(spectrum.values, _NEAR * squared)
    seen = (spectrum.vectors.T @ tilt) / fit.sizes / np.sqrt(room)[:, None]
    return float(np.linalg.eigvalsh(seen.T @ seen)[-1])


def _widened(grams: Grams, fit: Fit, spectrum: Spectrum) -> tuple[_Start, Spectrum, int]:
    """The span with the directions in which the dual point exceeds its bound, and their number."""
    bound = grams.problem.operator_bound
    joining = spectrum.values > bound**2 * (1.0 + _EXCESS)
    start = _Start(fit.basis, np.diag(fit.sizes), fit.norms)
    if not joining.any():
        return start, spectrum, 0
    excess = np.sqrt(spectrum.values[joining]) - bound
    joined = np.maximum(excess, _SMALLEST * bound) / float(np.average(fit.weights, weights=fit.weights))
    basis, _ = np.linalg.qr(np.hstack([fit.basis, spectrum.vectors[:, joining]]))
    start = _Start(basis, np.diag(np.concatenate([fit.sizes, joined])), fit.norms)
    return start, Spectrum(np.where(joining, 0.0, spectrum.values), spectrum.vectors), int(joining.sum())


def _turned(grams: Grams, fit: Fit, spectrum: Spectrum, tilt: FloatArray) -> _Start:
    """Newton's step of the span, with the spectrum of the dual point for what the span does not see.

    With equal weights a the Hessian in column j is (h_j − β w_j/(aw_j + τ)) along an eigenvector of P_⊥QQᵀP_⊥ with
    eigenvalue β, h_j = Σ a_k‖z̃_kj‖² + τw_j (docs/derivations/programs.md, section 8).
    """
    tau = grams.problem.operator_bound
    weights, shrinkage, sizes = fit.weights, fit.shrinkage, fit.sizes
    curvature = fit.energies @ weights + tau * sizes
    if grams.problem.common_component:
        centres = _centres(fit)
        curvature -= weights.sum() * np.einsum("mq,mq->m", centres, centres)
    mean_weight = (shrinkage @ weights) / shrinkage.sum(axis=1)
    values = np.minimum(spectrum.values, _NEAR * tau * tau)
    step = spectrum.vectors @ (
        (spectrum.vectors.T @ tilt) / (curvature - np.outer(values, sizes / (mean_weight * sizes + tau)))
    )
    step -= fit.basis @ (fit.basis.T @ step)
    basis, turn = np.linalg.qr(fit.basis + step)
    return _Start(basis, (turn * sizes) @ turn.T, fit.norms)
