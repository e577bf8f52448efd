"""Confidence intervals of refined entries and linear functionals (docs/derivations/intervals.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.error_energy import ErrorEnergy
from clair_stats.refinement.given_data import error_given_data
from clair_stats.refinement.intervals import ErrorLaw, Intervals, about, joined
from clair_stats.refinement.members_fit import Errors, MembersFit

__all__ = ["RefinedError"]

# Share of 1 − level that simultaneous intervals spend on confidence limits for the variance of true differences.
_SPENT = 0.2
_BETWEEN = 5  # nodes from limit to limit
_PART = 1 << 20  # numbers of one array of a law at a time: 8 MiB


@dataclass(frozen=True, eq=False)
class RefinedError:
    """The errors E_k + D_k of refined estimates X_k + D_k, client by client."""

    estimates: FloatArray  # (K, p, q), X_k + D_k
    moved: FloatArray  # (K, p, q), D_k in the coordinates of the fit, as far as it counts as bias
    errors: Errors  # in the coordinates of the estimates
    fit: MembersFit | None  # in the coordinates in which errors are about white; None: fewer than two members
    back: FloatArray | None  # (p, p), from those coordinates to those of the estimates, with aside (q, q)
    aside: FloatArray | None
    averaged: bool  # Theorem 5: no true differences off the subspace

    @classmethod
    def of(
        cls,
        blocks: FloatArray,
        estimates: FloatArray,
        members: BoolArray,
        weights: FloatArray,
        basis: FloatArray,
        energy: ErrorEnergy,
        *,
        averaged: bool,
    ) -> RefinedError:
        """Everything that does not depend on which intervals are asked for.

        Parameters
        ----------
        blocks, estimates : ndarray, shape (K, p, q)
            X_k, and what refinement made of them.
        members : bool ndarray, shape (K,)
            Who was refined.
        weights : ndarray, shape (K,)
            w_k, positive on the members.
        basis : ndarray, shape (p, r)
            Orthonormal, in the coordinates of the estimates.
        energy : ErrorEnergy
            Law of the errors.
        averaged : bool
            Whether refinement averaged (Theorem 5), which is right where there are no differences off the subspace.

        Returns
        -------
        RefinedError
        """
        errors, moved = Errors(*energy.covariances()), estimates - blocks
        if members.sum() < 2:
            return cls(estimates, moved, errors, None, None, None, averaged)
        maps, law, shared = energy.whitening(), errors, basis
        back: FloatArray | None = None
        aside: FloatArray | None = None
        if maps is not None:
            left, right = maps
            back, aside = np.asarray(np.linalg.inv(left)), np.asarray(np.linalg.inv(right))
            blocks, moved, law = left @ blocks @ right, left @ moved @ right, errors.turned(left, right)
            shared = orthonormal_basis(left @ basis, basis.shape[1])
        fit = MembersFit.of(blocks, members, weights, shared, law)
        # Shrinkage along the subspace lowers the mean squared error there; its weights are not taken for a bias.
        moved = moved if averaged else np.where(members[:, None, None], project_off(shared, moved), moved)
        return cls(estimates, moved, errors, fit, back, aside, averaged)

    def intervals(self, level: float, functionals: FloatArray | None, *, simultaneous: bool) -> Intervals:
        """Of all entries, (K, p, q), or of ⟨L_i, Θ*_k⟩, (K, m).

        Parameters
        ----------
        level : float
            Confidence, in (0, 1).
        functionals : ndarray, shape (m, p, q), or None
        simultaneous : bool
            Whether all hold together, at every variance of true differences.

        Returns
        -------
        Intervals
        """
        spreads, shares = self._spreads()
        spent, limits = 0.0, np.zeros(0)
        if simultaneous and not self.averaged and self.fit is not None:
            spent = _SPENT * (1.0 - level)
            limits = np.linspace(*self.fit.differences().limits(spent / 2.0), _BETWEEN)
            limits = limits[:1] if np.isinf(limits[0]) or np.isnan(limits).any() else limits
        n_clients, p, q = self.estimates.shape
        each = p * q if functionals is None else len(functionals)
        nodes = np.r_[spreads, limits]
        width, found = max(_PART // (nodes.size * each), 1), []
        for first in range(0, n_clients, width):
            clients = range(first, min(first + width, n_clients))
            estimate = self.estimates[first : clients.stop]
            if functionals is not None:
                estimate = np.tensordot(estimate, functionals, axes=((1, 2), (1, 2)))
            law = self._law(clients, nodes, functionals)
            average = law.part(slice(0, spreads.size), shares)
            worst = law.part(slice(spreads.size, None)).widest() if limits.size else average
            one = about(estimate, worst, level, among=n_clients * each if simultaneous else 1, spent=spent)
            found.append(replace(one, standard_error=average.standard_error))
        return joined(found, level, simultaneous=simultaneous)

    def _spreads(self) -> tuple[FloatArray, FloatArray]:
        """Nodes of τ² and their weights."""
        if self.averaged or self.fit is None:
            return np.zeros(1), np.ones(1)
        return self.fit.differences().posterior()

    def _law(self, clients: range, spreads: FloatArray, functionals: FloatArray | None) -> ErrorLaw:
        """Bias and variance of the errors of some clients, at every τ²."""
        turned = functionals
        if functionals is not None and self.back is not None and self.aside is not None:
            turned = self.back.T @ functionals @ self.aside.T
        places = {} if self.fit is None else {int(k): place for place, k in enumerate(self.fit.members)}
        bias, variance = [], []
        for client in clients:
            error = np.broadcast_to(self.moved[client], (spreads.size, *self.moved.shape[1:]))
            told: FloatArray = np.zeros(())
            if self.fit is not None and client in places:
                found = error_given_data(self.fit, places[client], spreads)
                error = error + found.mean
                told = (
                    found.told_of_entries(self.back, self.aside)
                    if turned is None
                    else found.told_of_functionals(turned)
                )
            if turned is not None:
                error = np.tensordot(error, turned, axes=((1, 2), (1, 2)))
            elif self.back is not None:
                error = self.back @ error @ self.aside
            bias.append(error)
            own = np.broadcast_to(self._own_variance(client, functionals), error.shape)
            variance.append(np.maximum(own - told, 0.0))
        weights = np.full(spreads.size, 1.0 / spreads.size)
        return ErrorLaw(np.stack(bias, axis=1), np.stack(variance, axis=1), weights)

    def _own_variance(self, client: int, functionals: FloatArray | None) -> FloatArray:
        if functionals is not None:
            return self.errors.of_functionals(functionals, client)
        return np.asarray(self.errors.of_entries(slice(client, client + 1))[0])
