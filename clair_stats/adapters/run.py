"""From adapter folders to a verdict, an aggregate and refined adapters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clair_stats.adapters.federation import AdapterModules, Federation, read_federation
from clair_stats.adapters.output import check_output_folder, new_folder
from clair_stats.adapters.report import AdapterReport, AdapterRow, AdapterVerdict, write_report
from clair_stats.adapters.results import write_aggregate, write_refined
from clair_stats.adapters.traits import inner_products, traits_of
from clair_stats.clair import CLAIR, NoMajorityWarning

__all__ = ["AdapterResult", "aggregate_adapters"]

# A t law of a majority needs that many clients; below it nothing can be said about anybody.
FEWEST_CLIENTS = 3
# Flagged clients are described from the modules in which they stand out most.
_DESCRIBED = 8


@dataclass(frozen=True, eq=False)
class AdapterResult:
    """What was found, and where it was written."""

    report: AdapterReport
    federation: Federation
    model: CLAIR | None  # None where too few adapters could be compared
    output: Path | None


def aggregate_adapters(
    folders: Sequence[Path | str],
    *,
    output: Path | str | None = None,
    rank: int | None = None,
    level: float = 0.05,
    refined: bool = True,
    progress: Callable[[str], None] = lambda _: None,
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
    progress : callable
        Told in a few words what is being done.

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
    progress("reading")
    federation = read_federation(paths)
    modules = AdapterModules(federation.clients)
    model: CLAIR | None = None
    if len(federation.clients) >= FEWEST_CLIENTS:
        progress(f"comparing {len(federation.clients)} adapters in {len(modules)} modules")
        model = CLAIR(level=level)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoMajorityWarning)  # it is the verdict of the report
            model.fit(modules)
    report = _report(federation, modules, model, level)
    if target is not None:
        with new_folder(target) as beside:
            if model is not None and model.majority_:
                progress("writing the aggregate")
                members = [federation.clients[k] for k in np.flatnonzero(model.collaborative_set_)]
                report = replace(report, aggregate_energy_lost=write_aggregate(beside, members, rank))
                if refined:
                    lost = write_refined(beside, federation.clients, model, rank, progress)
                    rows = tuple(replace(row, energy_lost=lost.get(row.name)) for row in report.rows)
                    report = replace(report, rows=rows)
            write_report(report, beside)
    return AdapterResult(report, federation, model, target)


def _report(federation: Federation, modules: AdapterModules, model: CLAIR | None, level: float) -> AdapterReport:
    quarantined = [
        AdapterRow(n, "quarantined", np.nan, np.nan, why) for n, why in sorted(federation.quarantined.items())
    ]
    judged = _judged(federation, modules, model)
    n_flagged = sum(row.verdict == "flagged" for row in judged)
    if model is None or not model.majority_:
        verdict = "no verdict"
        told = f"No verdict on {len(judged)} adapters: {_why_none(model)}"
    else:
        verdict = "somebody flagged" if n_flagged else "nobody flagged"
        told = f"{n_flagged or 'None'} of {len(judged)} adapters flagged"
        told += f": {', '.join(row.name for row in judged if row.verdict == 'flagged')}" if n_flagged else ""
    if quarantined:
        told += f"; {len(quarantined)} quarantined: {', '.join(row.name for row in quarantined)}"
    return AdapterReport(
        verdict=verdict,
        explanation=told,
        rows=(*quarantined, *judged),
        n_modules=len(modules),
        level=level,
        base_model=federation.clients[0].config.base_model,
        dense=tuple(federation.clients[0].dense),
    )


def _why_none(model: CLAIR | None) -> str:
    if model is None:
        return f"fewer than {FEWEST_CLIENTS} can be compared; add clients"
    return "no majority of them agrees; add clients, or train with the same settings"


def _judged(federation: Federation, modules: AdapterModules, model: CLAIR | None) -> list[AdapterRow]:
    """Rows of the clients that were compared, flagged ones first, then by score."""
    names = [client.name for client in federation.clients]
    if model is None:
        return [AdapterRow(name, "undecided", np.nan, np.nan, "too few clients") for name in names]
    scores = {module: np.asarray(values) for module, values in (model.module_scores_ or {}).items()}
    benign = model.collaborative_set_
    verdicts: list[AdapterVerdict] = ["benign" if b else "flagged" for b in benign]
    if not model.majority_:
        verdicts = ["undecided"] * len(names)
    inner = None
    if "flagged" in verdicts:
        excess = {module: float(np.nanmax(values[~benign])) for module, values in scores.items()}
        inner = inner_products(modules, sorted(excess, key=lambda m: -excess[m])[:_DESCRIBED])
    rows = []
    for k, name in enumerate(names):
        own = {module: float(values[k]) for module, values in scores.items()}
        worst = max(own, key=lambda module: own[module]) if own else ""
        reason = ""
        if verdicts[k] == "flagged" and inner is not None:
            traits = traits_of(k, inner, benign, names)
            standing = f"{model.scores_[k]:.2g} standard deviations above the benign adapters, most in {worst}"
            reason = "; ".join([standing, *traits])
        score, p_value = float(model.scores_[k]), float(model.p_values_[k])
        rows.append(AdapterRow(name, verdicts[k], score, p_value, reason, worst, own))
    return sorted(rows, key=lambda row: (row.verdict != "flagged", -row.score))
