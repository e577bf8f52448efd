"""Low-rank updates under every kind of contamination, up to a share of 0.45, and with mixed adapter ranks.

The seed was written down before the first run.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.methods.clients_and_oracles import Clair
from simulations.studies.adapters import MEASURES, adapter_regime

__all__ = ["STUDY"]

_KINDS = (("coordinated", 1.0), ("identical", 1.0), ("sign_flip", 1.0), ("mimic", 0.7))

STUDY = Study(
    name="adapter_kinds",
    title="Low-rank updates: exact set by kind and share of contamination, 24 clients",
    cells=crossed(
        tuple(
            adapter_regime(ranks=ranks, n_clients=24, share=share, noise=0.1, kind=kind, scale=scale)
            for kind, scale in _KINDS
            for share in (0.2, 0.35, 0.45)
            for ranks in ((4,), (8,), (4, 8, 16))
        ),
        (Clair(),),
    ),
    replications=20,
    root_seed=20_261_207,
    aims="Does the kind of contamination, or a mixture of adapter ranks, hide contaminated clients?",
    estimands="P(exact set) and the probability of any false alarm.",
    measures=MEASURES,
)
