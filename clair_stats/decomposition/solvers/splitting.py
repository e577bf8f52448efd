"""Over-relaxed operator splitting (ADMM): the engine of (E), and of (B) and (N) with another second step.

The two blocks are Z = 1ᵀ⊗M + L and the pair (S, N), N being what (B) and (N) may leave over (0 for (E)).  The second
proximal step only rescales blocks, whatever the program: if Y is its argument then S_k = f_k·Y_k, S_k + N_k = g_k·Y_k,
and the scaled dual variable is U_k = (1 − g_k)·Y_k.  So the whole state is one stack Y and K factors, and a step is

    A = X − (S + N) + U = X + (1 − 2g)·Y,     Z = prox of ‖·(I − Π)‖_*/ρ at A,     Y ← α(X − Z) + (1 − αg)·Y,

five passes over memory and one (partial) thresholding.  No assumption on the data is made: this is what every faster
path falls back to.

Derived in docs/derivations/programs.md, section 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy.linalg.blas import daxpy, dgemm

from clair_stats.decomposition.problem import Problem, tall_norms
from clair_stats.decomposition.solvers.points import Accept, SolverPoint, WarmStart
from clair_stats.decomposition.solvers.spectrum import LeadingPart, SpectrumTracker
from clair_stats.records import BoolArray, FloatArray

__all__ = ["SecondStep", "SplittingState", "exact_step", "solve_splitting"]

# (block norms of Y, ρ) -> (f, g): S = f·Y and S + N = g·Y.
SecondStep: TypeAlias = Callable[[FloatArray, float], tuple[FloatArray, FloatArray]]
# (support of S, basis of L) -> a better point, or None: a finish that guesses the answer from what has settled.
Finish: TypeAlias = Callable[[BoolArray, FloatArray, int], SolverPoint | None]

# Chosen on 24 instances (two shapes, with and without M, six contaminations): over-relaxation 1.6 with ρ = 2λ over the
# median block norm needs 18–35 iterations to a gap of 1e-6; 1.0 needs 18–59, 1.8 needs 17–62.
_RELAXATION = 1.6
_PENALTY_FACTOR = 2.0
# Up to this many rows the full Gram eigenproblem costs less than following a part of it.
_SMALL = 64
_EXTREME = 100.0
_BALANCE_AT = (12, 24, 40, 60, 90, 130, 200, 300, 500)


def exact_step(problem: Problem) -> SecondStep:
    """Second step of program (E): block soft thresholding, nothing left over.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    callable
        Block norms (K,) and ρ to the factors f and g, shape (K,), of S = fY and S + N = gY.
    """

    def factors(norms: FloatArray, rho: float) -> tuple[FloatArray, FloatArray]:
        with np.errstate(over="ignore"):  # a zero block: an infinite threshold is what is meant
            kept = np.maximum(1.0 - problem.penalties / (rho * np.maximum(norms, np.finfo(np.float64).tiny)), 0.0)
        return kept, kept

    return factors


def initial_penalty(problem: Problem, norms: FloatArray) -> float:
    """ρ = 2 median(λ_k)/median block norm of the (centred) stack: thresholds on the scale of the blocks.

    Parameters
    ----------
    problem : Problem
    norms : ndarray, shape (K,)
        Block norms, scale of the estimates.

    Returns
    -------
    float
        ρ.
    """
    typical = float(np.median(norms))
    if typical <= 1e-12 * float(norms.max()):
        typical = float(norms.max()) or 1.0
    return _PENALTY_FACTOR * float(np.median(problem.penalties)) / typical


def solve_splitting(
    problem: Problem,
    *,
    tolerance: float,
    max_iterations: int,
    accept: Accept,
    second_step: SecondStep | None = None,
    warm_start: WarmStart | None = None,
    finish: Finish | None = None,
    partial_spectrum: bool = True,
    method: str = "splitting",
) -> SolverPoint:
    """Iterate until ``accept`` certifies a relative gap of at most ``tolerance``.

    Parameters
    ----------
    problem : Problem
    tolerance : float
        Relative duality gap.
    max_iterations : int
    accept : callable
        The certificate; returns the relative gap of the point it is shown.
    second_step : callable, optional
        :func:`exact_step` by default.
    warm_start : WarmStart, optional
    finish : callable, optional
        Called when the support of S and the rank of L have not changed for two iterations.
    partial_spectrum : bool
        Follow the leading spectrum instead of computing all of it; False is the plain version.
    method : str
        Name given to the points.

    Returns
    -------
    SolverPoint
        The last point shown to ``accept``; its constraint holds exactly (L is X − S − N without its mean block).
    """
    state = SplittingState(problem, second_step or exact_step(problem), partial_spectrum, method)
    if warm_start is not None:
        state.start_from(warm_start)
    next_check = 8
    settled: tuple[int, bytes] | None = None
    tried: set[tuple[int, bytes]] = set()
    point: SolverPoint | None = None
    for iteration in range(1, max_iterations + 1):
        checking = iteration >= next_check or iteration == max_iterations
        leading = state.step(keep_dual=checking)
        if finish is not None and len(tried) < 4:
            now = (leading.rank, (state.f > 0).tobytes())
            if now == settled and now not in tried and leading.rank:
                tried.add(now)
                better = finish(state.f > 0, leading.basis, iteration)
                if better is not None and accept(better) <= tolerance:
                    return better
            settled = now
        if checking:
            gap, size = state.estimate()
            target = tolerance * state.value
            if max(gap, size) <= target or iteration == max_iterations:
                point = state.point(iteration)
                achieved = accept(point)
                if achieved <= tolerance:
                    return point
                state.tracker.distrust()
                next_check = iteration + int(np.clip(3.0 * np.log(achieved / tolerance), 2, 25))
            else:
                # error falls by about 0.65 a step near the end, so log(excess)/0.43 steps are missing
                missing = np.log(max(gap, size, target) / target) / 0.5 if target > 0 else 25
                next_check = iteration + int(np.clip(0.7 * missing, 2, 25))
            if any(iteration >= b > iteration - 3 for b in _BALANCE_AT):
                state.balance()
    assert point is not None
    return point


class SplittingState:
    """The stack Y, its factors, and the work arrays of one run."""

    def __init__(
        self,
        problem: Problem,
        second_step: SecondStep,
        partial: bool,
        method: str,
        work: FloatArray | None = None,
    ) -> None:
        self.problem, self.second_step, self.method = problem, second_step, method
        self.x = problem.tall
        self.norms = tall_norms(self.x)
        self.rho = initial_penalty(problem, self.norms)
        # Every stack is allocated once: at 40 × 1200 the page faults of a fresh one cost ten times its arithmetic.
        self.y: FloatArray | None = None  # None until the first step, where Y = 0
        self.a = np.empty_like(self.x) if work is None else work
        self.argument = self.a
        self.f = np.zeros(len(self.x))
        self.g = np.zeros(len(self.x))
        self.tracker = SpectrumTracker(
            centred=problem.common_component, partial=partial and problem.tall.shape[2] > _SMALL
        )
        self.dual: FloatArray | None = None
        self.value = 1.0

        outlying = self.norms > _EXTREME * float(np.median(self.norms))
        if outlying.any() and not outlying.all() and not problem.common_component:
            # A block moves by about λ/ρ a step, so one that is 1e9 times the others would take 1e9 steps to get to S.
            threshold = problem.penalties[outlying] / self.rho
            self.y = np.zeros_like(self.x)
            self.y[outlying] = self.x[outlying] * (1.0 - threshold / self.norms[outlying])[:, None, None]
            self._second()

    def start_from(self, warm_start: WarmStart) -> None:
        """Start from S and the dual point of a neighbouring problem.

        Parameters
        ----------
        warm_start : WarmStart
        """
        self.y = warm_start.block_sparse + warm_start.dual / self.rho
        self._second()

    def _second(self) -> None:
        assert self.y is not None
        self.norms = tall_norms(self.y)
        self.f, self.g = self.second_step(self.norms, self.rho)

    def first_step(self) -> tuple[LeadingPart, FloatArray | None]:
        """Threshold A = X − (S + N) + U; returns the leading part and the mean block of A.

        Returns
        -------
        tuple of LeadingPart and ndarray, shape (q, p), or None
            The mean block is None when M = 0.
        """
        y = self.y
        a = self.argument = self.x if y is None else self.a
        if y is not None:
            np.multiply(y, (1.0 - 2.0 * self.g)[:, None, None], out=a)
            a += self.x
        mean = a.mean(axis=0) if self.problem.common_component else None
        return self.tracker.threshold(a, mean, 1.0 / self.rho), mean

    def dual_candidate(self, leading: LeadingPart, mean: FloatArray | None) -> FloatArray:
        """ρ(A − Z): operator norm at most 1 and, with M free, mean block 0.

        Parameters
        ----------
        leading : LeadingPart
        mean : ndarray, shape (q, p), or None

        Returns
        -------
        ndarray, shape (K, q, p)
        """
        dual = self.argument.copy() if mean is None else self.argument - mean
        flat = dual.reshape(-1, dual.shape[2])
        _subtract_product(flat, leading.scaled_left(self.rho), leading.basis, self.rho)
        return dual

    def advance(self, *, keep_dual: bool) -> LeadingPart:
        """First step and relaxation; Y is then the argument of the second step.

        Parameters
        ----------
        keep_dual : bool
            Whether to form the dual candidate of this step, which costs a product of the size of the stack.

        Returns
        -------
        LeadingPart
        """
        leading, mean = self.first_step()
        y = self.y
        if keep_dual:
            self.dual = self.dual_candidate(leading, mean)
            self.y_old, self.g_old = np.zeros_like(self.x) if y is None else y.copy(), self.g
        if y is None:
            y = self.y = _RELAXATION * self.x
        else:
            y *= (1.0 - _RELAXATION * self.g)[:, None, None]
            daxpy(self.x.ravel(), y.ravel(), a=_RELAXATION)  # in place, both contiguous
        if mean is not None:
            y -= _RELAXATION * mean
        flat = y.reshape(-1, y.shape[2])
        _subtract_product(flat, leading.scaled_left(_RELAXATION), leading.basis)
        return leading

    def step(self, *, keep_dual: bool) -> LeadingPart:
        """One full step of a single problem.

        Parameters
        ----------
        keep_dual : bool
            As for :meth:`advance`.

        Returns
        -------
        LeadingPart
        """
        leading = self.advance(keep_dual=keep_dual)
        self._second()
        self.value = leading.nuclear_norm + float(self.problem.penalties @ (self.f * self.norms))
        return leading

    def estimate(self) -> tuple[float, float]:
        """First-order estimate of the gap, and the size of the primal step, both on the scale of the objective.

        Returns
        -------
        tuple of float
            Gap and step.
        """
        assert self.dual is not None
        assert self.y is not None
        problem = self.problem
        scale = 1.0 / max(1.0, float((tall_norms(self.dual) / problem.penalties).max()))
        inner = np.einsum("kqp,kqp->k", self.dual, self.y)
        misfit = float(np.abs(problem.penalties * self.f * self.norms - self.f * inner).sum())
        if problem.noise_radius:
            misfit += abs(problem.noise_radius * float(np.linalg.norm(self.dual)) - float((self.g - self.f) @ inner))
        self.y_old *= (1.0 - self.g_old)[:, None, None]
        self.primal_change = float(np.linalg.norm(self.dual / self.rho - self.y_old))  # X − Z − (S + N)
        kept = self.g_old / np.where(self.g_old < 1.0, 1.0 - self.g_old, 1.0)
        self.y_old *= kept[:, None, None]
        self.dual_change = float(np.linalg.norm(self.g[:, None, None] * self.y - self.y_old))
        return misfit + (1.0 - scale) * abs(self.value), self.primal_change

    def point(self, iteration: int, dual: FloatArray | None = None) -> SolverPoint:
        """Primal point whose constraint holds exactly, with the kept dual candidate or another one.

        Parameters
        ----------
        iteration : int
        dual : ndarray, shape (K, q, p), optional
            In the place of the dual candidate of the last step that kept one.

        Returns
        -------
        SolverPoint
        """
        assert self.y is not None
        low_rank = self.x - self.g[:, None, None] * self.y
        sparse = self.f[:, None, None] * self.y
        sparse[self.f == 0.0] = 0.0
        common = np.zeros(self.x.shape[1:])
        if self.problem.common_component:
            common = low_rank.mean(axis=0)
            low_rank -= common
        candidate = self.dual if dual is None else dual
        assert candidate is not None
        return SolverPoint(common, low_rank, sparse, candidate, iteration, self.method)

    def balance(self) -> None:
        """Move ρ when primal and dual steps are more than a factor of five apart."""
        if self.y is None or not (self.primal_change > 0.0 and self.dual_change > 0.0):
            return
        ratio = self.primal_change / self.dual_change
        if 0.2 < ratio < 5.0:
            return
        self.change_penalty(float(np.clip(np.sqrt(ratio), 0.4, 2.5)))
        self._second()

    def change_penalty(self, factor: float) -> None:
        """Multiply ρ, keeping S + N and the dual variable; the second step is then due again.

        Parameters
        ----------
        factor : float
            Positive.
        """
        assert self.y is not None
        self.y *= (self.g + (1.0 - self.g) / factor)[:, None, None]
        self.rho *= factor


def _subtract_product(target: FloatArray, left: FloatArray, basis: FloatArray, scale: float = 1.0) -> None:
    """Target ← scale·target − left·basisᵀ in place, for a C-contiguous target."""
    if left.shape[1] == 0:
        target *= scale
        return
    dgemm(-1.0, basis, left.T, beta=scale, c=target.T, overwrite_c=True)
