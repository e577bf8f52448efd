"""Blocks with the shared space on the left, and whether a fit can be made of them at all (theory.md section 1)."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from clair_stats.decomposition.compression import Compression, compress_factors
from clair_stats.decomposition.scaling import LARGEST_ENTRY, SMALLEST_ENTRY, sizes
from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray

__all__ = ["ModelOptions", "check_options", "oriented"]

_CHOICES = {
    "refinement": ("shrinkage", "average"),
    "flagged": ("ignore", "inform"),
    "detection": ("consensus", "program"),
    "missing": ("raise", "drop"),
}
# The level of one client of many must not underflow to 0, where nobody could be flagged.
_SMALLEST_LEVEL = 1e-290


class ModelOptions(Protocol):
    """The options of :class:`clair_stats.CLAIR`."""

    rank: int | None
    block_penalty: float | None
    noise_penalty: float | None
    common_component: bool
    shared: Literal["columns", "rows"]
    level: float
    heterogeneity: float
    refinement: Literal["shrinkage", "average"]
    flagged: Literal["ignore", "inform"]
    detection: Literal["consensus", "program"]
    missing: Literal["raise", "drop"]
    n_jobs: int | None


def check_options(options: ModelOptions, checked: ClientEstimates) -> None:
    """Refuse options that cannot be fitted to these estimates.

    Parameters
    ----------
    options : ModelOptions
        Those of :class:`clair_stats.CLAIR`.
    checked : ClientEstimates
        The local estimators of K clients.

    Raises
    ------
    ValueError
        Names the option and the remedy.
    """
    _check_numbers(options)
    if checked.n_clients < 3:
        raise ValueError(f"estimates: {checked.n_clients} clients; a majority needs at least 3, add clients")
    _check_unit(checked)
    rows, columns = checked.block_shape
    dimension = rows if options.shared == "columns" else columns
    if options.shared not in ("columns", "rows"):
        raise ValueError(f"shared: {options.shared!r}; give 'columns' or 'rows'")
    whole = isinstance(options.rank, int | np.integer) and not isinstance(options.rank, bool)
    if options.rank is not None and not (whole and 0 <= options.rank <= dimension):
        raise ValueError(f"rank: {options.rank!r}; give an integer from 0 to {dimension}, or None to choose it")
    jobs = options.n_jobs
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int | np.integer) or jobs == 0):
        raise ValueError(f"n_jobs: {jobs!r}; give the number of modules at a time, -1 for all processors")
    for name, choices in _CHOICES.items():
        if getattr(options, name) not in choices:
            raise ValueError(f"{name}: {getattr(options, name)!r}; give {choices[0]!r} or {choices[1]!r}")


def _check_unit(checked: ClientEstimates) -> None:
    """Squares of most clients' entries must be numbers; a single client of any size is detection's to judge."""
    usual = float(np.median(sizes(checked)))
    if usual > LARGEST_ENTRY:
        raise ValueError(
            f"estimates: half of the clients have entries beyond {LARGEST_ENTRY:g}, whose squares overflow; give them "
            "in another unit"
        )
    if 0.0 < usual < SMALLEST_ENTRY:
        raise ValueError(
            f"estimates: half of the clients have no entry beyond {SMALLEST_ENTRY:g}, and smaller squares are lost; "
            "give them in another unit"
        )


def _check_numbers(options: ModelOptions) -> None:
    """Level, penalties and tolerance; booleans and text are no numbers."""
    for name in ("level", "block_penalty", "noise_penalty", "heterogeneity"):
        value = getattr(options, name)
        if value is None and name.endswith("penalty"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise ValueError(f"{name}: {value!r}; give a number")
    if not isinstance(options.common_component, bool | np.bool_):
        raise ValueError(f"common_component: {options.common_component!r}; give True or False")
    if not _SMALLEST_LEVEL <= options.level < 1:
        raise ValueError(
            f"level: {options.level!r}; give a probability strictly between 0 and 1, for instance 0.05, and at least "
            f"{_SMALLEST_LEVEL}"
        )
    if options.block_penalty is not None and not (np.isfinite(options.block_penalty) and options.block_penalty > 0):
        raise ValueError(f"block_penalty: {options.block_penalty!r}; give λ > 0, or None for the default rule")
    for name in ("noise_penalty", "heterogeneity"):
        value = getattr(options, name)
        if value is not None and not (np.isfinite(value) and value >= 0):
            raise ValueError(f"{name}: {value!r}; give a finite number of at least 0")


def oriented(checked: ClientEstimates, shared: Literal["columns", "rows"]) -> tuple[FloatArray, Compression | None]:
    """Blocks with the shared space on the left; for factors their coordinates in the joint frames, without p × q.

    The shared right frame is used also when M is fixed to 0: refinement averages over clients.

    Parameters
    ----------
    checked : ClientEstimates
        The local estimators of K clients.
    shared : {"columns", "rows"}
        What the clients share.

    Returns
    -------
    blocks : ndarray, shape (K, p', q')
        On the scale of the estimates; p' = p and q' = q for values (exchanged for shared rows).
    frame : Compression or None
        The joint frames of factors (theory.md section 2).
    """
    if checked.factors is None:
        dense = checked.dense()
        return (dense if shared == "columns" else np.ascontiguousarray(dense.transpose(0, 2, 1))), None
    factors = checked.factors
    if shared == "rows":
        factors = tuple((right.T, left.T) for left, right in factors)
    frame = compress_factors(factors, common_component=True)
    return np.ascontiguousarray(frame.core.transpose(0, 2, 1)), frame
