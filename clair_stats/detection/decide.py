"""The detector: one verdict in five steps (docs/detector.md).

1. everyone first     ``everyone_agrees``    do all clients agree at some rank?  Most clean data end here.
2. candidates         ``step_2_candidates``  otherwise: which sets might agree, rank by rank?
3. law                ``step_3_law``         given noise, F of white errors, or the clients' own log scores
4. test               ``step_4_test``        is a candidate consistent, and is each of its directions used by all?
5. verdict            ``step_5_verdict``     the accepted set, or undecidable: why, and what would decide it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from clair_stats.detection.calibration import residual_variance
from clair_stats.detection.generic_use import used_by_all
from clair_stats.detection.half_sets import Half, choose_rank, least_median_halves
from clair_stats.detection.levelling import levelled, log_residuals, with_norms_divided_out
from clair_stats.detection.log_scores import accepted_outward
from clair_stats.detection.majority_use import used_by_majority
from clair_stats.detection.panel import Panel
from clair_stats.detection.scales import SCALES_DIFFER, spread_ratio
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.detection.sizes import SHARE as SIZES_SHARE
from clair_stats.detection.sizes import oversized
from clair_stats.detection.step_2_candidates import Candidates, Source, program, rank_limit, search
from clair_stats.detection.step_3_law import noise_in_excess, white_about, white_off_common_directions
from clair_stats.detection.step_4_test import SHARES, Outcome, SetTest, spike_ratio
from clair_stats.detection.step_5_verdict import Consensus, RankEvidence, accept, evidence_of, undecidable
from clair_stats.detection.trimmed_fits import count_above_noise
from clair_stats.records import BoolArray

__all__ = ["decide", "everyone_agrees"]

Starts: TypeAlias = Callable[[Panel], BoolArray]

# Fewer accepted clients leave a t law with less than three degrees of freedom for a Bonferroni tail.
_FEWEST_CLIENTS = 6
# Signs weigh a direction otherwise than energies, so that one close to the edge of noise can be missing from the
# common directions.  Further ranks would explain everyone by directions that no two clients share.
_MISSED_BY_SIGNS = 2


def decide(
    panel: Panel,
    *,
    rank: int | None,
    level: float,
    heterogeneity: float = 0.0,
    propose: Source | None = None,
    starts: Starts | None = None,
) -> Consensus:
    """Find the collaborative set.

    Parameters
    ----------
    panel : Panel
        Blocks of all clients on a common noise scale.
    rank : int, optional
        Dimension of the shared subspace; chosen when not given.
    level : float
        Probability of any false alarm among benign clients.
    heterogeneity : float
        Tolerated ‖H_k‖_F of a benign client; where it is given white errors with that tolerance decide.
    propose : callable, optional
        Function of the panel that yields the candidates of one rank after the other.  When not given the program is
        asked, and where nothing that it proposes is accepted the search.
    starts : callable, optional
        Function of the panel that gives the sets (N, K) from which halves are looked for where errors are not white;
        random pairs when not given.

    Returns
    -------
    Consensus
        The verdict, what it rests on, and without one the reason and the remedy.
    """
    settings = partial(_under_white_errors, rank=rank, level=level, heterogeneity=heterogeneity, propose=propose)
    if heterogeneity > 0:
        return replace(settings(panel), law="given", why="a tolerated heterogeneity was given")
    if panel.noise is None:
        return _learnt(panel, settings, rank=rank, level=level, starts=starts)
    given = replace(settings(panel), law="given", why="noise scales or covariances were given")
    if given.accepted and noise_in_excess(panel, given.fit) == 1.0:
        return given
    learnt = _learnt(panel.without_given_noise(), settings, rank=rank, level=level, starts=starts)
    excess = noise_in_excess(panel, learnt.fit) if learnt.accepted else 1.0
    if excess == 1.0:
        return given
    why = f"the majority's own residuals are {excess:.3g} × as large as the given noise allows; the excess was learnt"
    return replace(learnt, why=why, excess=excess)


def _learnt(
    panel: Panel,
    under_white_errors: partial[Consensus],
    *,
    rank: int | None,
    level: float,
    starts: Starts | None,
) -> Consensus:
    """Step 3 where no noise is given: white errors when they look white, the clients' log scores otherwise."""
    if panel.shape[0] < _FEWEST_CLIENTS or white_off_common_directions(panel):
        return under_white_errors(panel)
    cut, common = levelled(panel)
    half = _best_half(cut, rank, starts)
    if white_about(cut, fit_shared(cut, half.members, half.rank), half.members):
        return under_white_errors(panel)
    divided = with_norms_divided_out(cut)
    other = _best_half(divided, rank, starts)
    normalised = _scales_differ(cut, half, divided, other)
    if normalised:
        cut, half = divided, other
    found = accepted_outward(cut, half.members, half.rank, (1.0 - SIZES_SHARE) * level if normalised else level)
    source = found.source if starts is None else "program"
    found = replace(found, cut_to=common, normalised=normalised, source=source)
    return _with_sizes(found, panel, SIZES_SHARE * level) if normalised else found


