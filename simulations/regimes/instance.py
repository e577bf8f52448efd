"""One simulated federation: what the methods may see (``estimates``) and what only the metrics may see (the rest)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, project_off
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Instance", "benign_by_definition", "effective_contamination"]

# D_k counts as zero below this multiple of the largest target norm: targets are sums of products, exact to ~1e-15.
_ROUNDING = 1e-12


def effective_contamination(targets: FloatArray, *, basis: FloatArray, common: FloatArray) -> FloatArray:
    """d_k = ‖(I − P_U)(Θ*_k − M*)‖_F, shape (K,), scale of the targets (theory.md section 1)."""
    return block_norms(project_off(basis, targets - common))


def benign_by_definition(targets: FloatArray, *, basis: FloatArray, common: FloatArray) -> BoolArray:
    """Clients without effective contamination, shape (K,).

    A client altered only inside span(U*) is benign: no method can tell it from heterogeneity (theory.md section 1).
    """
    tolerance = _ROUNDING * float(np.max(block_norms(targets), initial=0.0))
    benign: BoolArray = effective_contamination(targets, basis=basis, common=common) <= tolerance
    return benign


@dataclass(frozen=True, eq=False)
class Instance:
    """Truth and estimates of one replication; all methods of a cell row see the same instance.

    ``extras`` holds what a regime adds, under keys that its file documents.  One key is common to all: ``scorers``, a
    mapping metric name -> function of an array (K, p, q) of per-client estimates, evaluated by every method (held-out
    accuracy of the digits, for example).
    """

    targets: FloatArray  # (K, p, q), Θ*_k
    basis: FloatArray  # (p, r), U*, orthonormal
    common: FloatArray  # (p, q), M*
    coefficients: FloatArray  # (K, q, r), A_k; zero for clients whose target was replaced
    heterogeneity: FloatArray  # (K, p, q), H_k with U*ᵀH_k = 0; zero for clients whose target was replaced
    collaborative_set: BoolArray  # (K,), C, True = benign
    estimates: ClientEstimates  # X_k, with σ_k and n_k as far as the regime lets the methods know them
    extras: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_clients, p, q = self.targets.shape
        rank = self.basis.shape[1]
        expected = {
            "basis": (p, rank),
            "common": (p, q),
            "coefficients": (n_clients, q, rank),
            "heterogeneity": (n_clients, p, q),
            "collaborative_set": (n_clients,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"instance: {name} has shape {getattr(self, name).shape}, expected {shape}")
        if (self.estimates.n_clients, *self.estimates.block_shape) != (n_clients, p, q):
            raise ValueError(
                f"instance: estimates are {(self.estimates.n_clients, *self.estimates.block_shape)}, "
                f"targets {(n_clients, p, q)}; fit one estimate per target"
            )

    @classmethod
    def without_heterogeneity(
        cls,
        targets: FloatArray,
        *,
        basis: FloatArray,
        coefficients: FloatArray,
        collaborative_set: BoolArray,
        common: FloatArray | None = None,
        estimates: ClientEstimates | None = None,
        extras: Mapping[str, Any] | None = None,
    ) -> Instance:
        """H_k = 0; coefficients of contaminated clients are set to zero.

        Parameters
        ----------
        targets : ndarray, shape (K, p, q)
        basis : ndarray, shape (p, r)
        coefficients : ndarray, shape (K, q, r)
        collaborative_set : bool ndarray, shape (K,)
        common : ndarray, shape (p, q), optional
            Zero when not given.
        estimates : ClientEstimates, optional
            The targets themselves when not given.
        extras : mapping, optional

        Returns
        -------
        Instance
        """
        return cls(
            targets=targets,
            basis=basis,
            common=np.zeros(targets.shape[1:]) if common is None else common,
            coefficients=np.where(collaborative_set[:, None, None], coefficients, 0.0),
            heterogeneity=np.zeros_like(targets),
            collaborative_set=collaborative_set,
            estimates=ClientEstimates(values=targets) if estimates is None else estimates,
            extras={} if extras is None else extras,
        )

    @property
    def n_clients(self) -> int:
        """K, number of clients."""
        return int(self.targets.shape[0])

    @property
    def rank(self) -> int:
        """r, dimension of the shared subspace."""
        return int(self.basis.shape[1])

    @property
    def effective_contamination(self) -> FloatArray:
        """d_k of every client, shape (K,); for a benign client this is ‖H_k‖_F."""
        return effective_contamination(self.targets, basis=self.basis, common=self.common)

    @property
    def errors(self) -> FloatArray:
        """E_k = X_k − Θ*_k, shape (K, p, q)."""
        return np.asarray(self.estimates.dense() - self.targets, dtype=np.float64)
