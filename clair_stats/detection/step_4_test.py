"""Step 4, the test: does a set of clients agree at a rank, and who else agrees with it?

A set is consistent when every member passes its test against the fit of the set and nothing but noise is left over.
Each client is looked at in three ways, which share the level openly (``SHARES``):

* its residual T_k, standardised for what the client itself contributed to the fit (first order in the noise);
* where it holds more than half of a direction of the fit, exactly: against the fit without it.  Leverages sum to r, so
  this concerns at most 2r clients;
* along the few directions that flagged clients have in common (``directions``).

See docs/derivations/detection.md, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from clair_stats.decomposition.scaling import LARGEST_ENTRY
from clair_stats.detection.calibration import Alone, Calibrated, calibrate, calibrate_alone, residual_variance
from clair_stats.detection.covariance import covariance_edge
from clair_stats.detection.directions import flagged_directions, second_look
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import Residuals, SharedFit, centred_blocks, fit_shared, standardised_residuals
from clair_stats.laws import TRACY_WIDOM, homogeneity_quantile, noise_edge, per_client_level
from clair_stats.linalg import project_off
from clair_stats.records import BoolArray, FloatArray

__all__ = ["SHARES", "Outcome", "SetTest", "spike_ratio"]

# How the level is split.  A union bound over the parts keeps it; "generic use" is spent in step 1.
SHARES = {"scores": 0.65, "exact refits": 0.05, "shared directions": 0.05, "homogeneity": 0.05, "generic use": 0.2}
_HIGH_LEVERAGE = 0.5
_MOST_STEPS = 30


@dataclass(frozen=True, eq=False)
class Outcome:
    """A fit on a set of clients, and who passes the tests against it."""

    fit: SharedFit
    calibrated: Calibrated
    passed: BoolArray  # (K,)
    find_ratio: Callable[[], float]
    find_homogeneous: Callable[[], bool]

    @cached_property
    def ratio(self) -> float:
        """Largest residual eigenvalue over its noise edge; white when at most 1.

        Found when asked for, which most sets on the way to a fixed point are not.
        """
        return self.find_ratio()

    @cached_property
    def homogeneous(self) -> bool:
        """Whether the members' residual energies are as equal as noise makes them."""
        return self.find_homogeneous()

    @property
    def consistent(self) -> bool:
        """Whether all members pass and nothing but noise is left over."""
        return self.ratio <= 1.0 and bool(self.passed[self.fit.members].all())

    @property
    def rank(self) -> int:
        """Dimension of the fitted subspace."""
        return int(self.fit.basis.shape[1])


