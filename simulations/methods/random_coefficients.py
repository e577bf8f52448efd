"""The linear mixed model with random coefficients, the statistician's way to let clients learn from each other.

For response j of client k, features and responses centred: y = Z_k θ_kj + e, θ_kj ~ N(β_j, Ψ_j), e ~ N(0, s_j²).
Given s_j², which is estimated by the residuals of all clients' own fits together, the own coefficients are sufficient,
x_kj ~ N(β_j, Ψ_j + s_j²(Z_kᵀZ_k)⁻¹), and maximum likelihood for β_j and Ψ_j is computed by expectation and maximisation
on them (Laird and Ware, Biometrics 38(4), 1982).  Each client is handed the mean of θ_kj given its data.

statsmodels' MixedLM maximises the same likelihood over s_j² as well, one response at a time; with 21 variances per
response and 8 responses it takes minutes for what takes a fifth of a second here.  The tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.records import FloatArray
from simulations.measures.metrics import evaluate
from simulations.regimes.instance import Instance

__all__ = ["RandomCoefficients", "conditional_means"]

_STEPS = 500
_TOLERANCE = 1e-5  # relative change of Ψ at which the steps end


def conditional_means(training: Sequence[tuple[FloatArray, FloatArray]], *, n_intercepts: int = 1) -> FloatArray:
    """Coefficients of every client given its data, by the mixed model.

    Parameters
    ----------
    training : sequence of pairs, shapes (n_k, p) and (n_k, q)
        Centred features and responses of every client.
    n_intercepts : int
        Degrees of freedom of a client that the centring took.

    Returns
    -------
    ndarray, shape (K, p, q)

    Raises
    ------
    ValueError
        A client's own fit is not determined, or nobody has residual degrees of freedom.
    """
    grams = np.stack([z.T @ z for z, _ in training])
    p = grams.shape[1]
    for k, gram in enumerate(grams):
        if np.linalg.matrix_rank(gram, hermitian=True) < p:
            raise ValueError(f"client {k}: its {len(training[k][0])} observations do not determine {p} coefficients")
    own = np.stack([np.linalg.solve(gram, z.T @ y) for gram, (z, y) in zip(grams, training, strict=True)])
    degrees = sum(len(z) - p - n_intercepts for z, _ in training)
    if degrees <= 0:
        raise ValueError("mixed model: no residual degrees of freedom; give clients more observations")
    residuals = sum(np.sum((y - z @ fitted) ** 2, axis=0) for (z, y), fitted in zip(training, own, strict=True))
    variances = np.asarray(residuals) / degrees
    errors = variances[:, None, None, None] * np.linalg.inv(grams)  # (q, K, p, p)
    return np.stack([_one_response(own[:, :, j], errors[j]) for j in range(own.shape[2])], axis=2)


def _one_response(own: FloatArray, errors: FloatArray) -> FloatArray:
    """E[θ_k | x_k], (K, p), at the maximum of the likelihood; ``own`` (K, p), ``errors`` (K, p, p)."""
    spread = np.cov(own.T, bias=True).reshape(own.shape[1], own.shape[1])
    for _ in range(_STEPS):
        precisions = np.linalg.inv(spread + errors)
        mean = np.linalg.solve(precisions.sum(axis=0), np.einsum("kij,kj->i", precisions, own))
        gains = spread @ precisions
        moved = np.einsum("kij,kj->ki", gains, own - mean)
        renewed = (moved.T @ moved + np.sum(spread - gains @ spread, axis=0)) / len(own)
        done = np.linalg.norm(renewed - spread) <= _TOLERANCE * np.linalg.norm(spread)
        spread = (renewed + renewed.T) / 2.0
        if done:
            break
    return np.asarray(mean + moved, dtype=np.float64)


@dataclass(frozen=True)
class RandomCoefficients:
    """The mixed model of this file on the training data of a regime that keeps them in ``extras["training"]``."""

    name: ClassVar[str] = "Mixed model"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation metrics and those of the regime's scorers."""
        return evaluate(instance, conditional_means(instance.extras["training"]))
