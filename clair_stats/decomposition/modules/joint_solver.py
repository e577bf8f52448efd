"""The joint program of several modules: splitting with one second step for all, and the identified finish.

Σ_m ‖L^(m)‖_* + λ Σ_k (Σ_m ‖S_k^(m)‖_F²)^{1/2} (theory.md section 6) couples the modules through K block norms only, so
every step is the step of each module by itself, with common factors f_k, g_k from the joint norms.  Modules are visited
one after the other; what stays in memory between visits is X and Y, and on the identified path X alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from clair_stats.decomposition.certificate import JointCertificate, certify_modules
from clair_stats.decomposition.problem import Problem, tall_norms
from clair_stats.decomposition.solvers.identification import Structure, lift, reduced_solution, structure_of
from clair_stats.decomposition.solvers.noise_ball import ball_step
from clair_stats.decomposition.solvers.points import SolverPoint
from clair_stats.decomposition.solvers.sketch import sketched_problem, worth_sketching
from clair_stats.decomposition.solvers.splitting import SecondStep, SplittingState, exact_step, initial_penalty
from clair_stats.records import BoolArray, FloatArray

__all__ = ["JointPoint", "quadratic_step", "solve_modules"]

_SKETCH_STEPS = 16
_FIRST_CHECK = 16
_CHECK_EVERY = 8


@dataclass(frozen=True, eq=False)
class JointPoint:
    """A point of the joint program; modules are built when asked for, by ``module(number)``."""

    module: Callable[[int], SolverPoint]
    certificate: JointCertificate
    n_iterations: int
    method: str


@dataclass(eq=False)
class _Settling:
    """Support and ranks seen so far; says when the same ones came twice and have not been tried."""

    last: tuple[object, ...] = ()
    tried: set[tuple[object, ...]] = field(default_factory=set)

    def ready(self, support: BoolArray, ranks: tuple[int, ...]) -> bool:
        now = (support.tobytes(), ranks)
        settled = now == self.last and now not in self.tried and len(self.tried) < 4 and min(ranks) > 0
        self.last = now
        if settled:
            self.tried.add(now)
        return settled


def quadratic_step(problem: Problem) -> SecondStep:
    """Second step of (N), everything divided by τ: T_k = Y_k·min(1/(1 + ρτ), λ_k/(ρ‖Y_k‖_F)), N = ρτ·T.

    Parameters
    ----------
    problem : Problem
        Of program (N).

    Returns
    -------
    callable
        Block norms (K,) and ρ to the factors f and g, shape (K,), of S = fY and S + N = gY.
    """

    def factors(norms: FloatArray, rho: float) -> tuple[FloatArray, FloatArray]:
        free = 1.0 / (1.0 + rho * problem.noise_penalty)
        with np.errstate(divide="ignore"):
            capped = np.where(norms > 0.0, problem.penalties / (rho * norms), np.inf)
        sparse = np.where(capped < free, 1.0 - capped / free, 0.0)
        return sparse, 1.0 - np.minimum(free, capped)

    return factors


def solve_modules(problems: Sequence[Problem], *, tolerance: float, max_iterations: int) -> JointPoint:
    """Solve the joint program; the problems share penalties, noise penalty and radius.

    Parameters
    ----------
    problems : sequence of Problem
        One per module.
    tolerance : float
        Relative duality gap at which to stop.
    max_iterations : int

    Returns
    -------
    JointPoint
        The best point found, with its certificate.
    """
    if problems[0].program == "E":
        images = [sketched_problem(problem) if worth_sketching(problem) else problem for problem in problems]
        found = _identified(problems, images, tolerance=tolerance)
        if found is not None:
            return found
    return _splitting(problems, tolerance=tolerance, max_iterations=max_iterations)


def _second_step(problem: Problem) -> SecondStep:
    return {"E": exact_step, "B": ball_step, "N": quadratic_step}[problem.program](problem)


class _Ensemble:
    """The states of all modules, with one ρ and one set of factors."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = problems
        self.second_step = _second_step(problems[0])
        work: dict[tuple[int, ...], FloatArray] = {}  # one scratch stack per shape: modules are visited in turn
        self.states = [
            SplittingState(
                problem, self.second_step, True, "splitting", work.setdefault(problem.tall.shape, problem.tall * 0.0)
            )
            for problem in problems
        ]
        norms = np.sqrt(np.sum([state.norms**2 for state in self.states], axis=0))
        self._share_penalty(initial_penalty(problems[0], norms))
        self.f = np.zeros(len(norms))

    def _share_penalty(self, rho: float) -> None:
        for state in self.states:
            state.rho = rho

    def step(self) -> tuple[int, ...]:
        """One step of every module; returns the ranks."""
        ranks = tuple(state.advance(keep_dual=False).rank for state in self.states)
        squared = np.zeros(len(self.f))
        for state in self.states:
            assert state.y is not None
            squared += tall_norms(state.y) ** 2
        norms = np.sqrt(squared)
        self.f, g = self.second_step(norms, self.states[0].rho)
        for state in self.states:
            state.norms, state.f, state.g = norms, self.f, g
        return ranks

    def module(self, number: int, iteration: int) -> SolverPoint:
        """Primal point of one module now, with the dual candidate of its next step."""
        state = self.states[number]
        leading, mean = state.first_step()
        bound = state.problem.operator_bound
        dual = state.dual_candidate(leading, mean)
        point = state.point(iteration, dual * bound if bound != 1.0 else dual)
        if state.problem.program != "N":
            return point
        # For (N) no constraint binds, so the thresholded matrix itself, exactly of low rank, is the better part.
        low_rank = (leading.scaled_left() @ leading.basis.T).reshape(state.x.shape)
        common = np.zeros(state.x.shape[1:]) if mean is None else mean
        return SolverPoint(common, low_rank, point.block_sparse, point.dual_candidate, iteration, "splitting")


