"""Local regressions from incomplete features: what five handlings hand on, and what CLAIR makes of it.

Exploratory.  Settings and seed were fixed before the first run; the penalty and the supervision of the sparse codes
were chosen before by the reconstruction error on one seed of development.  Without missing features all handlings are
the same.
"""

from __future__ import annotations

from typing import Any

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, Proportion
from simulations.methods.clients_and_oracles import ClairWithCovariance, Local
from simulations.methods.error_laws import LocalLaw
from simulations.regimes.incomplete import IncompleteRegime
from simulations.regimes.missing_features import HANDLINGS

__all__ = ["REGIMES", "STUDY"]

_FIELDS: dict[str, Any] = {
    "n_clients": 12,
    "n_rows": 8,
    "n_columns": 3,
    "rank": 2,
    "coefficient_scale": 0.5,
    "common_scale": 0.3,
    "sample_size": 300,
    "n_atoms": 12,
}
_SHARES = (0.0, 0.25)

REGIMES = (
    *(IncompleteRegime(**_FIELDS, missing=0.0, share=share) for share in _SHARES),
    *(
        IncompleteRegime(**_FIELDS, handling=handling, missing=missing, pattern=pattern, share=share)
        for pattern in ("random", "block")
        for missing in (0.2, 0.4, 0.6)
        for handling in HANDLINGS
        for share in _SHARES
    ),
)

STUDY = Study(
    name="incomplete",
    title="Missing features: errors, coverage, and CLAIR on five ways to handle them",
    cells=crossed(REGIMES, (Local(), LocalLaw(), ClairWithCovariance())),
    replications=10,
    root_seed=20_261_191,
    aims=(
        "How large are the errors of local fits from incomplete features, do their standard errors cover, and does "
        "CLAIR on them keep its level, find the contaminated clients, and improve the others?"
    ),
    estimands=(
        "Excess prediction error on complete observations; share of coefficients within 1.96 standard errors; level, "
        "recall and exact sets; excess error after refinement."
    ),
    measures=(
        Mean("excess"),
        Mean("coverage"),
        Mean("shared_bias"),
        Proportion("false_alarm"),
        Proportion("exact_set"),
        Mean("recall"),
        Proportion("majority"),
    ),
    notes=(
        "Complete cases fail where too few observations are complete; these replications are counted as failed. Where "
        "there is no majority the collaborative set is empty, so that false alarms have to be read beside majorities."
    ),
)
