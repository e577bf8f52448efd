"""Without a majority: what else was tried on the same estimates, and what came out."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from clair_stats.clair import CLAIR
from clair_stats.estimates import ClientEstimates

__all__ = ["tried"]


def tried(estimates: ClientEstimates, model: CLAIR) -> list[str]:
    """One line for every other reading of the input that was fitted: the other orientation, and without noise scales.

    Parameters
    ----------
    estimates : ClientEstimates
    model : CLAIR
        Fitted to them, without a majority.

    Returns
    -------
    list of str
    """
    others: list[tuple[str, ClientEstimates, dict[str, Any]]] = []
    turned = "rows" if model.shared == "columns" else "columns"
    others.append((f"--shared {turned}", estimates, {"shared": turned}))
    if estimates.noise_scales is not None:
        others.append(("without noise_scales", replace(estimates, noise_scales=None), {}))
    return [f"tried {name}: {_outcome(record, model, settings)}" for name, record, settings in others]


def _outcome(estimates: ClientEstimates, model: CLAIR, settings: dict[str, Any]) -> str:
    """What a fit with these settings says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            other = CLAIR(**(model.get_params() | settings)).fit(estimates)
        except ValueError as error:
            return f"not possible ({error})"
    if not other.majority_:
        return "no majority either"
    flagged = int(other.flagged_.sum())
    return f"{flagged} of {estimates.n_clients} clients flagged, shared rank {other.rank_}"
