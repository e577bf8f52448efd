"""Classifiers from incomplete features: what three handlings hand on, and what CLAIR makes of it.

Exploratory.  Seed and settings were fixed before the first run; the scale of contamination was chosen on another seed
with complete features alone, so that the contaminated clients are found there.  Without missing features all handlings
are the same.
"""

from __future__ import annotations

from typing import Any

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, Proportion
from simulations.methods.clients_and_oracles import ClairWithCovariance, Local
from simulations.methods.error_laws import LocalLaw
from simulations.regimes.incomplete_labels import IncompleteLabelsRegime
from simulations.regimes.missing_features import Handling

__all__ = ["REGIMES", "STUDY"]

_FIELDS: dict[str, Any] = {
    "n_clients": 12,
    "n_rows": 8,
    "n_columns": 3,
    "rank": 2,
    "coefficient_scale": 0.5,
    "common_scale": 0.3,
    "contamination_scale": 2.0,
    "sample_size": 600,
    "n_atoms": 12,
}
_SHARES = (0.0, 0.25)
_HANDLINGS: tuple[Handling, ...] = ("complete", "mean", "sparse")

REGIMES = (
    *(IncompleteLabelsRegime(**_FIELDS, missing=0.0, share=share) for share in _SHARES),
    *(
        IncompleteLabelsRegime(**_FIELDS, handling=handling, missing=missing, share=share)
        for missing in (0.2, 0.4, 0.6)
        for handling in _HANDLINGS
        for share in _SHARES
    ),
)

STUDY = Study(
    name="incomplete_labels",
    title="Missing features and labels: errors, coverage, and CLAIR on logistic fits",
    cells=crossed(REGIMES, (Local(), LocalLaw(), ClairWithCovariance())),
    replications=6,
    root_seed=20_261_192,
    aims=(
        "How large are the errors of logistic fits from incomplete features, do their standard errors cover, and does "
        "CLAIR on them keep its level and find the contaminated clients?"
    ),
    estimands=(
        "Excess error of scores on complete observations; share of coefficients within 1.96 standard errors; level, "
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
        "Entries missing completely at random. A federation with a client whose labels are separated, or whose "
        "complete observations are too few, fails and is counted."
    ),
)
