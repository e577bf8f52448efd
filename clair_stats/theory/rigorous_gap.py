"""The duality gap of a solution as a proof: an upper end in ball arithmetic, for data and solution taken as exact.

Floating point satisfies neither the constraint nor the bounds of the dual to the last digit, so what is proved is about
a point that does: S is what M and L leave over, and the dual point is centred and scaled into its bounds
(docs/derivations/rigorous.md, section 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.records import Decomposition, FloatArray
from clair_stats.theory.balls import (
    beside,
    cholesky,
    exact,
    frobenius,
    identity,
    operator_norm,
    precision,
    rounded_down,
    rounded_up,
)
from clair_stats.theory.rigorous import ProofState

if TYPE_CHECKING:
    from flint import arb, arb_mat

__all__ = ["RigorousGap", "rigorous_gap"]

_BITS = 128  # the enclosures are narrower than the rounding of the solution itself by twenty digits


@dataclass(frozen=True)
class RigorousGap:
    """What is proved about a solution of (E), (B) or (N).

    The smallest value of the program lies between ``dual_objective`` and ``objective``.
    """

    objective: float  # no smaller than the objective at a feasible point within `moved` of the stored one
    dual_objective: float  # no larger than the objective of any feasible point
    duality_gap: float  # at least their difference, and at least 0
    moved: float  # no smaller than max_k ‖S_k − S'_k‖_F, S' the block-sparse part of that point
    dual_feasible: ProofState  # whether the stored dual point, centred where M is free, is within its bounds

    @property
    def relative_gap(self) -> float:
        """The gap over the objective; 0 for data that are 0."""
        return self.duality_gap / self.objective if self.objective > 0 else 0.0


def rigorous_gap(
    estimates: ClientEstimates | ArrayLike, decomposition: Decomposition, *, bits: int = _BITS
) -> RigorousGap:
    """Prove how far a solution is from the optimum, in ball arithmetic.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
        The data the decomposition was computed from.
    decomposition : Decomposition
        Of any solver; nothing of it is trusted.
    bits : int
        Precision of the arithmetic.

    Returns
    -------
    RigorousGap

    Raises
    ------
    ImportError
        python-flint is not installed.
    ValueError
        The shapes do not belong together, or a number of the decomposition is not finite.

    Notes
    -----
    docs/derivations/rigorous.md, section 2.

    Examples
    --------
    >>> from clair_stats import decompose
    >>> values = np.random.default_rng(0).standard_normal((8, 6, 4))
    >>> found = rigorous_gap(values, decompose(values))
    >>> found.dual_feasible, bool(found.relative_gap < 1e-6), bool(found.moved < 1e-12)
    ('proved', True, True)
    """
    values = as_client_estimates(estimates).dense()
    _check(values, decomposition)
    turned = [_turn(part, decomposition) for part in (values, decomposition.common, decomposition.low_rank)] + [
        _turn(part, decomposition) for part in (decomposition.block_sparse, decomposition.dual)
    ]
    with precision(bits):
        return _proved(decomposition, *turned)


def _check(values: FloatArray, d: Decomposition) -> None:
    parts = {"low_rank": d.low_rank, "block_sparse": d.block_sparse, "dual": d.dual}
    for name, part in parts.items():
        if part.shape != values.shape:
            raise ValueError(f"{name}: shape {part.shape}, but the estimates have {values.shape}; give matching data")
    for name, part in {**parts, "common": d.common}.items():
        if not np.isfinite(part).all():
            raise ValueError(f"{name}: holds a number that is not finite; nothing can be proved about it")


def _turn(part: FloatArray, d: Decomposition) -> FloatArray:
    return np.swapaxes(part, -1, -2) if d.shared == "rows" else part


def _proved(
    d: Decomposition,
    values: FloatArray,
    common: FloatArray,
    low_rank: FloatArray,
    block_sparse: FloatArray,
    dual: FloatArray,
) -> RigorousGap:
    """The bounds, for blocks whose columns are shared."""
    from flint import arb

    weights = np.ones(len(values)) if d.client_weights is None else d.client_weights
    # λω_k is the product of two numbers that are taken as exact, not its rounding.
    penalties = [arb(d.block_penalty) * arb(float(weight)) for weight in weights]
    given = [exact(block) for block in values]
    primal, moved = _primal(d, penalties, given, common, low_rank, block_sparse)
    feasible, value = _dual(d, _centred([exact(block) for block in dual], d.common_component), penalties, given)
    value = value if value > 0 else arb(0)  # the dual point 0 is feasible
    return RigorousGap(
        objective=rounded_up(primal),
        dual_objective=rounded_down(value),
        duality_gap=max(rounded_up(primal.abs_upper() - value.abs_lower()), 0.0),
        moved=rounded_up(moved),
        dual_feasible=feasible,
    )


def _primal(
    d: Decomposition,
    penalties: list[arb],
    given: list[arb_mat],
    common: FloatArray,
    low_rank: FloatArray,
    block_sparse: FloatArray,
) -> tuple[arb, arb]:
    """The objective at a feasible point with the given M and L, and how far its S is from the given one."""
    from flint import arb

    centre = exact(common if d.common_component else np.zeros_like(common))
    members, sparse = [exact(block) for block in low_rank], [exact(block) for block in block_sparse]
    left = [x - centre - part - s for x, part, s in zip(given, members, sparse, strict=True)]
    kept = _kept_share(d, frobenius(beside(left)))
    norms = _nuclear_norm(low_rank, _centred(members, d.common_component))
    for s, block, penalty in zip(sparse, left, penalties, strict=True):
        norms += penalty * frobenius(s + block * (1 - kept))
    moved = max((frobenius(block) * (1 - kept)).abs_upper() for block in left)
    if d.program != "N":
        return norms, moved
    return frobenius(beside(left)) ** 2 / 2 + arb(d.noise_penalty) * norms, moved


def _centred(blocks: list[arb_mat], common: bool) -> list[arb_mat]:
    """Without the mean block where M is free."""
    from flint import arb

    if not common:
        return blocks
    mean = reduce(lambda a, b: a + b, blocks) * (1 / arb(len(blocks)))
    return [block - mean for block in blocks]


def _nuclear_norm(low_rank: FloatArray, members: list[arb_mat]) -> arb:
    """An upper end of ‖[L_1, …, L_K]‖_*: Σ_i ‖u_i‖‖z_i‖ for L = Σ_i u_i z_iᵀ, the u_i near the singular vectors.

    With M free the members are centred: their mean may go into M, which costs nothing and lowers the norm.
    """
    from flint import arb

    wide, flat = beside(members), np.concatenate(list(low_rank), axis=1)
    if flat.shape[0] > flat.shape[1]:
        wide, flat = wide.transpose(), flat.T
    size = float(np.abs(flat).max())
    if size == 0.0:
        return arb(0)
    directions = exact(np.linalg.svd(np.ldexp(flat, -int(np.frexp(size)[1])))[0])
    rows, columns = directions.solve(wide), directions.transpose()
    return sum((frobenius(_row(rows, i)) * frobenius(_row(columns, i)) for i in range(rows.nrows())), arb(0))


def _row(matrix: arb_mat, i: int) -> arb_mat:
    from flint import arb_mat

    return arb_mat(1, matrix.ncols(), [matrix[i, j] for j in range(matrix.ncols())])


def _kept_share(d: Decomposition, size: arb) -> arb:
    """Which share of the residual may stay: none in (E), what the ball allows in (B), all of it in (N)."""
    from flint import arb

    if d.program == "N":
        return arb(1)
    if d.noise_radius is None:
        return arb(0)
    radius = arb(d.noise_radius)
    return arb(1) if size <= radius else (radius / size.abs_upper()).abs_lower()


def _dual(
    d: Decomposition, blocks: list[arb_mat], penalties: list[arb], given: list[arb_mat]
) -> tuple[ProofState, arb]:
    """Whether the dual point is within its bounds, and a lower end of the dual objective at its multiple that is."""
    from flint import arb

    bound = arb(d.noise_penalty) if d.program == "N" else arb(1)
    wide = beside(blocks)
    wide = wide if wide.nrows() <= wide.ncols() else wide.transpose()
    pairs = [(frobenius(block), bound * penalty) for block, penalty in zip(blocks, penalties, strict=True)]
    inside = cholesky(identity(wide.nrows()) * (bound * bound) - wide * wide.transpose()) is not None
    low, high = operator_norm(wide)
    state: ProofState = "open"
    if low > bound or any(size > limit for size, limit in pairs):
        state = "refuted"
    elif inside and all(size <= limit for size, limit in pairs):
        state = "proved"
    if high is None:
        return state, arb(0)
    if not inside:
        pairs.append((high, bound))
    share = arb(1)
    for size, limit in pairs:
        if not size <= limit:
            share = share.min(limit / size.abs_upper()).abs_lower()
    inner = arb(0)
    for block, data in zip(blocks, given, strict=True):
        inner += sum((x * y for x, y in zip(block.entries(), data.entries(), strict=True)), arb(0))
    total = frobenius(wide)
    if d.program == "N":
        return state, share * inner - (share * total) ** 2 / 2
    radius = arb(0) if d.noise_radius is None else arb(d.noise_radius)
    return state, share * (inner - radius * total)
