"""Confidence intervals of a fitted CLAIR model (docs/derivations/intervals.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from clair_stats.records import FloatArray, Refinement
from clair_stats.refinement.intervals import (
    Intervals,
    column_covariances,
    entry_errors,
    functional_errors,
    normal_intervals,
    swapped,
)
from clair_stats.refining import Refining, error_law
from clair_stats.several_modules import SeveralModules
from clair_stats.units import refinement_in_unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ConfidenceIntervals", "Parameter"]

Parameter: TypeAlias = Literal["refined", "own", "coefficients", "common"]


class ConfidenceIntervals:
    """What a fitted model says about the precision of its estimates; :class:`clair_stats.CLAIR` inherits it."""

    refinement_: Refinement
    shared: Literal["columns", "rows"]
    modules_: SeveralModules | None
    _told: Refining  # estimates over the unit of the fit
    _unit: float

    def conf_int(
        self,
        level: float = 0.95,
        *,
        parameter: Parameter = "refined",
        functional: ArrayLike | None = None,
        simultaneous: bool = False,
    ) -> Intervals:
        """Confidence intervals for normal errors: of entries, or of linear functionals ⟨L, Θ*_k⟩ = Σ_ij L_ij Θ*_k,ij.

        Parameters
        ----------
        level : float
            Confidence of each interval, or of all together.
        parameter : {"refined", "own", "coefficients", "common"}
            "refined": about ``refined_``; with ``refinement="average"`` if clients differ inside the subspace only,
            with "shrinkage" on average over differences off it that are independent and normal.  "own": about the
            client's own estimate with its own error, at every heterogeneity.  "coefficients": Uᵀ(Θ*_k − Θ̄*), (K, q, r),
            in the coordinates of ``basis_``.  "common": the members' mean Θ̄*, which is M off the subspace.
        functional : array_like, shape (p, q) or (m, p, q), optional
            L, for "refined" and "own"; the result then has shape (K, m).
        simultaneous : bool
            Whether all intervals that are returned hold together (Šidák).

        Returns
        -------
        Intervals
            ``estimate``, ``standard_error``, ``lower`` and ``upper`` of one shape.

        Raises
        ------
        ValueError
            A level outside (0, 1), a functional of the wrong shape, errors with covariances (only "own"), or factors
            without a functional, or several modules.

        Notes
        -----
        The intervals hold where the members are benign and the errors' scales are right; the set is found on the same
        data, so their coverage is at least the level minus the probability that it is not the true one.  Clients
        outside the members have intervals about their own estimates.
        """
        if self.modules_ is not None:
            name = self.modules_.names[0]
            raise ValueError(
                f"conf_int: several modules; ask one of them, for instance modules_.model({name!r}).conf_int()"
            )
        told = self._told
        if not (np.isfinite(level) and 0 < level < 1):
            raise ValueError(f"level: {level!r}; give a confidence strictly between 0 and 1, for instance 0.95")
        if parameter not in ("refined", "own", "coefficients", "common"):
            raise ValueError(f"parameter: {parameter!r}; give 'refined', 'own', 'coefficients' or 'common'")
        if functional is None and told.frame is not None:
            raise ValueError("functional: missing; for factors give the functionals of interest, or values (K, p, q)")
        functionals = None if functional is None else self._functionals(functional, parameter)
        found = _intervals(
            told,
            refinement_in_unit(self.refinement_, 1.0 / self._unit),
            level=level,
            parameter=parameter,
            functionals=functionals,
            simultaneous=simultaneous,
        )
        scaled = {name: getattr(found, name) * self._unit for name in ("estimate", "standard_error", "lower", "upper")}
        found = replace(found, **scaled)
        turned = self.shared == "rows" and functionals is None and parameter != "coefficients"
        return swapped(found) if turned else found

    def summary_frame(
        self,
        client: str | None = None,
        *,
        level: float = 0.95,
        parameter: Parameter = "refined",
        simultaneous: bool = False,
    ) -> pd.DataFrame:
        """The table of coefficients of a statsmodels summary: estimate, standard error, z, p-value and interval.

        Parameters
        ----------
        client : str, optional
            Only this client; by default all, one below the other.
        level : float
            Confidence of the intervals.
        parameter : {"refined", "own", "coefficients", "common"}
            As in :meth:`conf_int`.
        simultaneous : bool
            Whether the intervals hold together, over all clients also where one is asked for; p-values are then those
            of Šidák.

        Returns
        -------
        pandas.DataFrame
            Rows by client, row and column of the block (row and column for "common"; client, column and direction for
            "coefficients"), from 0; columns ``coef``, ``std err``, ``z``, ``P>|z|`` and the ends, named as in
            statsmodels ("[0.025", "0.975]").  z and p-value are those of "the entry is 0"; an entry without error has
            an infinite z, and NaN where it is 0.

        Raises
        ------
        ValueError
            As :meth:`conf_int`; a client that is not there.
        """
        import pandas as pd

        names = [str(name) for name in self._told.record.names] if self.modules_ is None else []
        if client is not None and self.modules_ is None and (client not in names or parameter == "common"):
            raise ValueError(f"client: {client!r}; give one of the clients' names, and none with parameter='common'")
        found = self.conf_int(level, parameter=parameter, simultaneous=simultaneous)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = found.estimate / found.standard_error
            p_values = 2.0 * special.ndtr(-np.abs(z))
            if simultaneous:
                p_values = -np.expm1(z.size * np.log1p(-p_values))
        tail = (1.0 - level) / 2.0
        shown = {
            "coef": found.estimate,
            "std err": found.standard_error,
            "z": z,
            "P>|z|": p_values,
            f"[{tail:.4g}": found.lower,
            f"{1.0 - tail:.4g}]": found.upper,
        }
        places = [range(size) for size in found.estimate.shape[-2:]]
        inner = ["column", "direction"] if parameter == "coefficients" else ["row", "column"]
        sides, words = (places, inner) if parameter == "common" else ([names, *places], ["client", *inner])
        index = pd.MultiIndex.from_product(sides, names=words)
        frame = pd.DataFrame({name: np.asarray(part).ravel() for name, part in shown.items()}, index=index)
        return frame if client is None else frame.loc[[client]]

    def _functionals(self, given: ArrayLike, parameter: str) -> FloatArray:
        """L in the orientation and coordinates of the fit, (m, p, q)."""
        raw = np.asarray(given, dtype=np.float64)
        raw = raw[None] if raw.ndim == 2 else raw
        told = self._told
        shape = told.record.block_shape
        if raw.ndim != 3 or raw.shape[1:] != shape or not np.isfinite(raw).all():
            raise ValueError(
                f"functional: shape {raw.shape}; give finite numbers, ({shape[0]}, {shape[1]}) or one more axis"
            )
        if parameter not in ("refined", "own"):
            raise ValueError(f"functional: given with parameter={parameter!r}; functionals are of 'refined' or 'own'")
        turned = raw if self.shared == "columns" else np.swapaxes(raw, 1, 2)
        if told.frame is not None:
            left, right = told.frame.left, told.frame.right
            turned = turned if left is None else left.T @ turned
            turned = turned if right is None else turned @ right
        return np.ascontiguousarray(turned)


def _intervals(
    told: Refining,
    refined: Refinement,
    *,
    level: float,
    parameter: Parameter,
    functionals: FloatArray | None,
    simultaneous: bool,
) -> Intervals:
    """In the orientation and coordinates of the fit."""
    record, blocks, members = told.record, told.blocks, refined.members
    if record.row_covariances is not None and parameter != "own":
        raise ValueError("conf_int: covariances are given; only parameter='own' has intervals, or give noise_scales")
    scales = _scales(told)
    if parameter == "own":
        return _own_intervals(told, scales, level, functionals, simultaneous=simultaneous)
    total = float(np.sum(scales[members] ** -2.0)) if members.any() and scales.all() else np.inf
    if parameter == "common":
        error = np.full(refined.centre.shape, total**-0.5)
        return normal_intervals(refined.centre, error, level, simultaneous=simultaneous)
    if parameter == "coefficients":
        inside = told.consensus.fit.basis.T @ (blocks - refined.centre)
        variance = scales**2 + np.where(members, -1.0, 1.0) / total
        error = np.broadcast_to(np.sqrt(np.maximum(variance, 0.0))[:, None, None], inside.shape)
        found = normal_intervals(inside, np.asarray(error), level, simultaneous=simultaneous)
        return swapped(found)
    columns = column_covariances(
        blocks,
        members,
        scales,
        told.weights,
        refined.basis,
        refined.kept,
        differences="none" if refined.kept is None else "random",
    )
    if functionals is None:
        return normal_intervals(
            refined.estimates, entry_errors(scales, columns, refined.basis), level, simultaneous=simultaneous
        )
    estimate = np.einsum("mij,kij->km", functionals, refined.estimates, optimize=True)
    error = functional_errors(functionals, scales, columns, refined.basis)
    return normal_intervals(estimate, error, level, simultaneous=simultaneous)


def _scales(told: Refining) -> FloatArray:
    """σ_k, (K,): from the halves where they are there."""
    if told.record.halves is None:
        return told.noise_scales
    law = error_law(told, told.consensus.collaborative_set)
    traces = np.array([law.whole(k)[0] for k in range(told.blocks.shape[0])])
    return np.asarray(np.sqrt(traces / told.blocks[0].size))


def _own_intervals(
    told: Refining, scales: FloatArray, level: float, functionals: FloatArray | None, *, simultaneous: bool
) -> Intervals:
    """Intervals about X_k with its own error: at every heterogeneity, and without any set."""
    record, blocks = told.record, told.blocks
    n_clients, p, q = blocks.shape
    rows = np.broadcast_to(np.eye(p), (n_clients, p, p)) * scales[:, None, None] ** 2
    columns = np.broadcast_to(np.eye(q), (n_clients, q, q))
    if record.row_covariances is not None:
        given = record.column_covariances
        sides = (record.row_covariances, columns if given is None else given)
        rows, columns = sides if told.shared == "columns" else sides[::-1]
    if functionals is None:
        diagonals = (np.diagonal(side, axis1=1, axis2=2) for side in (rows, columns))
        error = np.sqrt(np.einsum("ki,kj->kij", *diagonals))
        return normal_intervals(blocks, error, level, simultaneous=simultaneous)
    estimate = np.einsum("mij,kij->km", functionals, blocks, optimize=True)
    variance = np.einsum("mij,kil,kjn,mln->km", functionals, rows, columns, functionals, optimize=True)
    return normal_intervals(estimate, np.sqrt(variance), level, simultaneous=simultaneous)
