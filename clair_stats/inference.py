"""Confidence intervals of a fitted CLAIR model (docs/derivations/intervals.md)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.records import FloatArray, Refinement
from clair_stats.refinement.intervals import Intervals, normal_intervals, swapped
from clair_stats.refinement.members_fit import Errors
from clair_stats.refinement.refined_error import RefinedError
from clair_stats.refining import Refining, error_law
from clair_stats.several_modules import SeveralModules
from clair_stats.units import refinement_in_unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ConfidenceIntervals", "Parameter"]

Parameter: TypeAlias = Literal["refined", "own", "coefficients", "common"]

# What a user has to know who asks for intervals about refined estimates and has told nothing of the errors.
_LEARNT = (
    "the size of the errors is learnt from the clients, so that true differences between them count as error: these "
    "intervals hold only if clients do not differ off the subspace (with differences as large as the error a .95 "
    "interval was seen to cover as little as .52); give noise_scales, covariances or halves, or ask for "
    "parameter='own'"
)


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
            with "shrinkage" on average over differences off it that are independent and normal of one variance, which
            may be any and is not known.  "own": about the
            client's own estimate with its own error, at every heterogeneity.  "coefficients": Uᵀ(Θ*_k − Θ̄*), (K, q, r),
            in the coordinates of ``basis_``.  "common": the members' mean Θ̄*, which is M off the subspace.
        functional : array_like, shape (p, q) or (m, p, q), optional
            L, for "refined" and "own"; the result then has shape (K, m).
        simultaneous : bool
            Whether all intervals that are returned hold together: about ``refined_`` at every variance of the
            differences (confidence limits for it and Bonferroni's inequality), elsewhere by Šidák's inequality.

        Returns
        -------
        Intervals
            ``estimate``, ``standard_error``, ``lower``, ``upper`` and ``p_value`` of one shape.

        Raises
        ------
        ValueError
            A level outside (0, 1), a functional of the wrong shape, or factors without a functional, or several
            modules.

        Warns
        -----
        UserWarning
            Intervals about refined estimates where nothing tells the size of the errors but the estimates themselves.
            They then hold only if clients do not differ off the subspace.

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
        if parameter == "refined" and not told.error_is_known and self.refinement_.members.any():
            warnings.warn(_LEARNT, UserWarning, stacklevel=2)
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
            Whether the intervals hold together, over all clients also where one is asked for, and p-values with
            them.

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
        tail = (1.0 - level) / 2.0
        shown = {
            "coef": found.estimate,
            "std err": found.standard_error,
            "z": z,
            "P>|z|": found.p_value,
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
    blocks, members = told.blocks, refined.members
    law = error_law(told, members if members.any() else told.consensus.collaborative_set)
    errors = Errors(*law.covariances())
    if parameter == "own":
        return _own_intervals(blocks, errors, level, functionals, simultaneous=simultaneous)
    if parameter == "refined":
        averaged = refined.kept is None
        error = RefinedError.of(blocks, refined.estimates, members, told.weights, refined.basis, law, averaged=averaged)
        return error.intervals(level, functionals, simultaneous=simultaneous)
    shares = np.where(members, told.weights, 0.0)
    shares = shares / shares.sum() if members.any() else shares
    if parameter == "common":
        spread = np.tensordot(shares**2, errors.of_entries(), axes=1)
        spread = np.broadcast_to(spread if members.any() else np.inf, refined.centre.shape)
        return normal_intervals(refined.centre, np.sqrt(spread), level, simultaneous=simultaneous)
    basis = told.consensus.fit.basis
    inside = errors.turned(basis.T, np.eye(blocks.shape[2])).of_entries()  # (K, r, q)
    # Var of E_k − Σπ_jE_j: π_k of the client's own error is taken away where it is a member.
    variance = (1.0 - 2.0 * shares)[:, None, None] * inside + np.tensordot(shares**2, inside, axes=1)
    estimate = basis.T @ (blocks - refined.centre)
    found = normal_intervals(estimate, np.sqrt(np.maximum(variance, 0.0)), level, simultaneous=simultaneous)
    return swapped(found)


def _own_intervals(
    blocks: FloatArray, errors: Errors, level: float, functionals: FloatArray | None, *, simultaneous: bool
) -> Intervals:
    """Intervals about X_k with its own error: at every heterogeneity, and without any set."""
    if functionals is None:
        variance = np.broadcast_to(errors.of_entries(), blocks.shape)
        return normal_intervals(blocks, np.sqrt(variance), level, simultaneous=simultaneous)
    estimate = np.einsum("mij,kij->km", functionals, blocks, optimize=True)
    variance = np.stack([errors.of_functionals(functionals, k) for k in range(len(blocks))])
    return normal_intervals(estimate, np.sqrt(variance), level, simultaneous=simultaneous)
