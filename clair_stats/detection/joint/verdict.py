"""One verdict about clients that send several modules, at one level.

0. Clients whose updates are copies of one another share one vote (:mod:`~clair_stats.detection.joint.copies`).
1. Every module is brought to coordinates of its joint column and row spaces; where the clients kept different ranks,
   higher ones are cut to the lower quartile.
2. The half of the clients whose worst member fits best over all modules is found for the ranks 0, 1, …, on the scale
   as given and with every block divided by its norm; a module's rank is where its residual stops falling.
3. The scale on which the half's scores scatter less decides; both at half the level each where that is not clear.
4. Where every module is given dense, and its errors look white inside a client and independent between modules, the
   modules' exact p-values are added up (:mod:`~clair_stats.detection.joint.white`).
5. Otherwise sums of log scores are the law (:mod:`~clair_stats.detection.joint.summed_law`).
6. Members whose updates point away from the others' are named (:mod:`~clair_stats.detection.joint.alignment`).

See docs/derivations/joint_verdict.md, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from clair_stats.detection.joint.alignment import alignment_of
from clair_stats.detection.joint.copies import representatives
from clair_stats.detection.joint.levelling import as_factors, levelled
from clair_stats.detection.joint.module import DenseModule, Module, module_of
from clair_stats.detection.joint.outcome import JointVerdict, Scale
from clair_stats.detection.joint.search import (
    MOST_RANK,
    JointHalf,
    joint_half,
    least_explanation,
    rank_by_gap,
    starting_sets,
)
from clair_stats.detection.joint.summed_law import settle, standardised
from clair_stats.detection.joint.view import View, view_of
from clair_stats.detection.joint.white import SUM_SHARE, white_rank, white_set
from clair_stats.detection.panel import Panel, panel_of
from clair_stats.detection.scales import SCALES_DIFFER, spread_ratio
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.detection.sizes import SHARE as SIZES_SHARE
from clair_stats.detection.step_3_law import white_about
from clair_stats.estimates import ClientEstimates
from clair_stats.laws import per_client_level
from clair_stats.parallel import each
from clair_stats.records import BoolArray, FloatArray

__all__ = ["JointVerdict", "Scale", "joint_verdict"]

# Fewer accepted clients leave a t law with less than three degrees of freedom for a Bonferroni tail.
_FEWEST_CLIENTS = 6
# More directions than a shared subspace and a coordinated contamination of ordinary rank take together.
_COORDINATES = 24
_SPARE = 6
# The half is looked for in at most this many modules, evenly spread; every module has its part in the scores.
_SEARCHED = 16
# Below this ratio of spreads dividing by norms only adds scatter, and clients are compared as given; above
# SCALES_DIFFER with norms divided out, and in between on both scales (joint_verdict.md, section 2).
_SCALES_EQUAL = 0.5


@dataclass(frozen=True, eq=False)
class _Read:
    """One module as it is kept."""

    module: Module
    products: FloatArray  # (K, K)
    design: FloatArray  # (K,)
    scales: FloatArray  # (K,), 1/s_k
    panel: Panel | None  # of dense modules of full rank
    columns: int  # columns or kept rank of a client, whichever is smaller
    cut_to: int | None

    @property
    def weight(self) -> float:
        """What a log score counts in a client's sum: √d, d the free entries of a matrix of the kept rank.

        Sampling error gives a log score a variance of about 2/d; were it all of the spread and every module told as
        much, d would be best, and equal weights were the spread all the client's own.
        """
        _, p, q = self.module.shape
        return float(np.sqrt(self.columns * (p + q - self.columns)))


def joint_verdict(
    records: Iterable[ClientEstimates | Callable[[], ClientEstimates]],
    *,
    rank: int | None,
    level: float,
    common_component: bool = True,
    shared: Literal["columns", "rows"] = "columns",
    n_jobs: int | None = 1,
    program: bool = False,
) -> JointVerdict:
    """Find the collaborative set of clients from all modules together.

    Parameters
    ----------
    records : iterable of ClientEstimates, or of functions that return one
        One per module, clients in one order; read once, ``n_jobs`` at a time.
    rank : int, optional
        Dimension of every module's shared subspace; chosen module by module when not given.
    level : float
        Probability of any false alarm among benign clients.
    common_component : bool
        Whether clients may share a component off the subspace.
    shared : {"columns", "rows"}
        What they share.
    n_jobs : int, optional
        Modules at a time, see :func:`clair_stats.parallel.each`.
    program : bool
        Whether the sets from which the half is looked for come from the convex program in place of random pairs.

    Returns
    -------
    JointVerdict
    """
    sources = list(records)
    read = each(partial(_read, common_component=common_component, shared=shared), sources, n_jobs=n_jobs)
    # One shared direction a module lets clients differ in its columns; the length of an update is no direction.
    freedom = sum(module.module.shape[2] for module in read) - 1
    products = [module.products for module in read]
    voters = representatives(products, freedom)
    distinct = np.unique(voters)
    if distinct.size < voters.size:
        del read
        return joint_verdict(
            [partial(_of_clients, source, distinct) for source in sources],
            rank=rank,
            level=level,
            common_component=common_component,
            shared=shared,
            n_jobs=n_jobs,
            program=program,
        ).for_copies(voters)
    found = _verdict(read, rank, level, n_jobs, program=program)
    aligned = alignment_of(products, found.collaborative_set, level)
    return replace(found, alignment=aligned)


def _verdict(
    read: Sequence[_Read], rank: int | None, level: float, n_jobs: int | None, *, program: bool
) -> JointVerdict:
    n_clients = read[0].module.shape[0]
    given = _search(read, rank, normalised=False, program=program, n_jobs=n_jobs)
    divided = _search(read, rank, normalised=True, program=program, n_jobs=n_jobs)
    ratio = spread_ratio(given.log_residuals, divided.log_residuals)
    white = _white(read, given, rank, level)
    if white is not None:
        return white
    # With norms divided out a residual at rank 0 is an angle, which alone does not tell a client by its size.
    only_angles = not any(divided.best.ranks)
    searches = [given] * (ratio <= SCALES_DIFFER or only_angles) + [divided] * (ratio > _SCALES_EQUAL)
    if n_clients < _FEWEST_CLIENTS:
        reason = f"{n_clients} clients are too few to learn how benign ones scatter; {_FEWEST_CLIENTS} are needed"
        return _undecided(read, searches[0], searches[0].ranks_of_all(), reason)
    if searches == [divided]:  # nothing else tells a client by its size
        sizes = np.sqrt(np.sum([np.diag(module.products) for module in read], axis=0))
        return _by_log_scores(read, divided, (1.0 - SIZES_SHARE) * level).with_sizes(sizes, SIZES_SHARE * level)
    verdicts = [_by_log_scores(read, search, level / len(searches)) for search in searches]
    decided = [verdict for verdict in verdicts if verdict.majority] or verdicts[:1]
    return decided[0] if len(decided) == 1 else _either(*decided)


def _of_clients(source: ClientEstimates | Callable[[], ClientEstimates], numbers: NDArray[np.int64]) -> ClientEstimates:
    return (source() if callable(source) else source).of_clients(numbers.tolist())


def _read(
    source: ClientEstimates | Callable[[], ClientEstimates],
    common_component: bool,
    shared: Literal["columns", "rows"],
) -> _Read:
    record = source() if callable(source) else source
    cut, common, changed = levelled(as_factors(record))
    module = module_of(cut, shared)
    scales = np.ones(record.n_clients)
    if record.noise_scales is not None:
        scales = 1.0 / record.noise_scales
    elif record.sample_sizes is not None:
        scales = np.sqrt(record.sample_sizes)
    scales = scales / np.exp(np.mean(np.log(scales)))
    design = scales if common_component else np.zeros(record.n_clients)
    panel = None
    if isinstance(module, DenseModule) and not changed and common >= min(record.block_shape):
        panel = panel_of(record, module.blocks, common_component=common_component, shared=shared)
    columns = min(module.shape[2], common)
    return _Read(module, module.products, design, scales, panel, columns, common if changed else None)


def _view(read: _Read, *, normalised: bool, members: BoolArray | None = None, count: int = _COORDINATES) -> View:
    scales, design = read.scales, read.design
    if normalised:
        norms = np.sqrt(np.diag(read.products))
        scales = 1.0 / np.maximum(norms, np.finfo(float).tiny ** 0.5)
        design = (design > 0).astype(np.float64)
    return view_of(read.module, products=read.products, scales=scales, design=design, members=members, count=count)


def _limit(read: _Read, rank: int | None) -> int:
    """The largest rank that is tried: beyond it a basis merely spans the clients that it explains."""
    n_clients, p, _ = read.module.shape
    spanned = min((n_clients // 2) * read.columns - 2, n_clients - 3)
    return max(min(MOST_RANK if rank is None else rank, p - 1, spanned), 0)


@dataclass(frozen=True, eq=False)
class _Search:
    """The halves found on one scale, in the modules that were searched."""

    read: Sequence[_Read]
    rank: int | None
    normalised: bool
    chosen: tuple[int, ...]  # numbers of the searched modules
    views: tuple[View, ...]  # theirs
    halves: tuple[JointHalf, ...]  # with one rank for all modules: 0, 1, …, or the given one
    best: JointHalf  # with every searched module at its own rank
    energies: tuple[FloatArray, ...]  # of the random starts, searched module by module, at the ranks 0, 1, …
    n_jobs: int | None = 1  # modules at a time

    @property
    def scale(self) -> Scale:
        """On which clients are compared."""
        return "norms divided out" if self.normalised else "as given"

    @property
    def log_residuals(self) -> FloatArray:
        """Mean over the searched modules of log ‖R_k‖² about the best half's own fit, (K,)."""
        members = self.best.members[None]
        fits = [view.fits(members, rank)[0][0] for view, rank in zip(self.views, self.best.ranks, strict=True)]
        return np.asarray(np.log(fits).mean(axis=0))

    def half_at(self, ranks: Sequence[int]) -> BoolArray:
        """The best half with other ranks for all modules."""
        own = [ranks[number] for number in self.chosen]
        starts = np.stack([half.members for half in self.halves])
        return joint_half(self.views, own, starts, self.energies).members

    def ranks_of_all(self) -> tuple[int, ...]:
        """Every module's rank, also of those that were not searched."""
        known = dict(zip(self.chosen, self.best.ranks, strict=True))
        if self.rank is not None:
            return tuple(known.get(number, _limit(module, self.rank)) for number, module in enumerate(self.read))

        def own(number: int) -> int:
            if number in known:
                return known[number]
            module = self.read[number]
            return _own_rank(_view(module, normalised=self.normalised), self.best.members, module)

        return tuple(each(own, range(len(self.read)), n_jobs=self.n_jobs, shared_memory=True))