class SetTest:
    """Fits sets of clients and tests every client; remembers, since candidates often meet on their way."""

    def __init__(self, panel: Panel, *, level: float, heterogeneity: float = 0.0) -> None:
        self.panel, self.level, self.heterogeneity = panel, level, heterogeneity
        self.alpha = per_client_level(level, panel.shape[0])
        self._known: dict[tuple[bytes, int], Outcome] = {}
        self.generic: dict[tuple[bytes, int], bool] = {}  # by set and rank: whether all members use all directions

    def __call__(self, members: BoolArray, rank: int) -> Outcome:
        """Fit ``rank`` on the members (K,) and test all clients."""
        key = members.tobytes(), rank
        if key not in self._known:
            self._known[key] = self._test(fit_shared(self.panel, members, rank))
        return self._known[key]

    def agreed(self, start: BoolArray, rank: int) -> Outcome:
        """Fit, test, keep those that pass, until the set repeats itself; never below half the clients.

        A cycle is left at its largest set with a white residual, and the number of steps is bounded; refilling to a
        majority keeps the set from collapsing onto a few clients that fit each other.

        Parameters
        ----------
        start : bool ndarray, shape (K,)
            The set to begin with.
        rank : int
            r.

        Returns
        -------
        Outcome
        """
        members = start
        seen: dict[bytes, Outcome] = {}
        half = self.panel.half
        while True:
            tested = self(members, rank)
            following = tested.passed
            if following.sum() < half:
                following = np.zeros_like(members)
                following[np.argsort(tested.calibrated.statistics, kind="stable")[:half]] = True
            if np.array_equal(following, members) or len(seen) >= _MOST_STEPS:
                return tested
            seen[members.tobytes()] = tested
            if following.tobytes() in seen:
                return max(seen.values(), key=lambda t: (t.ratio <= 1.0, int(t.fit.members.sum())))
            members = following

    def _test(self, fit: SharedFit) -> Outcome:
        panel = self.panel
        residuals = standardised_residuals(panel, fit)
        calibrated = self._split(
            calibrate(
                panel,
                fit,
                level=self.level * SHARES["scores"],
                heterogeneity=self.heterogeneity,
                residuals=residuals,
            )
        )
        calibrated = self._exact_refits(fit, residuals, calibrated)
        passed = self._passed(fit, calibrated)
        if passed.sum() >= panel.half:
            calibrated, passed = self._shared_directions(fit, calibrated, passed)
        return Outcome(
            fit,
            calibrated,
            passed,
            find_ratio=partial(spike_ratio, panel, fit, heterogeneity=self.heterogeneity),
            find_homogeneous=partial(self._homogeneous, fit, residuals, calibrated.noise),
        )

    def _split(self, calibrated: Calibrated) -> Calibrated:
        """p-values on the scale of the whole level: below α_K exactly when the score is above its threshold."""
        own = per_client_level(self.level * SHARES["scores"], self.panel.shape[0])
        return replace(calibrated, p_values=np.minimum(calibrated.p_values * (self.alpha / own), 1.0))

    def _passed(self, fit: SharedFit, calibrated: Calibrated) -> BoolArray:
        """Without a p-value nobody is benign."""
        return np.asarray(calibrated.p_values >= self.alpha)

    def _exact_refits(self, fit: SharedFit, residuals: Residuals, calibrated: Calibrated) -> Calibrated:
        """Members that hold more than half of a direction are tested against the fit without them as well."""
        share = SHARES["exact refits"]
        p_values, thresholds = calibrated.p_values.copy(), calibrated.thresholds.copy()
        for k in np.flatnonzero(residuals.leverage > _HIGH_LEVERAGE):
            others = fit.members.copy()
            others[k] = False
            if others.sum() <= 1:
                continue
            refit = fit_shared(self.panel, others, fit.basis.shape[1])
            exact = self._alone(refit, int(k), level=self.level * share)
            p_value = min(exact.p_value / share, 1.0)
            if p_value < p_values[k]:
                p_values[k] = p_value
            if p_value < self.alpha:  # the threshold goes where the score of the reported fit is above it
                excess = exact.threshold / max(exact.score, np.finfo(float).tiny)
                thresholds[k] = min(float(thresholds[k]), float(calibrated.scores[k]) * excess)
        return replace(calibrated, p_values=p_values, thresholds=thresholds)

    def _alone(self, fit: SharedFit, client: int, *, level: float) -> Alone:
        """The test of one client outside the fit; with covariances all clients' tests cost K times as much."""
        if self.panel.covariances is not None:
            return calibrate_alone(self.panel, fit, client, level=level, heterogeneity=self.heterogeneity)
        exact = calibrate(self.panel, fit, level=level, heterogeneity=self.heterogeneity)
        return Alone(float(exact.p_values[client]), float(exact.scores[client]), float(exact.thresholds[client]))

    def _shared_directions(
        self, fit: SharedFit, calibrated: Calibrated, passed: BoolArray
    ) -> tuple[Calibrated, BoolArray]:
        """The look along the directions that flagged clients share.

        Dropped when it would leave no majority: then the directions belong to the shared subspace and the rank is too
        small.
        """
        if passed.all():
            return calibrated, passed
        left_over = project_off(fit.basis, centred_blocks(self.panel, fit, ~passed))
        directions = flagged_directions(left_over, fit.basis.shape[1], self.panel.floor)
        if directions.shape[1] == 0:
            return calibrated, passed
        p_values, excess = second_look(
            self.panel,
            fit,
            directions,
            calibrated.noise,
            level=self.level * SHARES["shared directions"],
            heterogeneity=self.heterogeneity,
        )
        p_values = np.minimum(p_values / SHARES["shared directions"], 1.0)
        both = np.asarray(passed & ~(p_values < self.alpha))
        if both.sum() < self.panel.half:
            return calibrated, passed
        return calibrated.tightened(np.where(p_values < self.alpha, p_values, 1.0), excess), both

    def _homogeneous(self, fit: SharedFit, residuals: Residuals, noise: float) -> bool:
        """Bartlett's test of the members' energies when the noise is learnt from them.

        Many outliers inflate the variance that they are judged by: 13 of 30 at q = 1 pass it.
        """
        if self.panel.noise is not None or self.heterogeneity > 0.0 or noise <= self.panel.floor:
            return True  # the noise is known, or there is none: the law of rounding is not known
        statistics, degrees = residuals.standardised[fit.members], residuals.degrees[fit.members]
        if (statistics <= 0.0).any() or (degrees <= 0).any() or statistics.size < 2:
            return True  # no test reaches some of them
        if residual_variance(self.panel, fit, residuals.raw)[1] <= 0:
            return False
        scaled = statistics / degrees
        spread = float(np.log(scaled.mean()) - np.log(scaled).mean())
        level = self.level * SHARES["homogeneity"]
        return spread <= homogeneity_quantile(statistics.size, int(degrees.min()), level)


def spike_ratio(panel: Panel, fit: SharedFit, *, heterogeneity: float = 0.0, tracy_widom: float = TRACY_WIDOM) -> float:
    """Largest residual eigenvalue over its noise edge; above 1 the residual is not noise.

    Without a known φ the noise variance comes from the eigenvalues behind the one under test, so that a spike does not
    inflate its own reference.  Benign heterogeneity of at most ``heterogeneity`` per client may add to a common
    direction.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    heterogeneity : float
        Tolerated ‖H_k‖_F on the scale of the Y_k.
    tracy_widom : float
        Point of the Tracy–Widom law of order one.

    Returns
    -------
    float
    """
    _, p, q = panel.shape
    rank = fit.basis.shape[1]
    columns = (int(fit.members.sum()) - int(panel.common_component)) * q - rank
    if rank >= p or columns <= 0:
        return 0.0
    left: FloatArray = fit.eigenvalues[rank:]
    if panel.covariances is not None:
        variance = 1.0
        edge = covariance_edge(panel.covariances, fit.basis, fit.members, columns, tracy_widom=tracy_widom)
    else:
        edge = noise_edge(p - rank, columns, tracy_widom=tracy_widom)
        if panel.noise is not None:
            variance = panel.noise**2
        elif p - rank > 1 and columns > 1:
            variance = float(left[1:].sum()) / ((p - rank - 1) * (columns - 1))
        else:
            return 0.0
    variance = max(variance, panel.floor**2)
    allowance = heterogeneity * math.sqrt(float(np.sum(1.0 / panel.scales[fit.members] ** 2)))
    # Beside clients that are nothing, as the floor is, the root has a square only up to there.
    root = math.sqrt(max(float(left[0]), 0.0)) / (math.sqrt(variance * edge) + allowance)
    return min(root, LARGEST_ENTRY) ** 2
