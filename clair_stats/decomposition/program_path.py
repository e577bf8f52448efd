"""Program (E) along λ, from the exact λ at which L leaves zero: which directions enter, one after the other.

At L = 0 the program is a weighted geometric median m, and its dual point is λH, H_k = ω_k(X_k − m)/‖X_k − m‖_F: L = 0
is optimal exactly when λ‖H‖_op ≤ 1 (docs/derivations/programs.md, section 9).  From there λ grows by the factor at
which the next direction is about to enter, 1/‖P_⊥Q‖_op, and a little more.  Every point starts from the one before.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.problem import Problem, from_tall, tall_norms, to_tall
from clair_stats.decomposition.solvers.coefficients import Fit
from clair_stats.decomposition.solvers.grams import Grams
from clair_stats.decomposition.solvers.identification import looks_noise_free
from clair_stats.decomposition.solvers.span import Spectrum, dual_spectrum, empty_fit, follow_span
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.records import Decomposition, FloatArray

__all__ = ["PathPoint", "entering_block_penalty", "noise_penalty", "program_path"]

# The next λ is at least the first factor on, the second beyond the λ at which a direction is about to enter, and at
# most the third on: fixed steps miss weak directions, and beyond the third the start is of no use.
_SMALLEST_STEP, _BEYOND, _LARGEST_STEP = 1.06, 1.04, 2.5
_TOLERANCE = 5e-2  # of every point: sets and ranks are read from it, not digits; 1e-2 gave the same verdicts
_ENTERING = 1e-9
_EXACT_TOLERANCE, _EXACT_RANK = 1e-8, 1e-6  # of solutions without noise: gap, and smallest over largest value of L
_TINY = float(np.finfo(np.float64).tiny)
_MOST_POINTS = 60
_MOST_RANK = 12  # beyond it no new sets were found: they are read before, and the detection tries them at every rank


@dataclass(frozen=True, eq=False)
class PathPoint:
    """The solution of (E) at one λ, as far as it is needed to propose sets of clients."""

    problem: Problem
    block_penalty: float  # λ
    client_weights: FloatArray  # (K,), ω
    basis: FloatArray  # (p, r), orthonormal, of col(L)
    residual_norms: FloatArray  # (K,), ‖S_k‖_F
    distances: FloatArray  # (K,), ‖(I − UUᵀ)(X_k − M)‖_F², without the shrinkage inside the span
    room: float  # ‖P_⊥Q‖_op, below 1: at λ over this the next direction is about to enter

    @property
    def rank(self) -> int:
        """The rank of L."""
        return int(self.basis.shape[1])

    def decomposition(self, *, tol: float = 1e-6) -> Decomposition:
        """The certified solution at this λ and these weights.

        Parameters
        ----------
        tol : float
            Largest relative duality gap.

        Returns
        -------
        Decomposition
            In the orientation of the stack of the path, without its mean block, which moves M only.
        """
        return _solved(self.problem, self.block_penalty, self.client_weights, tol=tol)


def entering_block_penalty(
    estimates: ClientEstimates | ArrayLike, *, common_component: bool = True, client_weights: ArrayLike | None = None
) -> float:
    """Largest λ at which L = 0 solves (E): 1/‖H‖_op, H_k = ω_k(X_k − m)/‖X_k − m‖_F about the geometric median m.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    common_component : bool
        Whether M is free; m = 0 otherwise.
    client_weights : array_like, shape (K,), optional
        ω_k, also the weights of the median.

    Returns
    -------
    float
        Infinite where X is nothing but a common block.

    Raises
    ------
    ValueError
        When a block is the median itself up to rounding: then H_k is not determined and λ has no closed form.

    References
    ----------
    docs/derivations/programs.md, section 9.
    """
    tall = to_tall(as_client_estimates(estimates).dense())
    if common_component:
        tall = tall - tall.mean(axis=0)
    if not tall.any():
        return float("inf")
    weights = np.ones(len(tall)) if client_weights is None else np.asarray(client_weights, dtype=np.float64)
    grams = Grams(Problem(tall, weights, common_component=common_component))
    fit = empty_fit(grams, tolerance=_ENTERING)
    if fit is None:
        raise ValueError("estimates: a block is the geometric median itself; the entering λ has no closed form there")
    return float(1.0 / np.sqrt(dual_spectrum(grams, fit).values[-1]))


def noise_penalty(shape: tuple[int, int, int], weights: FloatArray) -> float:
    """λ at which noise itself enters L, 1/(max ω/√q + (Σω²/p)^{1/2}).

    Parameters
    ----------
    shape : tuple of int
        (K, p, q).
    weights : ndarray, shape (K,)
        ω_k.

    Returns
    -------
    float
        First order: the operator norm of a matrix of independent entries (docs/derivations/programs.md, section 9).
    """
    _, p, q = shape
    return 1.0 / (float(weights.max()) / float(np.sqrt(q)) + float(np.linalg.norm(weights)) / float(np.sqrt(p)))


def program_path(grams: Grams, weights: FloatArray) -> Iterator[PathPoint]:
    """Solutions of (E) for increasing λ.

    Parameters
    ----------
    grams : Grams
        Of any problem on the stack; its penalties are not used.
    weights : ndarray, shape (K,)
        ω_k.

    Yields
    ------
    PathPoint
        By increasing λ.  The first has L = 0, at the λ where L is about to leave zero; the last comes before noise
        itself enters L, the rank exceeds 12, L fills half of the rows, or a block is fitted to rounding.
    """
    problem = grams.problem
    n_clients, q, p = problem.tall.shape
    start = grams.at(weights)
    fit = empty_fit(start, tolerance=_TOLERANCE)
    if fit is None:
        return
    spectrum = dual_spectrum(start, fit)
    largest = float(np.sqrt(spectrum.values[-1]))
    if largest == 0.0:
        return
    last = noise_penalty((n_clients, p, q), weights)
    point = _point(problem, 1.0 / largest, weights, fit, Spectrum(spectrum.values / largest**2, spectrum.vectors))
    yield point
    exact, before = looks_noise_free(problem), 1.0
    for _ in range(_MOST_POINTS):
        lam = point.block_penalty * max(_SMALLEST_STEP, min(_BEYOND / max(point.room, _TINY), _LARGEST_STEP))
        if exact and point.block_penalty < last < lam:
            lam = last  # one jump often passes all λ with exact recovery
        if lam > last:
            return
        if exact:
            point = _exact_point(problem, lam, weights)
        else:
            scaled = Spectrum((lam / before) ** 2 * spectrum.values, spectrum.vectors)
            followed = follow_span(grams.at(lam * weights), fit, scaled, tolerance=_TOLERANCE)
            if followed is None:
                return
            fit, spectrum, before = followed.fit, followed.spectrum, lam
            point = _point(problem, lam, weights, fit, spectrum)
        yield point
        if point.rank > _MOST_RANK:
            return


def _point(problem: Problem, lam: float, weights: FloatArray, fit: Fit, spectrum: Spectrum) -> PathPoint:
    room = float(np.sqrt(max(float(spectrum.values[-1]), 0.0)))
    return PathPoint(problem, lam, weights, fit.basis, fit.norms, fit.off_span, room)


def _exact_point(problem: Problem, lam: float, weights: FloatArray) -> PathPoint:
    """Without noise distances vanish, and the point comes from the certified solution."""
    with warnings.catch_warnings():
        # A point that is only nearly optimal still proposes sets; what decides does not rest on it.
        warnings.simplefilter("ignore", RuntimeWarning)
        solved = _solved(problem, lam, weights, tol=_EXACT_TOLERANCE)
    tall, low_rank = problem.tall, to_tall(solved.low_rank)
    flat = low_rank.reshape(-1, low_rank.shape[2])
    values, vectors = np.linalg.eigh(flat.T @ flat)
    basis = vectors[:, values > _EXACT_RANK**2 * max(float(values[-1]), _TINY)]
    dual = to_tall(solved.dual).reshape(flat.shape)
    off = tall - from_tall(solved.common)
    off -= (off @ basis) @ basis.T
    distances = tall_norms(off) ** 2
    room = float(np.linalg.norm(dual - (dual @ basis) @ basis.T, 2))
    return PathPoint(problem, lam, weights, basis, tall_norms(to_tall(solved.block_sparse)), distances, room)


def _solved(problem: Problem, lam: float, weights: FloatArray, *, tol: float) -> Decomposition:
    return decompose(
        from_tall(problem.tall),
        block_penalty=lam,
        common_component=problem.common_component,
        client_weights=weights,
        allow_degenerate=True,
        tol=tol,
    )
