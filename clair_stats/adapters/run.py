"""From adapter folders to a verdict, an aggregate and refined adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clair_stats.adapters.federation import AdapterFederation, AdapterModules, read_federation
from clair_stats.adapters.judge import fitted, report_on
from clair_stats.adapters.output import check_output_folder, new_folder
from clair_stats.adapters.progress import Counted, Progress, silent
from clair_stats.adapters.report import AdapterReport, write_report
from clair_stats.adapters.results import write_aggregate, write_refined
from clair_stats.clair import CLAIR

__all__ = ["AdapterResult", "aggregate_adapters"]


@dataclass(frozen=True, eq=False)
class AdapterResult:
    """What was found, and where it was written."""

    report: AdapterReport
    federation: AdapterFederation
    model: CLAIR | None  # None where too few adapters could be compared
    output: Path | None


def aggregate_adapters(
    folders: Sequence[Path | str],
    *,
    output: Path | str | None = None,
    rank: int | None = None,
    level: float = 0.05,
    refined: bool = True,
    n_jobs: int | None = 1,
    progress: Progress = silent,
) -> AdapterResult:
    """Find the contaminated adapters, average the benign ones exactly, refine each.

    Parameters
    ----------
    folders : sequence of paths
        One PEFT folder per client, or one folder that holds them.
    output : path, optional
        A new folder for ``aggregate``, ``refined/NAME``, ``report.json`` and ``report.html``; nothing is written
        without it.
    rank : int, optional
        Largest rank of a written product; exact (up to min(p, q)) when not given.
    level : float
        Probability of any false alarm among all clients.
    refined : bool
        Whether refined adapters are written too.
    n_jobs : int, optional
        Modules at a time; what is written does not depend on it.  Threads, or what ``joblib.parallel_config`` says, for
        instance dask workers that see the same folders.
    progress : callable
        Called with what is being done, how much of it is done, and of how much (0: not known).

    Returns
    -------
    AdapterResult
        Damaged, foreign and refused adapters are quarantined, by name and with the reason; they have no part in
        anything.  Without a verdict no aggregate is written.

    Raises
    ------
    ValueError
        No readable adapter, no base model with a majority, an output that cannot be written, a rank below 1.
    """
    paths = [Path(folder) for folder in folders]
    if rank is not None and rank < 1:
        raise ValueError(f"rank: {rank}; give at least 1, or None for the exact mean")
    target = None if output is None else Path(output)
    if target is not None:
        check_output_folder(target, paths)
    federation = read_federation(paths, progress)
    modules = AdapterModules(federation.clients)
    model = fitted(Counted(modules, "comparing modules", progress), len(federation.clients), level, n_jobs)
    report = report_on(federation, modules, model, level)
    if target is not None:
        with new_folder(target) as beside:
            if model is not None and model.majority_:
                members = [federation.clients[k] for k in np.flatnonzero(model.collaborative_set_)]
                if not refined:
                    lost_by_all = write_aggregate(beside, members, rank, n_jobs=n_jobs, progress=progress)
                else:
                    lost_by_all, lost = write_refined(
                        beside, federation.clients, model, rank, n_jobs=n_jobs, progress=progress
                    )
                    rows = tuple(replace(row, energy_lost=lost.get(row.name)) for row in report.rows)
                    report = replace(report, rows=rows)
                report = replace(report, aggregate_energy_lost=lost_by_all)
            write_report(report, beside)
    return AdapterResult(report, federation, model, target)
