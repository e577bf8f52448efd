"""Estimates of one module that kept different ranks are cut to a common one before they are compared.

A client that kept rank 16 where others kept 4 carries four times as many error components, and looks contaminated.

See docs/derivations/joint_verdict.md, section 2.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clair_stats.detection.joint.module import triangular
from clair_stats.detection.levelling import ROUNDING, common_rank
from clair_stats.estimates import ClientEstimates
from clair_stats.products import truncated_product
from clair_stats.records import FloatArray

__all__ = ["as_factors", "kept_ranks", "levelled"]

# Dense blocks from this size on are looked at for a rank of at most a quarter of it; below, whole blocks are cheap.
_LARGE = 64
_SEED = 20_261_129


def as_factors(record: ClientEstimates) -> ClientEstimates:
    """The record with large dense blocks of low rank as factors; the record itself where there are none.

    The range of a block is that of its product with random columns (Halko, Martinsson and Tropp, SIAM Rev. 53(2),
    2011), exactly so with probability 1 when there are at least as many columns as its rank.

    Parameters
    ----------
    record : ClientEstimates

    Returns
    -------
    ClientEstimates
    """
    p, q = record.block_shape
    width = min(p, q) // 4
    if record.values is None or min(p, q) < _LARGE:
        return record
    probe = np.random.default_rng(_SEED).standard_normal((q, width))
    pairs = []
    for block in record.values:
        basis = np.linalg.qr(block @ probe)[0]
        inner = basis.T @ block
        energy = float(np.sum(block**2))
        if energy - float(np.sum(inner**2)) > ROUNDING**2 * energy:
            return record
        values, vectors = np.linalg.eigh(inner @ inner.T)
        used = vectors[:, values > ROUNDING**2 * values[-1]] if values[-1] > 0 else vectors[:, -1:]
        pairs.append((basis @ used, used.T @ inner))
    covariances = {"row_covariances": None, "column_covariances": None, "residual_degrees_of_freedom": None}
    return replace(record, values=None, factors=tuple(pairs), halves=None, **covariances)


def kept_ranks(record: ClientEstimates) -> NDArray[np.int64]:
    """Numerical rank of every client's estimate, shape (K,).

    Parameters
    ----------
    record : ClientEstimates

    Returns
    -------
    ndarray of int, shape (K,)
    """
    if record.factors is not None:
        sizes = [_spectrum(left, right) for left, right in record.factors]
        return np.array([int((s > ROUNDING * s[0]).sum()) for s in sizes])
    blocks = record.dense()
    if blocks.shape[1] > blocks.shape[2]:
        blocks = blocks.transpose(0, 2, 1)
    largest = np.abs(blocks).max(axis=(1, 2), keepdims=True)
    blocks = blocks / np.where(largest > 0.0, largest, 1.0)  # every client in its own unit: ranks have none
    # Squares from the smaller Gram matrices: a hundredfold faster than K decompositions, and 1e-12 is far above 1e-16.
    squares = np.linalg.eigvalsh(blocks @ blocks.transpose(0, 2, 1))
    return np.asarray((squares > ROUNDING**2 * squares[:, -1:]).sum(axis=1), dtype=np.int64)


def levelled(record: ClientEstimates) -> tuple[ClientEstimates, int, bool]:
    """The record with every estimate cut to the lower quartile of the ranks, that rank, and whether any was cut.

    Parameters
    ----------
    record : ClientEstimates

    Returns
    -------
    tuple of ClientEstimates, int and bool
    """
    ranks = kept_ranks(record)
    common, to_cut = common_rank(ranks, min(record.block_shape))
    if not to_cut:
        return record, max(common, 1), False
    if record.factors is not None:
        cut = tuple(
            truncated_product(*pair, common)[:2] if rank > common else pair
            for pair, rank in zip(record.factors, ranks, strict=True)
        )
        return replace(record, factors=cut), common, True
    blocks = record.dense().copy()
    for k in np.flatnonzero(ranks > common):
        left, sizes, right = np.linalg.svd(blocks[k], full_matrices=False)
        blocks[k] = (left[:, :common] * sizes[:common]) @ right[:common]
    return replace(record, values=blocks), common, True


def _spectrum(left: FloatArray, right: FloatArray) -> FloatArray:
    """Singular values of a product, from the triangular factors of its two sides."""
    return np.asarray(np.linalg.svd(triangular(left) @ triangular(right.T).T, compute_uv=False))