def _splitting(problems: Sequence[Problem], *, tolerance: float, max_iterations: int) -> JointPoint:
    ensemble = _Ensemble(problems)
    next_check = min(_FIRST_CHECK, max_iterations)
    for iteration in range(1, max_iterations + 1):
        ensemble.step()
        if iteration < next_check and iteration < max_iterations:
            continue

        def module(number: int, at: int = iteration) -> SolverPoint:
            return ensemble.module(number, at)

        certificate = certify_modules(problems, _parts(module))
        if certificate.relative_gap <= tolerance or iteration == max_iterations:
            return JointPoint(module, certificate, iteration, "splitting")
        excess = max(certificate.relative_gap / tolerance, 1.0)
        next_check = iteration + int(np.clip(2.0 * np.log(excess), 2, 4 * _CHECK_EVERY))
    raise AssertionError("unreachable: the last iteration returns")


def _identified(problems: Sequence[Problem], images: Sequence[Problem], *, tolerance: float) -> JointPoint | None:
    """Settle support and ranks on the images, finish on the modules, certify."""
    ensemble, settling = _Ensemble(images), _Settling()
    for iteration in range(1, _SKETCH_STEPS + 1):
        ranks = ensemble.step()
        support = ensemble.f > 0
        if not settling.ready(support, ranks):
            continue
        point = _finish(problems, support, ranks, iteration, tolerance=tolerance)
        if point is not None and point.certificate.relative_gap <= tolerance:
            return point
    return None


def _finish(
    problems: Sequence[Problem], support: BoolArray, ranks: tuple[int, ...], iteration: int, *, tolerance: float
) -> JointPoint | None:
    structures: list[Structure] = []
    for number, (problem, rank) in enumerate(zip(problems, ranks, strict=True)):
        start = np.random.default_rng((iteration, number)).standard_normal((problem.tall.shape[2], rank))
        structure = structure_of(problem, support, start)
        if structure is None:
            return None
        structures.append(structure)
    penalties = problems[0].penalties[support]
    squared = np.zeros(len(penalties))
    for structure in structures:
        squared += tall_norms(structure.off_span) ** 2
    shared = len(support) if problems[0].common_component else None
    solved = reduced_solution(structures, np.sqrt(squared), penalties, shared, tolerance=0.3 * tolerance)
    if solved is None:
        return None
    for structure, z in zip(structures, solved, strict=True):
        squared += tall_norms(structure.offered - z) ** 2
    ratios = penalties / np.sqrt(squared)

    def module(number: int) -> SolverPoint:
        point = lift(structures[number], solved[number], ratios, iteration)
        if point is None:
            raise np.linalg.LinAlgError("no dual point")
        return point

    try:
        return JointPoint(module, certify_modules(problems, _parts(module)), iteration, "identified")
    except np.linalg.LinAlgError:
        return None


def _parts(
    module: Callable[[int], SolverPoint],
) -> Callable[[int], tuple[FloatArray, FloatArray, FloatArray, FloatArray]]:
    def parts(number: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        point = module(number)
        return point.common, point.low_rank, point.block_sparse, point.dual_candidate

    return parts
