"""Regression with missing features: every client fits what it has, in one of five ways.

The features are what the method of sparse codes assumes: sparse combinations of the atoms of one dictionary, which
nobody knows, and noise.  They are not normal, so that the best guess of a missing feature is no linear function of the
observed ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.records import FloatArray
from simulations.regimes.fitted import fitted_instance
from simulations.regimes.instance import Instance
from simulations.regimes.missing_features import BLOCK, HANDLINGS, Handling, Pattern, draw_observed, fit_incomplete
from simulations.regimes.sparse_codes import Loss
from simulations.regimes.structure import SharedStructure
from simulations.streams import Streams

__all__ = ["IncompleteRegime"]


@dataclass(frozen=True, kw_only=True)
class IncompleteRegime(SharedStructure):
    """Y_k = Z_kΘ*_k + W_k, and a share of the entries of Z_k is missing.

    Parameters
    ----------
    handling : str
        What clients do about it, one of :data:`simulations.regimes.missing_features.HANDLINGS`.
    missing : float
        Expected share of missing entries, 0 to 0.75.
    pattern : {"random", "block"}
        Which entries, see :mod:`simulations.regimes.missing_features`.
    sample_size : int
        n.
    n_atoms, n_active : int
        Atoms of the dictionary, and how many of them an observation combines, with standard normal weights.
    feature_noise : float
        Standard deviation of what is added to each feature, whose variance is 1 on average without it.
    response_scale : float
        Standard deviation of the entries of W_k.

    Notes
    -----
    ``extras`` beside those of :func:`simulations.regimes.fitted.fitted_instance`: ``missing``, the realised share;
    ``scorers`` with ``excess``, the mean over benign clients of E‖zᵀ(X − Θ*)‖² over E‖zᵀΘ*‖², z a new complete
    observation: what a prediction loses beyond its noise.
    """

    name: ClassVar[str] = "Incomplete features"
    _loss: ClassVar[Loss] = "squares"

    handling: Handling = "complete"
    missing: float = 0.2
    pattern: Pattern = "random"
    sample_size: int = 200
    n_atoms: int = 15
    n_active: int = 2
    feature_noise: float = 0.1
    response_scale: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.handling not in HANDLINGS:
            raise ValueError(f"handling: {self.handling!r}; use one of {', '.join(HANDLINGS)}")
        if self.pattern not in ("random", "block"):
            raise ValueError(f"pattern: {self.pattern!r}; use 'random' or 'block'")
        if not 0.0 <= self.missing <= BLOCK:
            raise ValueError(f"missing: {self.missing}; give a share from 0 to {BLOCK}")
        if self.sample_size <= self.n_rows + 1:
            raise ValueError(f"sample_size: {self.sample_size} must exceed n_rows + 1 = {self.n_rows + 1}")
        if not 1 <= self.n_active <= self.n_atoms:
            raise ValueError(f"n_active: {self.n_active}; give 1 to n_atoms = {self.n_atoms}")
        for name in ("feature_noise", "response_scale"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0.0):
                raise ValueError(f"{name}: {getattr(self, name)} must be finite and not negative")

    def generate(self, streams: Streams) -> Instance:
        """Truth ("truth", "contamination"), features ("data"), masks ("mask"), errors ("noise"); then the fits."""
        truth = self.draw_truth(streams)
        data, noise = streams.generator("data"), streams.generator("noise")
        masks, handling = streams.generator("mask"), streams.generator("handling")
        atoms = data.standard_normal((self.n_rows, self.n_atoms))
        atoms *= math.sqrt(self.n_rows / self.n_active) / np.linalg.norm(atoms, axis=0)
        fits, shares = [], []
        for k in range(self.n_clients):
            features = self._features(atoms, data)
            responses = self._responses(features @ truth.targets[k], noise)
            observed = draw_observed(*features.shape, missing=self.missing, pattern=self.pattern, generator=masks)
            shares.append(1.0 - observed.mean())
            fits.append(
                fit_incomplete(
                    features,
                    observed,
                    responses,
                    self.handling,
                    n_atoms=self.n_atoms,
                    generator=handling,
                    client=f"client {k}",
                    loss=self._loss,
                )
            )
        moments = self.n_active / self.n_atoms * atoms @ atoms.T + self.feature_noise**2 * np.eye(self.n_rows)
        members = truth.collaborative_set

        def excess(estimates: FloatArray) -> float:
            lost, whole = (
                np.einsum("kij,il,klj->k", block, moments, block)
                for block in ((estimates - truth.targets)[members], truth.targets[members])
            )
            return float(np.mean(lost / whole))

        return fitted_instance(truth, fits, missing=float(np.mean(shares)), scorers={"excess": excess})

    def _responses(self, scores: FloatArray, noise: np.random.Generator) -> FloatArray:
        """(n, q), from ZΘ*."""
        return scores + self.response_scale * noise.standard_normal(scores.shape)

    def _features(self, atoms: FloatArray, generator: np.random.Generator) -> FloatArray:
        """(n, p)."""
        ranks = generator.random((self.sample_size, self.n_atoms)).argsort(axis=1)
        weights = np.where(ranks < self.n_active, generator.standard_normal(ranks.shape), 0.0)
        blur = self.feature_noise * generator.standard_normal((self.sample_size, self.n_rows))
        return np.asarray(weights @ atoms.T + blur, dtype=np.float64)