def _search(
    read: Sequence[_Read], rank: int | None, *, normalised: bool, n_jobs: int | None, program: bool = False
) -> _Search:
    chosen = tuple(sorted({int(i) for i in np.linspace(0, len(read) - 1, min(_SEARCHED, len(read))).round()}))
    views = tuple(
        each(lambda number: _view(read[number], normalised=normalised), chosen, n_jobs=n_jobs, shared_memory=True)
    )
    limits = [_limit(read[number], rank) for number in chosen]
    starts = starting_sets(views, program=program)
    if rank is not None:
        best = joint_half(views, limits, starts)
        return _Search(read, rank, normalised, chosen, views, (best,), best, (), n_jobs)
    pairs = list(zip(views, limits, strict=True))
    energies = each(lambda pair: pair[0].fits_at_ranks(starts, pair[1]), pairs, n_jobs=n_jobs, shared_memory=True)
    none = starts[:0]
    halves = tuple(
        joint_half(views, [min(r, limit) for limit in limits], none, energies) for r in range(max(limits) + 1)
    )
    searched = list(zip(views, chosen, strict=True))

    def ranks_of(members: BoolArray) -> tuple[int, ...]:
        def own(pair: tuple[View, int]) -> int:
            return _own_rank(pair[0], members, read[pair[1]])

        return tuple(each(own, searched, n_jobs=n_jobs, shared_memory=True))

    best = least_explanation(views, halves, energies, ranks_of)
    return _Search(read, rank, normalised, chosen, views, halves, best, tuple(energies), n_jobs)


