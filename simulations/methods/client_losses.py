"""The clients' least-squares losses, as training over rounds sees them.

With the fit X_k and Gram matrix Z_kᵀZ_k the loss of client k is ½⟨W − X_k, G_k(W − X_k)⟩ and a constant.  G_k is the
Gram matrix divided by the mean of its diagonal over all clients, so that a learning rate means the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.records import FloatArray
from simulations.regimes.instance import Instance

__all__ = ["ClientLosses"]


@dataclass(frozen=True, eq=False)
class ClientLosses:
    """Quadratic losses of K clients.

    Parameters
    ----------
    curvatures : ndarray, shape (K, p, p)
        G_k, dimensionless, mean diagonal 1.
    optima : ndarray, shape (K, p, q)
        X_k, scale of the estimates.
    """

    curvatures: FloatArray
    optima: FloatArray

    @classmethod
    def of(cls, instance: Instance) -> ClientLosses:
        """Losses of the clients of a regime with least-squares fits.

        Parameters
        ----------
        instance : Instance
            ``extras["fits"]`` has the covariance (ZᵀZ)⁻¹ of every fit, up to scale.

        Returns
        -------
        ClientLosses

        Raises
        ------
        ValueError
            The regime keeps no fits.
        """
        if "fits" not in instance.extras:
            raise ValueError("training over rounds needs the clients' fits; use a regime that keeps them in extras")
        precisions = np.stack([np.linalg.inv(fit.row_covariance) for fit in instance.extras["fits"]])
        # The residual variance in the covariance differs between clients and is no part of the loss's shape.
        diagonals = np.trace(precisions, axis1=1, axis2=2) / precisions.shape[1]
        return cls(precisions / diagonals[:, None, None], instance.estimates.dense())

    def gradients(self, weights: FloatArray) -> FloatArray:
        """G_k(W_k − X_k) of every client.

        Parameters
        ----------
        weights : ndarray, shape (K, p, q) or (p, q)

        Returns
        -------
        ndarray, shape (K, p, q)
        """
        return np.asarray(self.curvatures @ (weights - self.optima), dtype=np.float64)

    def mean_loss(self, weights: FloatArray) -> float:
        """Mean over clients of ½⟨W − X_k, G_k(W − X_k)⟩.

        Parameters
        ----------
        weights : ndarray, shape (p, q)

        Returns
        -------
        float
            Squared scale of the estimates.
        """
        away = weights - self.optima
        return float(0.5 * np.mean(np.einsum("kij,kij->k", away, self.curvatures @ away)))

    def minimiser(self) -> FloatArray:
        """The W that minimises the mean loss.

        Returns
        -------
        ndarray, shape (p, q)
        """
        return np.asarray(
            np.linalg.solve(self.curvatures.sum(axis=0), (self.curvatures @ self.optima).sum(axis=0)), dtype=np.float64
        )