def _with_sizes(found: Consensus, panel: Panel, level: float) -> Consensus:
    """The verdict on blocks of norm one, and those flagged who send much more than the others."""
    look = oversized(np.sqrt(panel.energies) * panel.scales * panel.units, level)
    members = found.collaborative_set & ~look.flagged
    if 2 * members.sum() <= members.size:
        return found
    tested = found.calibrated
    p_values, thresholds = look.p_values_with(tested.p_values), look.thresholds_with(tested.scores, tested.thresholds)
    calibrated = replace(tested, p_values=p_values, thresholds=thresholds)
    return replace(found, calibrated=calibrated, collaborative_set=members, oversized=look.flagged)


def _scales_differ(given: Panel, half: Half, divided: Panel, other: Half) -> bool:
    """Whether norms are to be divided out; never at rank 0, where the residual is the norm itself."""
    if other.rank == 0:
        return False
    spread = spread_ratio(
        log_residuals(given, half.members, half.rank), log_residuals(divided, other.members, other.rank)
    )
    return spread > SCALES_DIFFER


def _best_half(panel: Panel, rank: int | None, starts: Starts | None) -> Half:
    halves = least_median_halves(panel, rank=rank, starts=None if starts is None else starts(panel))
    return choose_rank(halves, panel.shape[1])


def _under_white_errors(
    panel: Panel, *, rank: int | None, level: float, heterogeneity: float, propose: Source | None
) -> Consensus:
    test = SetTest(panel, level=level, heterogeneity=heterogeneity)
    limit = min(rank_limit(panel), count_above_noise(panel) + _MISSED_BY_SIGNS)
    everyone = everyone_agrees(test, range(limit + 1) if rank is None else range(rank, rank + 1))
    if everyone is not None and _generic(test, everyone):
        return accept(everyone, "everyone", ())
    sources = (partial(program, rank=rank), partial(search, rank=rank)) if propose is None else (propose,)
    largest = limit if everyone is None or rank is not None else everyone.rank - 1
    for source in sources:
        found, largest_set = _first_accepted(test, source(panel), rank=rank, largest=largest, everyone=everyone)
        if found.accepted:
            return found
    # Nothing is left but sets of which a part alone uses some direction: accepted where that part is a majority.
    for tested, name in ((everyone, "everyone"), largest_set):
        if tested is not None and _sound(test, tested, given=rank is not None) and _used_by_majority(test, tested):
            return accept(tested, name, found.evidence)
    return found


def everyone_agrees(test: SetTest, ranks: range) -> Outcome | None:
    """Step 1: the fit on all clients at the smallest of the ranks at which it is consistent and homogeneous, or None.

    A search selects: among clean clients it can find a majority that a *smaller* rank explains by luck, and then flags
    the others for carrying a direction that everybody shares (95 of 130 false alarms on small clean federations).  A
    set that was fixed before looking at the data spends nothing on selection
    (docs/derivations/detection.md, section 4).

    Parameters
    ----------
    test : SetTest
    ranks : range

    Returns
    -------
    Outcome or None
    """
    panel = test.panel
    everyone = np.ones(panel.shape[0], dtype=np.bool_)
    for rank in ranks:
        fit = fit_shared(panel, everyone, rank)
        if panel.noise is None and residual_variance(panel, fit, np.zeros(everyone.size))[1] <= 0:
            return None  # nothing is left to learn the noise from, here and at every larger rank
        if len(ranks) > 1 and spike_ratio(panel, fit, heterogeneity=test.heterogeneity) > 1.0:
            continue
        tested = test(everyone, rank)
        if tested.passed.all() and tested.homogeneous:
            return tested
    return None