def _own_rank(view: View, members: BoolArray, read: _Read) -> int:
    """The rank at which the typical residual of the members (K,) stops falling in this module."""
    typical = view.fits_at_ranks(members[None], _limit(read, None) + 1)[:, 0, members].mean(axis=1)
    return rank_by_gap(typical, read.module.shape[1])


def _white(read: Sequence[_Read], given: _Search, rank: int | None, level: float) -> JointVerdict | None:
    """The verdict by exact statistics, or None where errors are not white or their law is refuted."""
    panels = [module.panel for module in read if module.panel is not None]
    if len(panels) < len(read):
        return None
    sets = [half.members for half in given.halves]
    if rank is None:
        limits = [_limit(module, None) for module in read]
        ranks = [white_rank(panel, sets[: limit + 1]) for panel, limit in zip(panels, limits, strict=True)]
    else:
        ranks = list(given.ranks_of_all())
    start = given.half_at(ranks)
    if not all(white_about(panel, fit_shared(panel, start, r), start) for panel, r in zip(panels, ranks, strict=True)):
        return None
    found = white_set(panels, ranks, start, level)
    if found is None:
        return None
    alpha = per_client_level(SUM_SHARE * level, start.size)
    members = found.p_values >= alpha
    return JointVerdict(
        collaborative_set=members,
        scores=found.sums,
        thresholds=np.full(members.size, float(special.chdtri(found.degrees, alpha))),
        p_values=found.p_values,
        module_scores=-special.ndtri(np.clip(found.by_module, np.finfo(float).tiny, 1.0 - np.finfo(float).eps)),
        ranks=tuple(ranks),
        law="white errors",
        scale="as given",
        cut_to=tuple(module.cut_to for module in read),
        reason=None,
    )


