"""Performance measures of every cell of a store, streamed cell by cell in the study's order."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulations.design import Cell, Study
from simulations.measures.summaries import Estimate, Mean, Measure, PairedDifference
from simulations.storage.frames import factor_columns, factors
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


@dataclass
class _Series:
    """One metric of one cell, kept for pairing with another method of the same regime."""

    replications: NDArray[np.int64]
    values: Array


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


def summaries_of(store: Store, measures: Sequence[Measure] | None = None) -> Iterator[Summary]:
    """Every measure of every cell that has its metrics, regime by regime.

    Memory holds one chunk of rows, and of one regime at a time the metrics that quantiles and paired differences need.
    """
    chosen = _checked(store, measures)
    single = [measure for measure in chosen if not isinstance(measure, PairedDifference)]
    pairs = [measure for measure in chosen if isinstance(measure, PairedDifference)]
    failed = {status.cell.hash: status.failed for status in store.status()}
    by_regime: dict[str, list[Cell]] = {}
    for cell in store.study.cells:
        by_regime.setdefault(cell.regime_hash, []).append(cell)
    for cells in by_regime.values():
        kept: dict[tuple[str, str], _Series] = {}
        found: dict[tuple[str, Measure], Estimate] = {}
        for cell in cells:
            have = {name for names in store.signatures(cell) for name in names}
            active = {m: m.accumulator() for m in single if have.issuperset(m.columns)}
            wanted = {m.metric for m in pairs} & have
            needed = {name for m in active for name in m.columns} | wanted
            series: dict[str, list[Array]] = {name: [] for name in wanted}
            numbers: list[NDArray[np.int64]] = []
            for chunk in store.chunks(cell):
                columns = {name: _column(chunk, name) for name in needed}
                for accumulator in active.values():
                    accumulator.update(columns)
                if wanted:
                    numbers.append(chunk.replications)
                    for name in wanted:
                        series[name].append(columns[name].copy())
            for measure, accumulator in active.items():
                found[cell.hash, measure] = accumulator.result()
            for name in wanted:
                kept[cell.hash, name] = _Series(np.concatenate(numbers), np.concatenate(series[name]))
        for pair in pairs:
            reference = next((cell for cell in cells if cell.method.name == pair.reference), None)
            base = None if reference is None else kept.get((reference.hash, pair.metric))
            for cell in cells:
                own = kept.get((cell.hash, pair.metric))
                if own is not None and base is not None and cell is not reference:
                    found[cell.hash, pair] = _paired(pair, own, base)
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
