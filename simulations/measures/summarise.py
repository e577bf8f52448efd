"""Performance measures of every cell of a store, streamed cell by cell in the study's order."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulations.design import Cell, Study, factor_columns, factors
from simulations.measures.summaries import Estimate, Mean, Measure, PairedDifference
from simulations.storage.rows import Chunk
from simulations.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Summary", "summaries_of", "summarise"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """One performance measure of one cell."""

    cell: Cell
    measure: Measure
    estimate: Estimate
    failed: int  # failed replications of the cell, which enter no value


def _checked(store: Store, measures: Sequence[Measure] | None) -> tuple[Measure, ...]:
    known = store.metric_names()
    chosen = tuple(measures if measures is not None else store.study.measures)
    if not chosen:
        return tuple(Mean(name) for name in known)
    methods = {cell.method.name for cell in store.study.cells}
    for measure in chosen:
        for name in measure.columns:
            if known and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"the store has {', '.join(known)}"
                raise ValueError(f"measure {measure.label!r}: no metric {name!r}; {hint}")
        if isinstance(measure, PairedDifference) and measure.reference not in methods:
            near = difflib.get_close_matches(measure.reference, methods, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the study has {', '.join(sorted(methods))}"
            raise ValueError(f"measure {measure.label!r}: no method {measure.reference!r}; {hint}")
    return chosen


@dataclass(frozen=True)
class _Series:
    """One metric of one cell, kept for pairing with another method of the same regime."""

    replications: NDArray[np.int64]
    values: Array


class _Cell:
    """The measures of one cell: accumulators of its own, and the metrics that pairs will need."""

    def __init__(self, cell: Cell, have: set[str], measures: Sequence[Measure]) -> None:
        self.cell = cell
        pairs = [measure for measure in measures if isinstance(measure, PairedDifference)]
        own = [measure for measure in measures if not isinstance(measure, PairedDifference)]
        self.active = {measure: measure.accumulator() for measure in own if have.issuperset(measure.columns)}
        self.wanted = {pair.metric for pair in pairs} & have
        self.needed = {name for measure in self.active for name in measure.columns} | self.wanted

    def read(self, chunks: Iterable[Chunk]) -> dict[str, _Series]:
        """Take all rows; returns the metrics that are kept."""
        kept: dict[str, list[Array]] = {name: [] for name in self.wanted}
        numbers: list[NDArray[np.int64]] = []
        for chunk in chunks:
            columns = {name: _column(chunk, name) for name in self.needed}
            for accumulator in self.active.values():
                accumulator.update(columns)
            numbers.append(chunk.replications)
            for name in self.wanted:
                kept[name].append(columns[name].copy())
        return {name: _Series(np.concatenate(numbers), np.concatenate(parts)) for name, parts in kept.items()}


def _column(chunk: Chunk, name: str) -> Array:
    """One metric of a chunk; NaN, that is undefined, where these rows do not have it."""
    if name not in chunk.names:
        return np.full(len(chunk.replications), np.nan)
    return chunk.values[:, chunk.names.index(name)]


def _paired(measure: PairedDifference, method: _Series, reference: _Series) -> Estimate:
    every = np.union1d(method.replications, reference.replications)
    sides = []
    for series in (method, reference):
        aligned = np.full(every.size, np.nan)
        aligned[np.searchsorted(every, series.replications)] = series.values
        sides.append(aligned)
    accumulator = measure.accumulator()
    accumulator.update({measure.metric: sides[0] - sides[1]})
    return accumulator.result()


def _pair_estimates(
    pair: PairedDifference, cells: Sequence[Cell], kept: Mapping[str, Mapping[str, _Series]]
) -> Iterator[tuple[str, Estimate]]:
    """(cell hash, estimate) of every cell of one regime that can be set against the reference."""
    reference = next((cell for cell in cells if cell.method.name == pair.reference), None)
    if reference is None or pair.metric not in kept[reference.hash]:
        return
    base = kept[reference.hash][pair.metric]
    for cell in cells:
        own = kept[cell.hash].get(pair.metric)
        if own is not None and cell is not reference:
            yield cell.hash, _paired(pair, own, base)


def _regime_estimates(
    store: Store, cells: Sequence[Cell], measures: Sequence[Measure]
) -> dict[tuple[str, Measure], Estimate]:
    """(cell hash, measure) -> estimate of the cells of one regime."""
    kept: dict[str, dict[str, _Series]] = {}
    found: dict[tuple[str, Measure], Estimate] = {}
    for cell in cells:
        here = _Cell(cell, {name for names in store.signatures(cell) for name in names}, measures)
        kept[cell.hash] = here.read(store.chunks(cell))
        found |= {(cell.hash, measure): taken.result() for measure, taken in here.active.items()}
    for pair in measures:
        if isinstance(pair, PairedDifference):
            found |= {(cell, pair): estimate for cell, estimate in _pair_estimates(pair, cells, kept)}
    return found


def summaries_of(store: Store, measures: Sequence[Measure] | None = None) -> Iterator[Summary]:
    """Every measure of every cell that has its metrics, regime by regime.

    Memory holds one chunk of rows, and of one regime at a time the metrics that quantiles and paired differences need.
    """
    chosen = _checked(store, measures)
    failed = {status.cell.hash: status.failed for status in store.status()}
    by_regime: dict[str, list[Cell]] = {}
    for cell in store.study.cells:
        by_regime.setdefault(cell.regime_hash, []).append(cell)
    for cells in by_regime.values():
        found = _regime_estimates(store, cells, chosen)
        for cell in cells:
            for measure in chosen:
                if (cell.hash, measure) in found:
                    yield Summary(cell, measure, found[cell.hash, measure], failed[cell.hash])


def summarise(
    store_path: str | os.PathLike[str], study: Study, measures: Sequence[Measure] | None = None
) -> pd.DataFrame:
    """Performance measures with Monte Carlo standard errors, one line per cell and measure.

    Parameters
    ----------
    store_path : path-like
    study : Study
    measures : sequence of Measure, optional
        Instead of ``study.measures``; when both are empty, the mean of every metric.

    Returns
    -------
    DataFrame
        ``regime``, ``regime.<field>``, ``method``, ``method.<field>``, ``measure``, ``value``, ``mcse``, ``low`` and
        ``high`` (95 % interval), ``n`` (replications that entered), ``undefined`` (NaN or unpaired),
        ``failed``.

    Raises
    ------
    ValueError
        A measure of an unknown metric or method, with the nearest name.
    StoreError
        See :class:`simulations.storage.store.Store`.
    """
    import pandas as pd

    columns = factor_columns(study.cells)
    lines = []
    with Store(store_path, study) as store:
        for summary in summaries_of(store, measures):
            mine, estimate = factors(summary.cell), summary.estimate
            low, high = estimate.interval()
            lines.append(
                {name: mine.get(name) for name in columns}
                | {
                    "measure": summary.measure.label,
                    "value": estimate.value,
                    "mcse": estimate.mcse,
                    "low": low,
                    "high": high,
                    "n": estimate.n,
                    "undefined": estimate.undefined,
                    "failed": summary.failed,
                }
            )
    ending = ["measure", "value", "mcse", "low", "high", "n", "undefined", "failed"]
    return pd.DataFrame(lines, columns=[*columns, *ending])