def _by_log_scores(read: Sequence[_Read], search: _Search, level: float) -> JointVerdict:
    half, ranks = search.best, search.ranks_of_all()
    # All modules are held at once: no more directions than the scores' orthogonal iterations need to start from.
    views = each(
        lambda pair: _view(pair[0], normalised=search.normalised, members=half.members, count=2 * pair[1] + _SPARE),
        list(zip(read, ranks, strict=True)),
        n_jobs=search.n_jobs,
        shared_memory=True,
    )
    weights = np.array([module.weight for module in read])
    found = settle(views, ranks, weights, half.members, level, n_jobs=search.n_jobs)
    members, p_values = found.members, found.p_values
    alpha = found.critical / (members.sum() + 1)
    if found.torn:
        return _undecided(read, search, ranks, "no more than half of the clients agree")
    # Flagged by both looks together, below the first look's bound: the bound that flagged it lies under the score.
    thresholds = np.full(members.size, found.bound)
    lowered = found.sums - np.abs(found.sums) * (1.0 - np.clip(p_values / alpha, 0.0, 1.0 - 1e-9))
    thresholds = np.where(~members & (found.sums <= thresholds), lowered, thresholds)
    thresholds = np.where(members, np.maximum(thresholds, found.sums), thresholds)
    return JointVerdict(
        collaborative_set=members,
        scores=found.sums,
        thresholds=thresholds,
        p_values=p_values,
        module_scores=standardised(np.log(found.left), members),
        ranks=ranks,
        law="log scores",
        scale=search.scale,
        cut_to=tuple(module.cut_to for module in read),
        reason=None,
    )


def _either(given: JointVerdict, divided: JointVerdict) -> JointVerdict:
    """A client is benign when it is on both scales; each has had half of the level."""
    on_divided = divided.p_values < given.p_values

    def chosen(first: FloatArray, second: FloatArray) -> FloatArray:
        return np.where(on_divided, second, first)

    benign = given.collaborative_set & divided.collaborative_set
    # The scale that flags a client speaks for it, also where the other one's p-value is the smaller.
    on_divided = np.where(given.collaborative_set != divided.collaborative_set, given.collaborative_set, on_divided)
    return replace(
        given,
        collaborative_set=benign,
        scores=chosen(given.scores, divided.scores),
        thresholds=chosen(given.thresholds, divided.thresholds),
        p_values=np.minimum(2.0 * chosen(given.p_values, divided.p_values), 1.0),
        module_scores=chosen(given.module_scores, divided.module_scores),
        scale="both",
    )


def _undecided(read: Sequence[_Read], search: _Search, ranks: tuple[int, ...], reason: str) -> JointVerdict:
    n_clients = search.best.members.size
    unknown = np.full(n_clients, np.nan)
    return JointVerdict(
        collaborative_set=np.zeros(n_clients, dtype=np.bool_),
        scores=unknown,
        thresholds=unknown,
        p_values=unknown,
        module_scores=np.full((len(read), n_clients), np.nan),
        ranks=ranks,
        law="log scores",
        scale=search.scale,
        cut_to=tuple(module.cut_to for module in read),
        reason=reason,
    )
