"""FedHyper on minibatches: the clients' losses seen through a few of their observations at a time.

Regimes keep fits and no observations.  A client's n observations are drawn anew so that they give its fit and Gram
matrix exactly: Z = √n Q Lᵀ with Q uniform among n × p matrices with orthonormal columns and G = LLᵀ, and Y = ZX + E
with E off the columns of Z.  For normal rows and errors that is their distribution given the fit, so that the full
loss is the one of :class:`simulations.methods.client_losses.ClientLosses` and the gradient on a minibatch has the noise
of the regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.records import FloatArray
from simulations.methods.client_losses import ClientLosses
from simulations.methods.fed_hyper import FedHyperRounds, compared
from simulations.regimes.instance import Instance

__all__ = ["FedHyperMinibatches", "MinibatchLosses"]


@dataclass(frozen=True, eq=False)
class MinibatchLosses(ClientLosses):
    """Losses whose gradients are those on minibatches drawn with replacement.

    Parameters
    ----------
    curvatures, optima
        As in :class:`ClientLosses`.
    rows : ndarray, shape (K, n, p)
        Z_k in the unit in which Z_kᵀZ_k/n is the curvature.
    responses : ndarray, shape (K, n, q)
        Y_k in the same unit.
    batch : int
        Observations in a minibatch.
    generator : numpy.random.Generator
        Draws the minibatches.
    """

    rows: FloatArray
    responses: FloatArray
    batch: int
    generator: np.random.Generator

    @classmethod
    def drawn(cls, instance: Instance, *, batch: int, generator: np.random.Generator, seed: int) -> MinibatchLosses:
        """Observations that give the instance's fits.

        Parameters
        ----------
        instance : Instance
            All clients with as many observations, at least p.
        batch : int
        generator : numpy.random.Generator
            Draws the observations.
        seed : int
            Of the minibatches.

        Returns
        -------
        MinibatchLosses

        Raises
        ------
        ValueError
            The regime keeps no fits, or numbers of observations differ or are below p.
        """
        losses = ClientLosses.of(instance)
        sizes = {round(fit.effective_sample_size) for fit in instance.extras["fits"]}
        n_clients, p, q = losses.optima.shape
        if len(sizes) != 1 or min(sizes) < p:
            raise ValueError(f"sample sizes {sorted(sizes)}: minibatches are of clients with one size, at least {p}")
        n = sizes.pop()
        # The curvature is ZᵀZ/(s²d), d the mean diagonal of the fit's precision: errors have variance n/d beside it.
        precisions = np.stack([np.linalg.inv(fit.row_covariance) for fit in instance.extras["fits"]])
        deviations = np.sqrt(n * p / np.trace(precisions, axis1=1, axis2=2))
        frames = np.linalg.qr(generator.standard_normal((n_clients, n, p)))[0]
        rows = np.sqrt(n) * frames @ np.linalg.cholesky(losses.curvatures).transpose(0, 2, 1)
        errors = deviations[:, None, None] * generator.standard_normal((n_clients, n, q))
        errors -= frames @ (frames.transpose(0, 2, 1) @ errors)
        minibatches = np.random.default_rng(seed)
        return cls(losses.curvatures, losses.optima, rows, rows @ losses.optima + errors, batch, minibatches)

    def gradients(self, weights: FloatArray) -> FloatArray:
        """Z_BᵀZ_B W − Z_BᵀY_B over the size of a fresh minibatch B, of every client.

        Parameters
        ----------
        weights : ndarray, shape (K, p, q) or (p, q)

        Returns
        -------
        ndarray, shape (K, p, q)
        """
        n_clients, n, _ = self.rows.shape
        picks = self.generator.integers(n, size=(n_clients, self.batch))
        who = np.arange(n_clients)[:, None]
        rows, responses = self.rows[who, picks], self.responses[who, picks]
        return np.asarray(rows.transpose(0, 2, 1) @ (rows @ weights - responses) / self.batch, dtype=np.float64)


@dataclass(frozen=True)
class FedHyperMinibatches(FedHyperRounds):
    """As :class:`simulations.methods.fed_hyper.FedHyperRounds`, with gradients on minibatches.

    Parameters
    ----------
    rate, steps, gap, limit
        As there; the loss that is to be reached is the full one.
    batch : int
        Observations in a minibatch.

    Notes
    -----
    All schedules see the same minibatches, step for step.
    """

    name: ClassVar[str] = "FedHyper on minibatches"

    batch: int = 5

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Rounds of the four schedules on the same clients and minibatches."""
        seed = int(generator.integers(2**63))
        drawn = int(generator.integers(2**63))

        def fresh() -> ClientLosses:
            observations = np.random.default_rng(drawn)
            return MinibatchLosses.drawn(instance, batch=self.batch, generator=observations, seed=seed)

        return compared(fresh, self)
