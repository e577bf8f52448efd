"""Estimates of different rank or scale are made comparable, so that a score measures neither.

A client that kept rank 16 where others kept 4 carries four times as many error components, and looks contaminated.

See docs/derivations/detection.md, section 8.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import centred_blocks, fit_shared
from clair_stats.linalg import project_off
from clair_stats.records import BoolArray, FloatArray

__all__ = ["ROUNDING", "common_rank", "kept_ranks", "levelled", "log_residuals", "with_norms_divided_out"]

# Singular values below this share of the largest are rounding of a product in single precision.
ROUNDING = 1e-6
# A quarter of the clients cannot lower the common rank, and so cannot blind the test, by sending less.
_QUANTILE = 0.25


def common_rank(ranks: NDArray[np.int64], full: int) -> tuple[int, bool]:
    """The rank to which larger ones are cut before estimates are compared: the lower quartile of the clients' ranks.

    Parameters
    ----------
    ranks : ndarray of int, shape (K,)
        Numerical ranks of the clients' estimates.
    full : int
        The smaller side of an estimate.

    Returns
    -------
    tuple of int and bool
        The rank, and whether anything is to be cut: not where ranks are equal, a quarter of the clients sends zeros, or
        most clients send estimates of full rank.
    """
    common = int(np.quantile(ranks, _QUANTILE, method="lower"))
    return common, bool(0 < common < ranks.max() and np.median(ranks) < full)


def kept_ranks(panel: Panel) -> NDArray[np.int64]:
    """Numerical rank of every client's block, shape (K,).

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    ndarray of int, shape (K,)
    """
    sizes = np.linalg.svd(panel.blocks, compute_uv=False)
    return np.asarray((sizes > ROUNDING * sizes[:, :1]).sum(axis=1), dtype=np.int64)


def levelled(panel: Panel) -> tuple[Panel, int | None]:
    """The panel with every block cut to the lower quartile of the ranks, and that rank; None when nothing was cut.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    tuple of Panel and int or None
    """
    common, to_cut = common_rank(kept_ranks(panel), min(panel.shape[1:]))
    if not to_cut:
        return panel, None
    left, sizes, right = np.linalg.svd(panel.blocks, full_matrices=False)
    blocks = (left[:, :, :common] * sizes[:, None, :common]) @ right[:, :common]
    energies = np.einsum("kij,kij->k", blocks, blocks)
    return replace(panel, blocks=blocks, energies=energies), common


def with_norms_divided_out(panel: Panel) -> Panel:
    """Every block divided by its norm; the common component then enters all alike.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    Panel
    """
    factors = np.sqrt(panel.energies / max(float(np.median(panel.energies)), np.finfo(float).tiny))
    factors = np.maximum(factors, np.finfo(float).eps)
    blocks = panel.blocks / factors[:, None, None]
    design = (panel.design > 0).astype(np.float64)
    energies = np.einsum("kij,kij->k", blocks, blocks)
    return replace(
        panel,
        blocks=blocks,
        design=design,
        energies=energies,
        units=panel.units * panel.scales * factors,
        scales=np.ones_like(panel.scales),
    )


def log_residuals(panel: Panel, members: BoolArray, rank: int) -> FloatArray:
    """Log ‖(I − UUᵀ)(Y_k − c_km)‖² of every client, U and m fitted on a set.

    Parameters
    ----------
    panel : Panel
    members : bool ndarray, shape (K,)
        True = in the set.
    rank : int
        r.

    Returns
    -------
    ndarray, shape (K,)
    """
    fit = fit_shared(panel, members, rank)
    off = project_off(fit.basis, centred_blocks(panel, fit))
    return np.asarray(np.log(np.maximum(np.einsum("kij,kij->k", off, off), panel.floor**2)))
