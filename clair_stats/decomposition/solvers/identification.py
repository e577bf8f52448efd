"""Program (E) finished from its identified structure: guess span and support, solve the rest, have it certified.

After a few splitting steps the support O of S and the rank r of L no longer change.  If the blocks outside O then lie
in one r-dimensional column space U (up to a common block), the solution is that of the *oracle problem* of theory.md
section 3, with col(L) ⊂ span(U) and S_C = 0 imposed.  In coordinates y = UᵀX it reads

    min over z_k, k ∈ O:   ‖z(I − Π)‖_* + Σ_{k∈O} λ_k (d_k² + ‖y_k − z_k‖_F²)^{1/2},      z_k = y_k on C,

with d_k the part of X_k off U: r × q numbers per contaminated client and r × r spectra, smooth, and solved to rounding.
The dual point is the one of the instance certificate.  Nothing here needs to be believed: the certificate measures the
gap of the full program at the point returned, and a wrong guess sends the caller back to splitting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clair_stats.decomposition.problem import Problem, tall_norms
from clair_stats.decomposition.solvers.points import SolverPoint
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Structure", "finish_identified", "lift", "looks_noise_free", "reduced_solution", "structure_of"]

# Benign blocks count as exactly of rank r below this relative remainder; noise sends the problem back to splitting.
_EXACT = 1e-9
_REDUCED_ITERATIONS = 200
_PAIRS, _PAIR_ROWS, _PAIR_COLUMNS = 4, 24, 12  # how much `looks_noise_free` looks at


@dataclass(frozen=True, eq=False)
class Structure:
    """A stack in coordinates of the identified span."""

    problem: Problem
    support: BoolArray  # (K,), True on O
    span: FloatArray  # (p, r)
    inside: FloatArray  # (|C|, q, r), coordinates of the benign blocks, centred on C when M is free
    offered: FloatArray  # (|O|, q, r), coordinates of the others, about the same centre
    off_span: FloatArray  # (|O|, q, p), the others off the span

    @property
    def gram(self) -> FloatArray:
        """Σ_{k∈C} z_kᵀz_k, r × r."""
        flat = self.inside.reshape(-1, self.inside.shape[2])
        return np.asarray(flat.T @ flat, dtype=np.float64)


def finish_identified(
    problem: Problem, support: BoolArray, basis: FloatArray, n_iterations: int, *, tolerance: float
) -> SolverPoint | None:
    """The oracle point for a support of S and an approximate basis (p, r) of col(L), or None when it cannot exist.

    Parameters
    ----------
    problem : Problem
        Of program (E).
    support : bool ndarray, shape (K,)
        O, the clients with S_k ≠ 0.
    basis : ndarray, shape (p, r)
        Approximate basis of col(L).
    n_iterations : int
        Iterations spent so far.
    tolerance : float
        Relative duality gap that the point is to reach.

    Returns
    -------
    SolverPoint or None
    """
    structure = structure_of(problem, support, basis)
    if structure is None:
        return None
    off_norms = tall_norms(structure.off_span)
    shared = len(support) if problem.common_component else None
    penalties = problem.penalties[support]
    solved = reduced_solution([structure], off_norms, penalties, shared, tolerance=0.3 * tolerance)
    if solved is None:
        return None
    sizes = np.sqrt(off_norms**2 + tall_norms(structure.offered - solved[0]) ** 2)
    return lift(structure, solved[0], penalties / sizes, n_iterations)


def looks_noise_free(problem: Problem) -> bool:
    """Whether two clients of ordinary size differ by a block of deficient rank, as they do without noise.

    Four pairs of neighbours in the middle of the order by size are looked at, 24 × 12 entries of each.  Only time
    depends on the answer; where no rank can be missing (single columns, rank 12) it is noisy.

    Parameters
    ----------
    problem : Problem
        Of any program.

    Returns
    -------
    bool

    References
    ----------
    docs/derivations/programs.md, section 6.
    """
    tall = problem.tall
    order = np.argsort(tall_norms(tall), kind="stable")
    first = max(len(order) // 2 - _PAIRS, 0)
    chosen = order[first : first + 2 * _PAIRS]
    part = tall[chosen[: len(chosen) // 2 * 2], :_PAIR_COLUMNS, :_PAIR_ROWS]
    pairs = part[1::2] - part[::2] if problem.common_component else part
    triangular = np.linalg.qr(pairs if pairs.shape[1] >= pairs.shape[2] else np.swapaxes(pairs, 1, 2), mode="r")
    diagonal = np.abs(np.einsum("kii->ki", triangular))
    return bool((diagonal.min(axis=1) <= _EXACT * diagonal.max(axis=1)).any())


def structure_of(problem: Problem, support: BoolArray, basis: FloatArray) -> Structure | None:
    """Coordinates in the span of the benign blocks, or None when these are not exactly of the rank of ``basis``.

    Parameters
    ----------
    problem : Problem
    support : bool ndarray, shape (K,)
        O.
    basis : ndarray, shape (p, r)

    Returns
    -------
    Structure or None
    """
    _, q, p = problem.tall.shape
    benign = ~support
    if not benign.any() or 2 * basis.shape[1] > p:
        return None
    inside, outside = problem.tall[benign], problem.tall[support]
    if problem.common_component:
        centre = inside.mean(axis=0)
        inside -= centre
        outside -= centre
    flat = inside.reshape(-1, p)
    span = _refined_basis(flat, basis)
    coordinates = flat @ span
    size = float(np.linalg.norm(coordinates))
    if size == 0.0 or _probed_remainder(flat, coordinates, span) > _EXACT * size:
        return None
    rank = span.shape[1]
    offered = outside.reshape(-1, p) @ span
    outside -= (offered @ span.T).reshape(outside.shape)
    return Structure(problem, support, span, coordinates.reshape(-1, q, rank), offered.reshape(-1, q, rank), outside)


def _refined_basis(matrix: FloatArray, basis: FloatArray) -> FloatArray:
    """Orthonormal basis of the row space of an n × p matrix of rank r, from an approximate one: one power step.

    Orthonormalising between the two products keeps the accuracy of a QR, where a Gram matrix would square the
    condition.
    """
    left, _ = np.linalg.qr(matrix @ basis)
    span, _ = np.linalg.qr(matrix.T @ left)
    return np.asarray(span, dtype=np.float64)


def _probed_remainder(matrix: FloatArray, coordinates: FloatArray, span: FloatArray) -> float:
    """Estimate of ‖matrix − coordinates·spanᵀ‖_F from two random directions, so that no second stack is needed.

    It only spares hopeless attempts: a remainder that slips through shows in the gap of the certificate.
    """
    probes = np.random.default_rng(0).standard_normal((matrix.shape[1], 2))
    return float(np.linalg.norm(matrix @ probes - coordinates @ (span.T @ probes))) / float(np.sqrt(2.0))


def reduced_solution(
    structures: Sequence[Structure],
    off_norms: FloatArray,
    penalties: FloatArray,
    n_clients: int | None,
    *,
    tolerance: float,
) -> list[FloatArray] | None:
    """z_O of the oracle problem for every module, each (|O|, q, r), or None when it does not settle.

    Parameters
    ----------
    structures : sequence of Structure
        One; several for modules that share their clients.
    off_norms, penalties : ndarray, shape (|O|,)
        d_k (over all modules) and λ_k.
    n_clients : int or None
        K when M is free, None when M = 0.
    tolerance : float
        On the relative change of z.

    Returns
    -------
    list of ndarray, shapes (|O|, q, r), or None
        Scale of the estimates.

    Notes
    -----
    Fixed point of the variational forms ‖z‖_* = min_W ½(tr W⁻¹zᵀz + tr W), ‖s‖ = min_a ½(‖s‖²/a + a): for given
    W = (zᵀz)^{1/2} and a_k = ‖S_k‖_F/λ_k the minimiser over z is explicit in the eigenbasis of W.  Anderson
    acceleration shortens the linear convergence; a fixed point stays one of the plain map.
    """
    if not len(off_norms):
        return [structure.offered for structure in structures]
    if float(off_norms.min()) <= 0.0:
        return None
    ends = np.cumsum([structure.offered.size for structure in structures])
    grams = [structure.gram for structure in structures]
    state = np.zeros(int(ends[-1]))
    scale = max(
        float(np.sqrt(sum(float(np.vdot(s.offered, s.offered)) for s in structures))), float(np.finfo(np.float64).tiny)
    )
    steps: list[FloatArray] = []
    images: list[FloatArray] = []
    for _ in range(_REDUCED_ITERATIONS):
        parts = _split(state, structures, ends)
        squared = off_norms**2
        for structure, part in zip(structures, parts, strict=True):
            squared = squared + tall_norms(structure.offered - part) ** 2
        a = (np.sqrt(squared) / penalties)[:, None]
        mapped = []
        for structure, gram, part in zip(structures, grams, parts, strict=True):
            image = _mapped(structure.offered, gram, part, a, n_clients)
            if image is None:
                return None
            mapped.append(image.ravel())
        images.append(np.concatenate(mapped) if len(mapped) > 1 else mapped[0])
        steps.append(images[-1] - state)
        if float(np.linalg.norm(steps[-1])) <= tolerance * scale:
            return _split(images[-1], structures, ends)
        del steps[:-2], images[:-2]
        state = _extrapolated(steps, images)
    return None


def _split(state: FloatArray, structures: Sequence[Structure], ends: NDArray[np.intp]) -> list[FloatArray]:
    """The parts of a flat state, one per structure."""
    return [
        state[end - structure.offered.size : end].reshape(structure.offered.shape)
        for structure, end in zip(structures, ends, strict=True)
    ]


def _mapped(
    offered: FloatArray, gram: FloatArray, z: FloatArray, a: FloatArray, n_clients: int | None
) -> FloatArray | None:
    """Minimiser over z of the quadratic majorant at z; None when W is singular."""
    share = 0.0 if n_clients is None else 1.0 / n_clients
    flat = z.reshape(-1, z.shape[2])
    squared = gram + flat.T @ flat
    if share:
        total = z.sum(axis=0)
        squared -= share * (total.T @ total)
    values, rotation = np.linalg.eigh(squared)
    if values[0] <= 0.0:
        return None
    w = np.sqrt(values)
    image = (offered @ rotation) * (w / (w + a))[:, None, :]
    if share:
        pull = a / (w + a)
        mean = image.sum(axis=0) / (1.0 - share * pull.sum(axis=0))
        image += (share * mean) * pull[:, None, :]
    return np.asarray(image @ rotation.T, dtype=np.float64)


def _extrapolated(steps: list[FloatArray], images: list[FloatArray]) -> FloatArray:
    """Anderson acceleration of depth one: the point on the line through two images whose combined step is smallest.

    Deeper memories save one round in six and cost more than that in calls at these sizes.
    """
    if len(steps) == 1:
        return images[-1]
    difference = steps[1] - steps[0]
    squared = float(np.vdot(difference, difference))
    if squared == 0.0:
        return images[-1]
    weight = float(np.vdot(difference, steps[1])) / squared
    return np.asarray(images[1] - weight * (images[1] - images[0]), dtype=np.float64)


def lift(structure: Structure, z: FloatArray, ratios: FloatArray, n_iterations: int) -> SolverPoint | None:
    """The full primal point, and the dual point Q = polar + λ P_{U⊥}H(I − Ṽ(ṼᵀP_CṼ)⁻¹ṼᵀP_C).

    Parameters
    ----------
    structure : Structure
    z : ndarray, shape (|O|, q, r)
    ratios : ndarray, shape (|O|,)
        λ_k/‖S_k‖_F.
    n_iterations : int

    Returns
    -------
    SolverPoint or None
        None when the benign rows do not determine the dual point.
    """
    problem, support, span = structure.problem, structure.support, structure.span
    n_clients, q, p = problem.tall.shape
    rank = span.shape[1]
    benign = ~support
    missing = structure.offered - z
    sparse = np.zeros_like(problem.tall)
    sparse[support] = structure.off_span + (missing.reshape(-1, rank) @ span.T).reshape(-1, q, p)
    low_rank = problem.tall - sparse
    common = np.zeros((q, p))

    coordinates = np.empty((n_clients, q, rank))
    coordinates[support], coordinates[benign] = z, structure.inside
    if problem.common_component:
        common = low_rank.mean(axis=0)
        low_rank -= common
        coordinates -= coordinates.mean(axis=0)
    flat = coordinates.reshape(-1, rank)
    values, rotation = np.linalg.eigh(flat.T @ flat)
    if values[0] <= 0.0:
        return None
    polar = coordinates @ ((rotation / np.sqrt(values)) @ rotation.T)  # V', (K, q, r)

    normals = structure.off_span * ratios[:, None, None]
    right = [polar[support].reshape(-1, rank).T @ normals.reshape(-1, p)]
    polar_benign = polar[benign].reshape(-1, rank)
    normal_matrix = polar_benign.T @ polar_benign
    if problem.common_component:
        mixed = polar[benign].sum(axis=0) / np.sqrt(n_clients)  # (q, r), benign rows of V' against those of 1⊗I/√K
        normal_matrix = np.block([[normal_matrix, mixed.T], [mixed, (benign.sum() / n_clients) * np.eye(q)]])
        right.append(normals.sum(axis=0) / np.sqrt(n_clients))
    try:
        multipliers = np.linalg.solve(normal_matrix, np.concatenate(right))
    except np.linalg.LinAlgError:  # benign rows do not separate V' from the common block: no such dual point
        return None
    dual = np.empty_like(problem.tall)
    np.matmul(polar.reshape(-1, rank), span.T - multipliers[:rank], out=dual.reshape(-1, p))
    if problem.common_component:
        dual -= multipliers[rank:] / np.sqrt(n_clients)
    normals += (polar[support].reshape(-1, rank) @ span.T).reshape(-1, q, p)
    dual[support] = normals
    return SolverPoint(common, low_rank, sparse, dual, n_iterations, "identified")