def _used_by_majority(test: SetTest, tested: Outcome) -> bool:
    """Whether it is refuted that half of a consistent set lives at a smaller rank."""
    share = test.level * SHARES["generic use"]
    return used_by_majority(test.panel, tested.fit, tested.calibrated.noise, level=share)


def _generic(test: SetTest, tested: Outcome) -> bool:
    """Whether it is plausible that no majority of a consistent set lives at a smaller rank.

    Remembered by set: candidates of one rank, and those of both sources, mostly meet in the same few sets.
    """
    key = tested.fit.members.tobytes(), tested.rank
    if key not in test.generic:
        size = int(tested.passed.sum())
        half = size // 2 + 1
        test.generic[key] = used_by_all(
            test.panel,
            tested.fit,
            tested.calibrated.noise,
            rank=tested.rank - 1,
            counts=(half, (half + size) // 2, size - 1),
            level=test.level * SHARES["generic use"],
        )
    return test.generic[key]


def _first_accepted(
    test: SetTest, candidates: Iterator[Candidates], *, rank: int | None, largest: int, everyone: Outcome | None
) -> tuple[Consensus, tuple[Outcome | None, str]]:
    """The smallest rank with an acceptable majority, unless a larger set agrees one rank further and uses all of it.

    Second the largest set that was not acceptable, and its source.
    """
    evidence: tuple[RankEvidence, ...] = ()
    best: tuple[Outcome | None, str] = (None, "")
    accepted: tuple[Outcome, str] | None = None
    for proposed in candidates:
        if rank is None and proposed[0].rank > largest:
            break
        if accepted is not None and not _any_grows(test, proposed, accepted[0]):
            break
        found, source, good = _best_of_rank(test, proposed, given=rank is not None)
        if found is None:
            continue
        if accepted is not None and not (good and _larger_and_generic(test, found, accepted[0])):
            break
        evidence = (*evidence, evidence_of(found, accepted=False))
        if good:
            accepted = found, source
            if found.passed.all():
                break
        elif best[0] is None or found.passed.sum() > best[0].passed.sum():
            best = found, source
    if accepted is not None:
        return accept(*accepted, evidence[:-1]), best
    shown = best[0]
    if shown is None:
        shown = everyone if everyone is not None else test(test.panel.canonical_order >= 0, rank or 0)
        evidence = (*evidence, evidence_of(shown, accepted=False))
    return undecidable(shown, evidence, everyone=everyone, rank=rank), best


def _any_grows(test: SetTest, group: Candidates, accepted: Outcome) -> bool:
    """Whether a candidate of the next rank grows beyond the accepted set; most do not, and need no further look."""
    count = int(accepted.passed.sum())
    return any(int(test.agreed(candidate.members, candidate.rank).passed.sum()) > count for candidate in group)


def _best_of_rank(test: SetTest, group: Candidates, *, given: bool) -> tuple[Outcome | None, str, bool]:
    """The largest acceptable set that the candidates of one rank grow into; the largest set where none is."""
    best: Outcome | None = None
    source, good = "", False
    for candidate in group:
        # Candidates come largest first; a smaller one does not grow beyond an acceptable set of its size.
        if best is not None and good and best.passed.sum() >= candidate.members.sum():
            break
        found = test.agreed(candidate.members, candidate.rank)
        if best is not None and good and found.passed.sum() <= best.passed.sum():
            continue
        acceptable = _acceptable(test, found, given=given)
        if best is None or acceptable or (not good and found.passed.sum() > best.passed.sum()):
            best, source, good = found, candidate.source, acceptable
    return best, source, good


def _acceptable(test: SetTest, found: Outcome, *, given: bool) -> bool:
    """A sound majority that uses all its directions."""
    return _sound(test, found, given=given) and _generic(test, found)


def _sound(test: SetTest, found: Outcome, *, given: bool) -> bool:
    """A majority, with nothing but noise left over unless the rank was given."""
    return bool(found.passed.sum() >= test.panel.half and (given or found.ratio <= 1.0) and found.homogeneous)


def _larger_and_generic(test: SetTest, found: Outcome, smaller: Outcome) -> bool:
    """Whether a larger set agrees at a larger rank, and its members plausibly all use the extra directions."""
    count = int(smaller.passed.sum())
    if found.passed.sum() <= count:
        return False
    level, noise = test.level * SHARES["generic use"], found.calibrated.noise
    return used_by_all(test.panel, found.fit, noise, rank=smaller.rank, counts=(count,), level=level)
