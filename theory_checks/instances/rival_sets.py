"""Instances and attacks for the claims about accepted sets: contaminated clients that try to complete a majority.

The attack looks for an accepted set that holds a contaminated client, or that has a rank below r.  It is a search,
so it can only refute: what it does not find may still exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, orthonormal_basis, project_off, stack
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.instance import Instance
from simulations.streams import Streams

__all__ = ["RivalRegime", "bad_set_is_accepted"]

_KINDS = ("tilted", "coordinated", "identical", "scattered")
_REWEIGHTINGS = 15  # the largest residual over its tolerance settles within about ten on these sizes
_EXCHANGES = 4  # concentration steps per start


def _agreement(scaled: FloatArray, members: FloatArray, rank: int) -> tuple[bool, FloatArray]:
    """Whether a set is accepted, and all residuals at the last fit; blocks and residuals in units of their tolerances.

    Least squares with weights w minimises Σw_k‖R_k‖², so a value above Σw_k proves that no fit has all ‖R_k‖ ≤ 1; that
    ends the search, as does a fit with all ‖R_k‖ ≤ 1.  Weights grow with the residuals, towards the largest one.
    All tolerances of a set are equal here, so that scaling a block does not change its centre.
    """
    chosen = scaled[members]
    weights = np.full(members.size, 1 / members.size)
    residuals = np.zeros(0)
    for _ in range(_REWEIGHTINGS):
        centre = np.einsum("k,kpq->pq", weights, chosen)
        centred = np.sqrt(weights)[:, None, None] * (chosen - centre)
        basis = orthonormal_basis(stack(centred), rank, relative_tolerance=0.0) if rank else centred[0][:, :0]
        residuals = block_norms(project_off(basis, scaled - centre))
        own = residuals[members]
        if own.max() <= 1:
            return True, residuals
        if weights @ own**2 > 1:
            return False, residuals
        weights = weights * own**2
        weights /= weights.sum()
    return False, residuals


def bad_set_is_accepted(
    values: FloatArray,
    tolerances: FloatArray,
    *,
    benign: BoolArray,
    rank: int,
    generator: np.random.Generator,
    n_starts: int = 6,
) -> bool:
    """Search for a set of h clients accepted at rank r with a contaminated client, or at a lower rank with any clients.

    Parameters
    ----------
    values : ndarray, shape (K, p, q)
    tolerances : ndarray, shape (r + 1, K)
        τ_k by rank, the same for all clients.
    benign : ndarray of bool, shape (K,)
    rank : int
    generator : numpy.random.Generator
        Draws the starts.
    n_starts : int
        Random starts per forced group; each is followed by concentration steps.
    """
    n_clients = benign.size
    majority = n_clients // 2 + 1
    bad = np.flatnonzero(~benign)
    groups = [(rank, bad)] + [(rank, bad[k : k + 1]) for k in range(bad.size)]
    groups += [(lower, np.zeros(0, dtype=int)) for lower in range(rank)]
    for tried, forced in groups:
        free = np.setdiff1d(np.arange(n_clients), forced)
        for _ in range(n_starts):
            members = np.concatenate([forced, generator.permutation(free)[: majority - forced.size]])
            for _ in range(_EXCHANGES):
                accepted, residuals = _agreement(values / tolerances[tried, 0], members, tried)
                if accepted:
                    return True
                order = free[np.argsort(residuals[free], kind="stable")][: majority - forced.size]
                following = np.concatenate([forced, order])
                if set(following) == set(members):
                    break
                members = following
    return False


@dataclass(frozen=True, kw_only=True)
class RivalRegime:
    """Small instances with noise; contamination of norm one per client, to be scaled by the method.

    Parameters
    ----------
    smallest_clients, largest_clients : int
        Range of K.
    largest_noise : float
        σ is log-uniform between a tenth of it and itself; benign coefficients have unit entries.
    tail_freedom : int
        Degrees of freedom of Student errors of variance σ²; 0 for Gaussian errors.
    alike : bool
        As many benign clients as a rival majority needs have equal coefficients: they do not identify the subspace.

    Notes
    -----
    ``estimates`` hold the noise without the contamination; ``extras["directions"]`` (|O|, p, q) is added to the last
    clients by the method, ``extras["noise_scale"]`` is σ.
    """

    name: ClassVar[str] = "rival"

    smallest_clients: int = 7
    largest_clients: int = 11
    largest_noise: float = 0.02
    tail_freedom: int = 0
    alike: bool = False

    def generate(self, streams: Streams) -> Instance:
        """Truth from the stream "truth", errors from "noise"."""
        generator = streams.generator("truth")
        rank = int(generator.integers(1, 3))
        n_clients = int(generator.integers(self.smallest_clients, self.largest_clients + 1))
        q, p = int(generator.integers(3, 7)), int(generator.integers(2 * rank + 2, 13))
        majority = n_clients // 2 + 1
        n_contaminated = int(generator.integers(1, max(2, majority - 2)))
        sigma = self.largest_noise * 10.0 ** generator.uniform(-1, 0)
        basis = orthonormal_basis(generator.standard_normal((p, rank)), rank)
        coefficients = generator.standard_normal((n_clients, q, rank))
        mask: BoolArray = np.arange(n_clients) < n_clients - n_contaminated
        if self.alike:
            coefficients[: majority - n_contaminated] = coefficients[0]
        kind = _KINDS[int(generator.integers(len(_KINDS)))] if not self.alike else "coordinated"
        off = orthonormal_basis(project_off(basis, generator.standard_normal((p, rank))), rank)
        directions: FloatArray = np.einsum("pi,kqi->kpq", off, coefficients[~mask])
        if kind == "coordinated":
            directions = np.einsum("pi,kiq->kpq", off, generator.standard_normal((n_contaminated, rank, q)))
            if self.alike:
                coefficients[~mask] = coefficients[0]
        elif kind == "identical":
            directions = np.repeat(directions[:1], n_contaminated, axis=0)
        elif kind == "scattered":
            directions = project_off(basis, generator.standard_normal((n_contaminated, p, q)))
        directions = directions / block_norms(directions)[:, None, None]
        common = generator.standard_normal((p, q))
        targets = common + np.einsum("pi,kqi->kpq", basis, coefficients)
        noise = streams.generator("noise")
        if self.tail_freedom:
            unit_variance = np.sqrt((self.tail_freedom - 2) / self.tail_freedom)
            errors = sigma * unit_variance * noise.standard_t(self.tail_freedom, targets.shape)
        else:
            errors = sigma * noise.standard_normal(targets.shape)
        return Instance.without_heterogeneity(
            targets,
            basis=basis,
            coefficients=coefficients,
            collaborative_set=mask,
            common=common,
            estimates=ClientEstimates(values=targets + errors),
            extras={"directions": directions, "noise_scale": sigma, "kind": kind},
        )
