"""Does CLAIR find the collaborative set when every client sends a low-rank update, and keep its level there?

CLAIR is given the estimates only.  Adapters of rank 4, 8 and 16; 12 to 48 clients; no, a fifth and a third of them
contaminated; two noises.
Building used other designs and seeds; this seed was written down before the first run.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, Proportion
from simulations.methods.clients_and_oracles import Clair
from simulations.regimes.adapter import AdapterRegime

__all__ = ["MEASURES", "STUDY", "adapter_regime"]

MEASURES = (Proportion("exact_set"), Proportion("false_alarm"), Proportion("majority"), Mean("sin_theta"))


def adapter_regime(
    *, ranks: tuple[int, ...], n_clients: int, share: float, noise: float, kind: str = "random", scale: float = 1.0
) -> AdapterRegime:
    """48 × 40 updates with a shared subspace of dimension 2.

    Parameters
    ----------
    ranks : tuple of int
        Of the adapters, drawn per client.
    n_clients : int
    share : float
        Of contaminated clients.
    noise : float
        Standard deviation of the errors of the factors.
    kind : str
        Of contamination.
    scale : float
        Of contamination, in norms of a clean update.
    """
    return AdapterRegime(
        n_clients=n_clients,
        n_rows=48,
        n_columns=40,
        rank=2,
        share=share,
        contamination=kind,
        contamination_scale=scale,
        noise_scale=noise,
        common_scale=0.1,
        noise_known=False,
        adapter_ranks=ranks,
    )


STUDY = Study(
    name="adapters",
    title="Low-rank updates: share of runs with the exact set, and false alarms",
    cells=crossed(
        tuple(
            adapter_regime(ranks=(rank,), n_clients=n_clients, share=share, noise=noise)
            for rank in (4, 8, 16)
            for n_clients in (12, 24, 48)
            for share in (0.0, 0.2, 0.35)
            for noise in (0.05, 0.2)
        ),
        (Clair(),),
    ),
    replications=30,
    root_seed=20_261_206,
    aims="Is the set found when errors are of low rank, and are honest clients left alone?",
    estimands="P(exact set) and the probability of any false alarm.",
    measures=MEASURES,
)
