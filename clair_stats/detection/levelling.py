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
from clair_stats.records import BoolArray

__all__ = ["kept_ranks", "levelled", "scales_differ", "with_norms_divided_out"]

# Log residuals of equal clients scatter .3 to 1.7 times as much on the scale as given as with norms divided out, those
# of clients whose scales differ by a factor of 1.1 or more mostly 2 to 70 times (240 development federations).
_SCALES_DIFFER = 2.0
# Singular values below this share of the largest are rounding of a product in single precision.
_ROUNDING = 1e-6
# A quarter of the clients cannot lower the common rank, and so cannot blind the test, by sending less.
_QUANTILE = 0.25


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
    return np.asarray((sizes > _ROUNDING * sizes[:, :1]).sum(axis=1), dtype=np.int64)


def levelled(panel: Panel) -> tuple[Panel, int | None]:
    """The panel with every block cut to the lower quartile of the ranks, and that rank; None when nothing was cut.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    tuple of Panel and int or None
    """
    ranks = kept_ranks(panel)
    common = int(np.quantile(ranks, _QUANTILE, method="lower"))
    if common == 0 or common >= ranks.max() or np.median(ranks) >= min(panel.shape[1:]):
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


def scales_differ(given: Panel, divided: Panel, members: BoolArray, rank: int) -> bool:
    """Whether a half's log residuals scatter so much more on the scale as given that scales of clients differ.

    At rank 0 a residual is the norm itself, and dividing by it would make all clients alike.

    Parameters
    ----------
    given, divided : Panel
        The blocks as they are, and divided by their norms.
    members : bool ndarray, shape (K,)
        True = in the set.
    rank : int
        r.

    Returns
    -------
    bool
    """
    if rank == 0:
        return False
    spreads = []
    for panel in (given, divided):
        fit = fit_shared(panel, members, rank)
        off = project_off(fit.basis, centred_blocks(panel, fit)[members])
        energies = np.maximum(np.einsum("kij,kij->k", off, off), panel.floor**2)
        spreads.append(float(np.log(energies).std(ddof=1)))
    return spreads[0] > _SCALES_DIFFER * spreads[1]
