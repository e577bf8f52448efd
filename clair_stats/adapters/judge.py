"""One verdict on a federation of adapters, and what is said about each client.

The verdict is that of docs/derivations/joint_verdict.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from clair_stats.adapters.federation import AdapterFederation
from clair_stats.adapters.report import AdapterReport, AdapterRow, AdapterVerdict
from clair_stats.adapters.traits import inner_products, traits_of
from clair_stats.clair import CLAIR, NoMajorityWarning
from clair_stats.estimates import ClientEstimates
from clair_stats.report.margins import finite

__all__ = ["FEWEST_CLIENTS", "fitted", "report_on"]

# A law that is learnt from a majority needs a majority to learn from.
FEWEST_CLIENTS = 3
# Flagged clients are described from the modules in which they stand out most.
_DESCRIBED = 8


def fitted(
    modules: Mapping[str, ClientEstimates], n_clients: int, level: float, n_jobs: int | None = 1
) -> CLAIR | None:
    """The joint fit; None where too few adapters can be compared.  A missing majority is stated in the report.

    Parameters
    ----------
    modules : mapping of str to ClientEstimates
        By module.
    n_clients : int
        K.
    level : float
        Family-wise level.
    n_jobs : int, optional
        Modules at a time.

    Returns
    -------
    CLAIR or None
    """
    if n_clients < FEWEST_CLIENTS:
        return None
    model = CLAIR(level=level, n_jobs=n_jobs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoMajorityWarning)
        model.fit(modules)
    return model


def report_on(
    federation: AdapterFederation, modules: Mapping[str, ClientEstimates], model: CLAIR | None, level: float
) -> AdapterReport:
    """The report on a fit, before anything is written.

    Parameters
    ----------
    federation : AdapterFederation
    modules : mapping module → ClientEstimates
        What the model was fitted to.
    model : CLAIR, optional
        None where too few adapters could be compared.
    level : float
        Probability of any false alarm.

    Returns
    -------
    AdapterReport
    """
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
    named = [row.name for row in judged if row.against]
    told += f"; {len(named)} point away from the others: {', '.join(named)}" if named else ""
    alignment = None if model is None else model.alignment_
    return AdapterReport(
        verdict=verdict,
        explanation=told,
        rows=(*quarantined, *judged),
        n_modules=len(modules),
        level=level,
        base_model=federation.clients[0].config.base_model,
        dense=tuple(federation.clients[0].dense),
        alignment_threshold=None if alignment is None else finite(alignment.threshold),
    )


def _why_none(model: CLAIR | None) -> str:
    if model is None:
        return f"fewer than {FEWEST_CLIENTS} can be compared; add clients"
    return "no majority of them agrees; add clients, or train with the same settings"


def _judged(
    federation: AdapterFederation, modules: Mapping[str, ClientEstimates], model: CLAIR | None
) -> list[AdapterRow]:
    """Rows of the clients that were compared, flagged ones first, then by score."""
    names = [client.name for client in federation.clients]
    if model is None:
        return [AdapterRow(name, "undecided", np.nan, np.nan, "too few clients") for name in names]
    scores = {module: np.asarray(values) for module, values in (model.module_scores_ or {}).items()}
    benign = model.collaborative_set_
    verdicts: list[AdapterVerdict] = ["benign" if b else "flagged" for b in benign]
    if not model.majority_:
        verdicts = ["undecided"] * len(names)
    large = None if model.modules_ is None else model.modules_.verdict.oversized
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
            if large is not None and large[k]:
                standing = "its size is far above the others'"
            reason = "; ".join([standing, *traits])
        score, p_value = float(model.scores_[k]), float(model.p_values_[k])
        rows.append(_with_alignment(AdapterRow(name, verdicts[k], score, p_value, reason, worst, own), model, k))
    return sorted(rows, key=lambda row: (row.verdict != "flagged", -row.score))


def _with_alignment(row: AdapterRow, model: CLAIR, client: int) -> AdapterRow:
    """Which way the client points; one that points away is named, and its verdict stays."""
    found = model.alignment_
    if found is None:
        return row
    value, against = float(found.values[client]), bool(found.against[client])
    told = f"points away from the others (alignment {value:.2f}): exchanged labels, or another task" if against else ""
    return replace(
        row,
        alignment=value,
        alignment_p_value=finite(float(found.p_values[client])),
        against=against,
        reason="; ".join(filter(None, (row.reason, told))),
    )
