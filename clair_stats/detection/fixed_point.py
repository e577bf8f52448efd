"""Fit on a set, test every client, keep those that pass, until the set repeats itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.detection.calibration import Calibrated, calibrate, per_client_level
from clair_stats.detection.directions import second_look, suspicious_directions
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import SharedFit, fit_shared, standardised_residuals
from clair_stats.detection.whiteness import spike_ratio
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Outcome", "Tester", "fixed_point"]

_MAX_STEPS = 30
# A set with a residual this far above its noise edge is not followed any further when no member is to blame: the rank
# is too small for it.  The first set of a path is given more room, since the search has only grown it approximately.
_FAR_FROM_WHITE = (2.0, 1.5)
# Here not even then: a few members that the search let in by its approximation do not take it so far.
_HOPELESS = 5.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """A fit on a set of clients, and who passes the test against it."""

    fit: SharedFit
    calibrated: Calibrated
    passed: BoolArray  # (K,)
    ratio: float  # largest residual eigenvalue over its noise edge

    @property
    def white(self) -> bool:
        """Whether the residual of the set is noise."""
        return self.ratio <= 1.0


class Tester:
    """Fits one rank on sets of clients and tests every client; remembers, since candidates often meet on their way.

    Unless ``to_the_end``, a set far from white is looked at once and left, when turning clients out does not help.
    """

    def __init__(
        self, panel: Panel, rank: int, *, half: int, level: float, heterogeneity: float, to_the_end: bool
    ) -> None:
        self.panel, self.rank, self.half, self.to_the_end = panel, rank, half, to_the_end
        self.level, self.heterogeneity = level, heterogeneity
        self._known: dict[bytes, Outcome] = {}

    def __call__(self, members: BoolArray) -> Outcome:
        """Fit on the members (K,), test every client twice."""
        key = members.tobytes()
        if key not in self._known:
            self._known[key] = self._test(members)
        return self._known[key]

    def gives_up(self, outcome: Outcome, *, first: bool) -> bool:
        """Whether the set is not worth another step: far from white, and none of its members to blame."""
        if self.to_the_end or outcome.ratio <= _FAR_FROM_WHITE[0 if first else 1]:
            return False
        blamed = outcome.fit.members & ~outcome.passed
        return outcome.ratio > _HOPELESS or outcome.passed.sum() < self.half or not blamed.any()

    def _test(self, members: BoolArray) -> Outcome:
        """Fit and test.

        The second look is taken against the clients that fail the first.  It is dropped when it would leave no
        majority: then the directions belong to the shared subspace and the rank is too small.
        """
        panel, level, heterogeneity = self.panel, self.level, self.heterogeneity
        alpha = per_client_level(level, panel.shape[0])
        fit = fit_shared(panel, members, self.rank)
        ratio = spike_ratio(panel, fit, heterogeneity=heterogeneity)
        residuals = standardised_residuals(panel, fit)
        calibrated = calibrate(panel, fit, level=level, heterogeneity=heterogeneity, residuals=residuals)
        passed: BoolArray = ~(calibrated.p_values < alpha)
        first = Outcome(fit, calibrated, passed, ratio)
        if passed.sum() < self.half:
            return first
        directions = suspicious_directions(panel, fit, residuals.blocks, passed, calibrated.noise, ratio=ratio)
        if directions.shape[1] == 0:
            return first
        p_along, excess = second_look(
            panel, fit, residuals.blocks, directions, calibrated.noise, level=level, heterogeneity=heterogeneity
        )
        both = passed & ~(p_along < alpha)
        if both.sum() < self.half:
            return first
        tightened = calibrated.tightened(np.where(p_along < alpha, p_along, 1.0), excess)
        return Outcome(fit, tightened, both, ratio)


def fixed_point(test: Tester, start: BoolArray) -> Outcome:
    """Fit, test, keep those that pass; never below half the clients.

    The set is a fixed point when it repeats itself.  A cycle is left at its largest set with a white residual, and the
    number of steps is bounded, so the loop cannot run on; refilling to h keeps it from collapsing onto a few clients
    that fit each other.
    """
    members = start
    seen: dict[bytes, BoolArray] = {}
    while True:
        outcome = test(members)
        if test.gives_up(outcome, first=not seen):
            return outcome
        passed = outcome.passed
        following = passed if passed.sum() >= test.half else _nearest(outcome.calibrated.statistics, test.half)
        if np.array_equal(following, members) or len(seen) >= _MAX_STEPS:
            return outcome
        seen[members.tobytes()] = members
        if following.tobytes() in seen:
            return max((test(m) for m in seen.values()), key=lambda o: (o.white, int(o.fit.members.sum())))
        members = following


def _nearest(statistics: FloatArray, count: int) -> BoolArray:
    nearest = np.zeros(statistics.size, dtype=np.bool_)
    nearest[np.argsort(statistics, kind="stable")[:count]] = True
    return nearest
