"""Shapley values of clients or data groups (Shapley, 1953): exact, and by sampled permutations.

φ_k = Σ_{S ∌ k} |S|!(K − 1 − |S|)!/K! · (v(S ∪ k) − v(S)).  Sampled permutations (Castro, Gómez and Tejada, 2009)
average the marginal contributions of every client; either way the values add up to v(all) − v(∅).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from clair_stats.records import BoolArray, FloatArray

__all__ = ["ShapleyValues", "exact_shapley", "sampled_shapley"]

_MOST_EXACT = 12  # 4,096 coalitions

Value = Callable[[BoolArray], float]


class ShapleyValues(NamedTuple):
    """Values and their Monte Carlo standard errors, 0 where they are exact; scale of the value function."""

    values: FloatArray  # (K,)
    errors: FloatArray  # (K,)


def exact_shapley(value: Value, n_players: int) -> ShapleyValues:
    """Every coalition is evaluated once.

    Parameters
    ----------
    value : callable
        v, from a mask of shape (K,) to a number; also called with the empty coalition.
    n_players : int
        K, from 1 to 12.

    Returns
    -------
    ShapleyValues
        shape (K,)

    Raises
    ------
    ValueError
        K outside 1 … 12.
    """
    if not 1 <= n_players <= _MOST_EXACT:
        raise ValueError(f"n_players: {n_players}; exact values take 1 to {_MOST_EXACT}; sample permutations beyond")
    codes = np.arange(2**n_players)
    masks = (codes[:, None] >> np.arange(n_players)) & 1 == 1
    worth = np.array([float(value(mask)) for mask in masks])
    sizes = masks.sum(axis=1)
    # Weight of a coalition without player k: one over the number of such coalitions of its size, and of sizes.
    weight = np.array([1.0 / (n_players * math.comb(n_players - 1, size)) for size in range(n_players)])
    values = np.empty(n_players)
    for k in range(n_players):
        without = codes[~masks[:, k]]
        values[k] = np.sum(weight[sizes[without]] * (worth[without | (1 << k)] - worth[without]))
    return ShapleyValues(values, np.zeros(n_players))


def sampled_shapley(
    value: Value, n_players: int, *, permutations: int, generator: np.random.Generator
) -> ShapleyValues:
    """Marginal contributions in random orders.

    Parameters
    ----------
    value : callable
        v, from a mask of shape (K,) to a number; also called with the empty coalition.
    n_players : int
        K.
    permutations : int
        Number of random orders, at least 2; each takes K + 1 evaluations.
    generator : numpy.random.Generator

    Returns
    -------
    ShapleyValues
        shape (K,); errors are standard errors of the mean over permutations.

    Raises
    ------
    ValueError
        No player, or fewer than two permutations.
    """
    if n_players < 1 or permutations < 2:
        raise ValueError(f"permutations: {permutations} for {n_players} players; give at least 2, and one player")
    contributions = np.empty((permutations, n_players))
    for row in contributions:
        members = np.zeros(n_players, dtype=np.bool_)
        before = float(value(members.copy()))
        for k in generator.permutation(n_players):
            members[k] = True
            after = float(value(members.copy()))
            row[k] = after - before
            before = after
    errors = contributions.std(axis=0, ddof=1) / math.sqrt(permutations)
    return ShapleyValues(contributions.mean(axis=0), np.asarray(errors, dtype=np.float64))
