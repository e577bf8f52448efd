"""What an aggregation of low-rank factors hands out, and the checks that every aggregation makes.

Client k sends B_k (p × s_k) and A_k (s_k × q) with ΔW_k = B_k A_k, the scaling α/s already in B_k (Hu et al., 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from clair_stats.records import FloatArray

__all__ = [
    "Aggregated",
    "Aggregation",
    "Pair",
    "checked_pairs",
    "checked_round",
    "checked_weights",
    "equal_ranks",
    "mean_factor",
    "mean_pair",
    "same_factor",
]

Pair: TypeAlias = tuple[FloatArray, FloatArray]

# Factors that are to be the same for all clients may differ by rounding only; relative to the largest entry.
_SAME = 1e-12


@dataclass(frozen=True, eq=False)
class Aggregated:
    """What the clients hold after one aggregation: a part merged into the base weights, and factors to go on with.

    ``factors`` is None where clients start the next round from fresh factors whose product is zero.
    """

    n_clients: int
    block_shape: tuple[int, int]  # (p, q)
    factors: tuple[Pair, ...] | None  # K pairs (p × t_k, t_k × q)
    residual: Pair | None  # one product for all, added to the frozen weights
    sent_up: int  # numbers sent to the server, all clients together
    sent_down: int  # numbers sent to the clients, all together

    def updates(self) -> FloatArray:
        """Change of every client's effective weights.

        Returns
        -------
        ndarray, shape (K, p, q)
            Scale of the products B_k A_k.
        """
        total = np.zeros((self.n_clients, *self.block_shape))
        if self.residual is not None:
            total += self.residual[0] @ self.residual[1]
        if self.factors is not None:
            total += np.stack([left @ right for left, right in self.factors])
        return total


class Aggregation(Protocol):
    """The one signature of aggregations that need nothing but the factors."""

    def __call__(self, pairs: Sequence[Pair], *, weights: FloatArray | None = None) -> Aggregated:
        """Aggregate one round."""
        ...


def checked_pairs(pairs: Sequence[Pair]) -> tuple[tuple[Pair, ...], tuple[int, int]]:
    """Refuse factors that cannot be aggregated.

    Parameters
    ----------
    pairs : sequence of pairs of ndarray, shapes (p, s_k) and (s_k, q)

    Returns
    -------
    tuple
        The pairs, and (p, q).

    Raises
    ------
    ValueError
        No client, matrices of other shapes, or entries that are not finite; the message names the client.
    """
    if not pairs:
        raise ValueError("pairs: no client given; give at least one pair (B_k, A_k)")
    checked: list[Pair] = []
    for k, (left, right) in enumerate(pairs):
        first, second = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
        if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[0]:
            raise ValueError(f"client {k}: factors have shapes {first.shape} and {second.shape}; give p × s and s × q")
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            raise ValueError(f"client {k}: factors have entries that are NaN or infinite; leave this client out")
        if checked and (first.shape[0], second.shape[1]) != (checked[0][0].shape[0], checked[0][1].shape[1]):
            raise ValueError(f"client {k}: factors multiply to another shape than client 0's; give one shape p × q")
        checked.append((first, second))
    return tuple(checked), (checked[0][0].shape[0], checked[0][1].shape[1])


def checked_weights(weights: FloatArray | None, n_clients: int) -> FloatArray:
    """Shares of the clients, summing to 1.

    Parameters
    ----------
    weights : ndarray, shape (K,), optional
        Not negative, for instance sample sizes; equal when not given.
    n_clients : int
        K.

    Returns
    -------
    ndarray, shape (K,)

    Raises
    ------
    ValueError
        Another shape, a negative or infinite weight, or no positive one.
    """
    if weights is None:
        return np.full(n_clients, 1.0 / n_clients)
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (n_clients,) or not np.isfinite(given).all() or (given < 0.0).any() or not given.sum() > 0.0:
        raise ValueError(f"weights: give {n_clients} finite numbers that are not negative, at least one positive")
    return np.asarray(given / given.sum(), dtype=np.float64)


def equal_ranks(pairs: Sequence[Pair], method: str) -> int:
    """The rank of all factors, which factor-wise means need.

    Parameters
    ----------
    pairs : sequence of pairs of ndarray, shapes (p, s) and (s, q)
    method : str
        Name in the message.

    Returns
    -------
    int
        s.

    Raises
    ------
    ValueError
        Ranks that differ.
    """
    ranks = {int(left.shape[1]) for left, _ in pairs}
    if len(ranks) > 1:
        raise ValueError(f"{method}: clients have ranks {sorted(ranks)}; it averages factors and needs one rank")
    return ranks.pop()


def checked_round(
    pairs: Sequence[Pair], weights: FloatArray | None, method: str
) -> tuple[tuple[Pair, ...], tuple[int, int], FloatArray, int]:
    """What aggregations that average factors check of a round.

    Parameters
    ----------
    pairs : sequence of pairs of ndarray, shapes (p, s) and (s, q)
    weights : ndarray, shape (K,), optional
    method : str
        Name in the message.

    Returns
    -------
    tuple
        The pairs, (p, q), the shares (K,) of the clients, and the rank s.

    Raises
    ------
    ValueError
        Bad factors or weights, or ranks that differ between clients.
    """
    given, shape = checked_pairs(pairs)
    shares = checked_weights(weights, len(given))
    return given, shape, shares, equal_ranks(given, method)


def mean_pair(pairs: Sequence[Pair], shares: FloatArray) -> Pair:
    """Weighted means of both factors.

    Parameters
    ----------
    pairs : sequence of pairs of ndarray, shapes (p, s) and (s, q)
    shares : ndarray, shape (K,)
        They sum to 1.

    Returns
    -------
    pair of ndarray, shapes (p, s) and (s, q)
    """
    return mean_factor([left for left, _ in pairs], shares), mean_factor([right for _, right in pairs], shares)


def mean_factor(factors: Sequence[FloatArray], shares: FloatArray) -> FloatArray:
    """Weighted mean of one factor over the clients.

    Parameters
    ----------
    factors : sequence of ndarray, shape (a, b) each
    shares : ndarray, shape (K,)
        They sum to 1.

    Returns
    -------
    ndarray, shape (a, b)
    """
    return np.asarray(np.tensordot(shares, np.stack(factors), axes=1), dtype=np.float64)


def same_factor(factors: Sequence[FloatArray], method: str, name: str) -> FloatArray:
    """The factor that all clients are to have in common.

    Parameters
    ----------
    factors : sequence of ndarray, shape (a, b) each
    method, name : str
        Names in the message.

    Returns
    -------
    ndarray, shape (a, b)

    Raises
    ------
    ValueError
        Factors that differ by more than rounding; the message names the client.
    """
    first = factors[0]
    largest = float(np.abs(first).max())
    for k, other in enumerate(factors):
        if other.shape != first.shape or np.abs(other - first).max() > _SAME * largest:
            raise ValueError(f"{method}: client {k} has another {name} than client 0; it has to be frozen in training")
    return first
