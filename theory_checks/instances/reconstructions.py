"""Observations that are sparse in a dictionary, seen in part, and reconstructions that fit what is seen.

Half of them are as bad as they can be: observation and reconstruction differ by the sparse combination of atoms that
shows least in the observed features.  The others are the best sparse fit to what is observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
import scipy.linalg

from clair_stats.records import BoolArray, FloatArray
from simulations.streams import Streams

__all__ = ["Reconstruction", "ReconstructionRegime", "visibility"]


def visibility(
    dictionary: FloatArray, observed: BoolArray, n_active: int, supports: list[tuple[int, ...]] | None = None
) -> tuple[float, FloatArray]:
    """α = min ‖(Dv)_O‖/‖Dv‖ over v ≠ 0 with at most 2s nonzero entries, and a v that attains it at ‖Dv‖ = 1.

    Parameters
    ----------
    dictionary : ndarray, shape (p, m)
        Every 2s columns linearly independent.
    observed : ndarray of bool, shape (p,)
    n_active : int
        s.
    supports : list of tuples of int, optional
        Only these sets of 2s atoms; all of them by default.

    Returns
    -------
    float and ndarray, shape (m,)
    """
    best, vector = np.inf, np.zeros(dictionary.shape[1])
    for support in supports or combinations(range(dictionary.shape[1]), 2 * n_active):
        columns = dictionary[:, list(support)]
        seen = columns[observed]
        values, vectors = scipy.linalg.eigh(seen.T @ seen, columns.T @ columns, subset_by_index=[0, 0])
        if values[0] < best:
            best, vector = float(values[0]), np.zeros(dictionary.shape[1])
            vector[list(support)] = vectors[:, 0]
    # The root of an eigenvalue near rounding says less than the quotient itself.
    whole = dictionary @ vector
    return float(np.linalg.norm(whole[observed]) / np.linalg.norm(whole)), vector / np.linalg.norm(whole)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Observations with their reconstructions, one row each.

    Parameters
    ----------
    dictionary : ndarray, shape (p, m)
    observed : ndarray of bool, shape (n, p)
    truth, rebuilt : ndarray, shape (n, p)
        z_i and D ŝ_i.
    misfit : ndarray, shape (n,)
        δ_i, a bound on ‖z_i − D s_i‖.
    n_active : int
        s.
    """

    dictionary: FloatArray
    observed: BoolArray
    truth: FloatArray
    rebuilt: FloatArray
    misfit: FloatArray
    n_active: int


@dataclass(frozen=True, kw_only=True)
class ReconstructionRegime:
    """Two observations of one dictionary with unit atoms, the second one as bad as can be.

    Parameters
    ----------
    n_features, n_atoms, n_active : int
        p, m, s.
    n_missing : int
        Features that are missing, other ones for every observation.
    misfit : float
        ‖z_i − D s_i‖, in a random direction.
    """

    name: ClassVar[str] = "reconstructions"

    n_features: int = 8
    n_atoms: int = 10
    n_active: int = 2
    n_missing: int = 2
    misfit: float = 0.0

    def __post_init__(self) -> None:
        if not 2 * self.n_active <= self.n_features - self.n_missing:
            raise ValueError(
                f"n_missing: {self.n_missing} of {self.n_features} features leave less than the {2 * self.n_active} "
                "that tell two sparse combinations apart; give a smaller number"
            )

    def generate(self, streams: Streams) -> Reconstruction:
        """Dictionary, masks, codes and misfit, all from "data"."""
        generator = streams.generator("data")
        dictionary = generator.standard_normal((self.n_features, self.n_atoms))
        dictionary /= np.linalg.norm(dictionary, axis=0)
        observed = np.ones((2, self.n_features), dtype=np.bool_)
        for row in observed:
            row[generator.permutation(self.n_features)[: self.n_missing]] = False
        away = generator.standard_normal((2, self.n_features))
        away *= self.misfit / np.linalg.norm(away, axis=1, keepdims=True)
        codes, rebuilt = np.zeros((2, self.n_atoms)), np.zeros((2, self.n_atoms))
        codes[0, generator.permutation(self.n_atoms)[: self.n_active]] = generator.standard_normal(self.n_active)
        truth = codes @ dictionary.T + away
        rebuilt[0] = self._best(dictionary, observed[0], truth[0])
        _, worst = visibility(dictionary, observed[1], self.n_active)
        kept = generator.permutation(np.flatnonzero(worst))[: self.n_active]
        codes[1, kept] = worst[kept]
        rebuilt[1] = codes[1] - worst
        return Reconstruction(
            dictionary=dictionary,
            observed=observed,
            truth=codes @ dictionary.T + away,
            rebuilt=rebuilt @ dictionary.T,
            misfit=np.full(2, self.misfit),
            n_active=self.n_active,
        )

    def _best(self, dictionary: FloatArray, observed: BoolArray, values: FloatArray) -> FloatArray:
        """Code (m,) with s nonzero entries that fits the observed values best."""
        smallest, code = np.inf, np.zeros(self.n_atoms)
        for support in combinations(range(self.n_atoms), self.n_active):
            columns = dictionary[:, list(support)][observed]
            own, *_ = np.linalg.lstsq(columns, values[observed], rcond=None)
            error = float(np.linalg.norm(values[observed] - columns @ own))
            if error < smallest:
                smallest, code = error, np.zeros(self.n_atoms)
                code[list(support)] = own
        return code
