"""FedRot-LoRA (Zhang, Kim, Cha and Vikalo, ICML 2026; arXiv 2602.23638): factors are turned into line, then averaged.

B_k A_k = (B_k R)(RᵀA_k) for every orthogonal R, so equal updates may come as different factors, and their means
cancel.  Client k turns its factors by the solution of an orthogonal Procrustes problem (Schönemann, 1966) against a
reference that all know, the factors from which the round began.  Told that reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from clair_stats.baselines.aggregation.aggregated import Aggregated, Pair, checked_pairs, equal_ranks
from clair_stats.baselines.aggregation.fedit import fedit
from clair_stats.records import FloatArray

__all__ = ["fedrot", "turned"]


def turned(pair: Pair, reference: FloatArray, *, aligned: Literal["left", "right"]) -> Pair:
    """The same product with the factor ``aligned`` as near to the reference as an orthogonal matrix can bring it.

    Parameters
    ----------
    pair : pair of ndarray, shapes (p, s) and (s, q)
    reference : ndarray, shape (p, s) or (s, q)
        A reference for B or for A.
    aligned : {"left", "right"}
        Whether B or A is compared with the reference.

    Returns
    -------
    pair of ndarray, shapes (p, s) and (s, q)
    """
    left, right = pair
    cross = left.T @ reference if aligned == "left" else right @ reference.T
    first, _, second = np.linalg.svd(cross)
    rotation = first @ second
    return left @ rotation, rotation.T @ right


def fedrot(
    pairs: Sequence[Pair],
    *,
    weights: FloatArray | None = None,
    reference: Pair | None = None,
    aligned: Literal["left", "right"] = "right",
) -> Aggregated:
    """Turn the factors of every client, then average both.

    Parameters
    ----------
    pairs : sequence of pairs of ndarray, shapes (p, s_k) and (s_k, q)
        B_k and A_k.
    weights : ndarray, shape (K,), optional
        For instance sample sizes; equal when not given.
    reference : pair of ndarray, shapes (p, s) and (s, q), optional
        Factors from which the round began; the first client's when not given.
    aligned : {"left", "right"}
        Which factor is compared with the reference's; the paper takes them by turns.

    Returns
    -------
    Aggregated

    Raises
    ------
    ValueError
        Bad factors or weights, an unknown ``aligned``, ranks that differ, or a reference of another shape.
    """
    if aligned not in ("left", "right"):
        raise ValueError(f"aligned: {aligned!r} is unknown; give 'left' (B) or 'right' (A)")
    given, _ = checked_pairs(pairs)
    equal_ranks(given, "FedRot-LoRA")
    side = 0 if aligned == "left" else 1
    target = np.asarray((given[0] if reference is None else reference)[side], dtype=np.float64)
    if target.shape != given[0][side].shape or not np.isfinite(target).all():
        raise ValueError(f"reference: give finite numbers of shape {given[0][side].shape}, as the clients' factors")
    return fedit([turned(pair, target, aligned=aligned) for pair in given], weights=weights)
