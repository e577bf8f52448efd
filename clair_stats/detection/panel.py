"""Client blocks on a common noise scale: the form in which detection computes.

Dividing client k by its relative noise scale s_k turns weights 1/s_k² into plain sums: Y_k = X_k/s_k has noise of one
common variance φ², and the common component enters it with the design weight c_k = 1/s_k (0 when it is fixed to 0).

See docs/derivations/detection.md, sections 1 and 7.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clair_stats.decomposition.problem import Problem, from_tall, to_tall
from clair_stats.decomposition.proposals import Proposal, propose, proposed
from clair_stats.decomposition.scaling import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    absurd_exponents,
    binary_scale,
    usual_size,
)
from clair_stats.decomposition.solvers.grams import Grams
from clair_stats.detection.covariance import ErrorCovariances, covariance_edge, pool_covariances
from clair_stats.estimates import ClientEstimates
from clair_stats.laws import noise_edge
from clair_stats.linalg import block_norms, symmetric_eigen
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Panel", "make_panel", "panel_of"]

# Residuals below this multiple of the typical entry are rounding, not noise: products and projections of well-scaled
# float64 blocks are exact to about 1e-14 of their largest part.
_ROUNDING = 1e-11
# Up to 2^±100 fourth powers and their sums stay in range, and blocks are left on their own scale.
_SAFE_EXPONENT = 100
# A client told to be 2²⁰ times as precise as the usual one is tested as if it were no more: at 2²⁴ the eigenvalues of
# the scatter that it enters are known to the others' variance only, and the verdict was that of rounding.
_PRECISE_EXPONENT = 20
# Blocks are gone through in parts of this many numbers (512 KiB): what is formed of them stays in the cache, where a
# second stack costs more for its memory than for its arithmetic (a test of 128 × 128 × 50 in half the time).
_PART = 1 << 16
# Up to this many numbers (64 MiB) the stack about the centre and its scatters are kept.
_KEPT = 1 << 23
_CENTRE_STEPS = 100
_CENTRE_TOLERANCE = 1e-6  # of the largest weight; the centre is a starting point, refitted on every set
# Squared distances from a point that are differences of squares, below this share of these.
_SQUARED_ROUNDING = 1e-13
_NEAR = 0.1  # of the median distance: nearer clients may be the centre that the steps are on the way to


@dataclass(frozen=True, eq=False)
class Panel:
    """Whitened blocks.  Scores and common components of a panel times ``units`` are on the scale of the X_k."""

    blocks: FloatArray  # (K, p, q), Y_k = X_k / (units_k s_k)
    design: FloatArray  # (K,), c_k = 1/s_k, or 0 without common component
    scales: FloatArray  # (K,), s_k
    noise: float | None  # φ when known, None when it has to be estimated
    floor: float  # smallest noise level told apart from rounding, on the scale of the Y_k
    energies: FloatArray  # (K,), ‖Y_k‖_F²
    units: FloatArray  # (K,), powers of two: one for all, a larger one for clients of absurd size
    covariances: ErrorCovariances | None = None  # then Y_k = W_R X_k W_S / (units_k s_k)
    # What ``fit_shared`` remembers of the last sets, by mask: M (p, q), eigenvalues (p,) and vectors (p, p).
    spectra: dict[bytes, tuple[FloatArray, FloatArray, FloatArray]] = field(default_factory=dict, init=False)

    @cached_property
    def robust_centre(self) -> FloatArray:
        """Geometric median M of the X_k, minimiser of Σ‖Y_k − c_kM‖_F, shape (p, q); 0 without a common component.

        Rotations of rows and columns turn it along, which an entrywise median does not.
        """
        if not self.common_component:
            return np.zeros(self.shape[1:])
        n_clients, p, q = self.shape
        energies, design, floor = self.energies, self.design, self.floor
        flat = self.blocks.reshape(n_clients, -1)
        gram = flat @ flat.T if n_clients <= p * q else None  # steps on it cost no pass over the blocks
        weights = 1.0 / np.maximum(np.sqrt(energies), floor)
        shares = weights
        for _ in range(_CENTRE_STEPS):  # Weiszfeld, Tohoku Math. J. 43, 1937
            shares = weights * design / float(np.sum(weights * design**2))
            inner = gram @ shares if gram is not None else flat @ (shares @ flat)
            squares = energies - 2.0 * design * inner + design**2 * float(shares @ inner)
            following = 1.0 / np.maximum(np.sqrt(np.maximum(squares, 0.0)), floor * np.sqrt(p * q))
            change = float(np.abs(following / following.max() - weights / weights.max()).max())
            weights = following
            if change < _CENTRE_TOLERANCE:
                break
        centre = _nearest_client_if_median(flat, energies, design, shares @ flat)
        return np.asarray(centre.reshape(p, q))

    @cached_property
    def tall(self) -> FloatArray:
        """(Y_k − c_kM)ᵀ about the robust centre, shape (K, q, p): the layout in which the program is solved."""
        tall = to_tall(self.blocks)
        for part in self.parts:
            tall[part] -= self.design[part, None, None] * self.robust_centre.T
        return tall

    @property
    def large(self) -> bool:
        """Whether the stack is too large for a second one beside it."""
        return self.blocks.size > _KEPT

    @cached_property
    def parts(self) -> tuple[slice, ...]:
        """Consecutive clients of at most 2¹⁶ numbers together, or single ones."""
        n_clients, p, q = self.shape
        width = max(_PART // (p * q), 1)
        return tuple(slice(first, first + width) for first in range(0, n_clients, width))

    def centred_parts(self) -> Iterator[tuple[slice, FloatArray]]:
        """The blocks about the robust centre, part by part.

        Yields
        ------
        tuple of slice and ndarray, shape (n, p, q)
        """
        for part in self.parts:
            if self.large:
                yield part, self.blocks[part] - self.design[part, None, None] * self.robust_centre
            else:
                yield part, from_tall(self.tall[part])

    @cached_property
    def centred_energies(self) -> FloatArray:
        """‖Y_k − c_kM‖_F² about the robust centre, shape (K,)."""
        return np.concatenate([np.einsum("kij,kij->k", blocks, blocks) for _, blocks in self.centred_parts()])

    @cached_property
    def canonical_order(self) -> NDArray[np.int64]:
        """Clients by their distance from the robust centre, shape (K,): the order in which random starts count them.

        So neither the order in which clients come nor a rotation of their blocks changes the answer, up to ties.
        """
        return np.argsort(self.centred_energies, kind="stable")

    def in_canonical_order(self, members: BoolArray) -> NDArray[np.int64]:
        """The members (K,), in the canonical order: no draw hangs on how clients are numbered.

        Parameters
        ----------
        members : bool ndarray, shape (K,)

        Returns
        -------
        ndarray of int, shape (n,)
        """
        return np.asarray(self.canonical_order[members[self.canonical_order]])

    @cached_property
    def proposals(self) -> tuple[Proposal, ...]:
        """Sets of clients that the path of program (E) proposes, with 1/s_k as the clients' weights."""
        equal = bool((self.scales == self.scales[0]).all())
        # Where most clients are nothing, distances from the centre are rounding of it, whose inverse has no square.
        if equal and self.moments is not None and np.median(self.energies) > 0.0:
            problem = Problem(self.tall, np.ones(len(self.tall)), common_component=self.common_component)
            return proposed(Grams.with_scatters(problem, self.moments[1]))
        blocks = self.blocks if equal else self.blocks * self.scales[:, None, None]
        return propose(blocks, noise_scales=self.scales, common_component=self.common_component)

    @cached_property
    def sign_spectrum(self) -> tuple[FloatArray, FloatArray]:
        """Eigenvalues (p,), descending, and vectors (p, p) of the scatter of the blocks, each scaled to norm one.

        The centre can be one of the clients; what is left of that one is rounding, and has no direction.
        """
        _, p, q = self.blocks.shape
        norms = np.sqrt(self.centred_energies)
        known = max(self.floor * np.sqrt(p * q), _CENTRE_TOLERANCE * float(np.median(norms)), np.finfo(float).tiny)
        weights = 1.0 / np.maximum(norms, known)
        if self.moments is not None:
            scatter = (weights**2 @ self.moments[1]).reshape(p, p)
        else:
            scatter = np.zeros((p, p))
            for part, blocks in self.centred_parts():
                tall = (blocks * weights[part, None, None]).transpose(1, 0, 2).reshape(p, -1)
                scatter += tall @ tall.T
        values, vectors = symmetric_eigen(scatter)
        return np.maximum(values[::-1], 0.0), vectors[:, ::-1]

    @cached_property
    def moments(self) -> tuple[FloatArray, FloatArray] | None:
        """Blocks about the robust centre, transposed (K, qp), and their scatters (K, p²), formed once.

        Fits on many sets are sums over these.  None for large stacks, and where they take four times their memory.
        """
        n_clients, p, q = self.blocks.shape
        if p > 4 * q or self.large:
            return None
        scatters = from_tall(self.tall) @ self.tall
        return self.tall.reshape(n_clients, -1), scatters.reshape(n_clients, -1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, p, q)."""
        n_clients, p, q = self.blocks.shape
        return n_clients, p, q

    @property
    def half(self) -> int:
        """The smallest majority, ⌊K/2⌋ + 1."""
        return self.shape[0] // 2 + 1

    @cached_property
    def common_component(self) -> bool:
        """Whether the common component is free."""
        return bool(self.design.any())

    @property
    def unit(self) -> float:
        """The power of two that most clients were divided by."""
        return float(self.units.min())

    @property
    def entry_scales(self) -> FloatArray:
        """σ_k/φ, (K,): σ_k the root mean variance of an entry of X_k; s_k unless covariances turned the scale."""
        law = self.covariances
        if law is None or self.noise is None:
            return self.scales * self.unit
        rows, columns = (
            np.einsum("ij,kjl,li->k", inverse, matrices, inverse, optimize=True) / inverse.shape[0]
            for inverse, matrices in ((law.left_inverse, law.rows), (law.right_inverse, law.columns))
        )
        return np.asarray(self.scales * self.unit * np.sqrt(rows * columns) / self.noise)

    @property
    def stretch(self) -> float:
        """Largest factor by which the Frobenius norm of a block can grow on the way from X_k to s_k Y_k."""
        law = self.covariances
        turned = 1.0 if law is None else float(np.linalg.norm(law.left, 2) * np.linalg.norm(law.right, 2))
        return turned / self.unit

    def without_given_noise(self) -> Panel:
        """The same blocks with their noise to be learnt; relative scales s_k stay.

        Returns
        -------
        Panel
        """
        return replace(self, noise=None, covariances=None)


def make_panel(
    blocks: FloatArray,
    *,
    noise_scales: FloatArray | None = None,
    sample_sizes: FloatArray | None = None,
    common_component: bool = True,
) -> Panel:
    """Whiten blocks (K, p, q).

    Known ``noise_scales`` σ_k give s_k = σ_k and φ = 1.  ``sample_sizes`` n_k alone give the relative scale
    s_k ∝ 1/√n_k with φ unknown.  Without either all clients are taken to have the same, unknown noise: unequal unknown
    scales cannot be told from scattered contamination.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
        Scale of the estimates.
    noise_scales : ndarray, shape (K,), optional
        σ_k.
    sample_sizes : ndarray, shape (K,), optional
        n_k.
    common_component : bool
        Whether M is free.

    Returns
    -------
    Panel
    """
    n_clients, p, q = blocks.shape
    norms = block_norms(blocks)
    units = _powers_of_two(norms)
    noise: float | None = None
    if noise_scales is not None:
        with np.errstate(over="ignore"):  # beside 1e-300 a scale of 1e12 has no number; the largest says as much
            scales = np.asarray(noise_scales, dtype=np.float64) / units.min()
        scales = np.clip(scales, SMALLEST_SCALE, LARGEST_SCALE)
        # Errors below 2⁻¹⁰⁰ of the largest client are none beside its rounding; in units of them its squares overflow.
        # And in units of errors far below the usual ones a client is so large that the others' residuals are rounding.
        least = math.ldexp(float((norms / units).max()), -_SAFE_EXPONENT)
        scales = np.maximum(scales, max(least, math.ldexp(float(np.median(scales)), -_PRECISE_EXPONENT)))
        noise = 1.0
    elif sample_sizes is not None:
        inverse = 1.0 / np.sqrt(np.asarray(sample_sizes, dtype=np.float64))
        scales = inverse / np.exp(np.mean(np.log(inverse)))
    else:
        scales = np.ones(n_clients)
    whitened = blocks
    for divisor in (units, scales):
        if (divisor != 1.0).any():  # nothing to divide by needs no copy
            whitened = whitened / divisor[:, None, None]
    whitened = np.ascontiguousarray(whitened)
    energies = np.einsum("kij,kij->k", whitened, whitened)
    typical = float(np.sqrt(np.median(energies) / (p * q)))
    design = 1.0 / scales if common_component else np.zeros(n_clients)
    return Panel(
        whitened, design, scales, noise, max(_ROUNDING * typical, np.finfo(float).tiny ** 0.5), energies, units
    )


def _nearest_client_if_median(
    flat: FloatArray, energies: FloatArray, design: FloatArray, centre: FloatArray
) -> FloatArray:
    """The client nearest to a centre (pq,) that Weiszfeld's steps have come to, if it is the geometric median itself.

    The steps never arrive there, and what is left of the way is rounding, to which copies of that client would lend
    their weight.  It is the median if the pull of all others on it is weaker than the pull of those who are there
    (Vardi and Zhang, PNAS 97(4), 2000).
    """

    def squares(point: FloatArray) -> FloatArray:
        found = energies - 2.0 * design * (flat @ point) + design**2 * float(point @ point)
        return np.where(found > _SQUARED_ROUNDING * (energies + design**2 * float(point @ point)), found, 0.0)

    away = squares(centre)
    nearest = int(np.argmin(away))
    if away[nearest] > _NEAR**2 * float(np.median(away)) or not design[nearest]:
        return centre
    point = flat[nearest] / design[nearest]
    distances = np.sqrt(squares(point))
    there = distances == 0.0
    pulls = np.where(there, 0.0, design / np.where(there, 1.0, distances))
    pull = pulls @ flat - float(pulls @ design) * point
    return point if float(np.linalg.norm(pull)) < (1.0 - _CENTRE_TOLERANCE) * float(design[there].sum()) else centre


def _powers_of_two(norms: FloatArray) -> FloatArray:
    """Exact divisors (K,) that keep squares of squares in range: the size of the median client, more for absurd ones.

    A client that is divided by more than the others loses the common component, and is far outside with or without it.
    """
    usual = binary_scale(usual_size(norms), ordinary=_SAFE_EXPONENT)
    return np.asarray(np.ldexp(usual, absurd_exponents(norms)))


def panel_of(
    record: ClientEstimates,
    blocks: FloatArray | None = None,
    *,
    common_component: bool = True,
    shared: Literal["columns", "rows"] = "columns",
) -> Panel:
    """Panel of a checked record, on ``blocks`` when these replace its own (transposed or compressed).

    Parameters
    ----------
    record : ClientEstimates
    blocks : ndarray, shape (K, p, q), optional
    common_component : bool
        Whether M is free.
    shared : {"columns", "rows"}

    Returns
    -------
    Panel
    """
    if blocks is None:
        blocks = record.dense()
    if record.row_covariances is not None:
        return _panel_with_covariances(record, blocks, common_component=common_component, shared=shared)
    return make_panel(
        blocks,
        noise_scales=record.noise_scales,
        sample_sizes=record.sample_sizes,
        common_component=common_component,
    )


def _panel_with_covariances(
    record: ClientEstimates, blocks: FloatArray, *, common_component: bool, shared: Literal["columns", "rows"]
) -> Panel:
    """Blocks on the scale on which the covariances average to I.

    φ stands for the noise wherever entries are taken for i.i.d.: it makes their edge that of the real errors of half
    the clients.  The tests and the edge that decide use the covariances themselves.
    """
    assert record.row_covariances is not None
    rows, columns = record.row_covariances, record.column_covariances
    if columns is None:
        columns = np.broadcast_to(np.eye(record.block_shape[1]), (record.n_clients, *(2 * record.block_shape[1:])))
    if shared == "rows":
        rows, columns = columns, rows
    law, scales = pool_covariances(
        rows, columns, record.residual_degrees_of_freedom, "columns" if shared == "columns" else "rows"
    )
    panel = make_panel(law.left @ blocks @ law.right, noise_scales=scales, common_component=common_component)
    n_clients, p, q = panel.shape
    width = max((n_clients // 2 + 1 - int(common_component)) * q, 1)
    everyone = np.ones(n_clients, dtype=np.bool_)
    edge = covariance_edge(law, np.zeros((p, 0)), everyone, width)
    return replace(panel, covariances=law, noise=float(np.sqrt(edge / noise_edge(p, width))))
