"""Real federations: the clients of a data set that ships with a package, one least-squares fit each, some planted.

Nothing about the truth is known: whether clients share a subspace, and whether any of them is unlike the others.  What
is known is who was planted, and the observations that no fit has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.local_fits import LocalFit, fit_least_squares
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.contamination import coordinated_label_permutation, draw_members, n_contaminated
from simulations.regimes.instance import Instance
from simulations.regimes.real_planting import PLANTINGS, plant
from simulations.regimes.real_sources import SOURCES, load_table
from simulations.regimes.real_tables import ClientTable
from simulations.streams import Streams

__all__ = ["RealClientsRegime"]

_FEW = 6  # observations per feature


@dataclass(frozen=True, kw_only=True)
class RealClientsRegime:
    """Clients of one data set.

    Parameters
    ----------
    data : str
        A key of :data:`simulations.regimes.real_sources.SOURCES`.
    training : {"few", "half"}
        "few": 6p observations of every client, drawn without replacement; "half": half of each client's.  All others
        are held out.
    planted : {"none", "reversed", "shuffled", "permuted", "mislabelled"}
        What planted clients do, see :mod:`simulations.regimes.real_planting`.
    share : float
        Share of planted clients.

    Notes
    -----
    X_k are the coefficients of least squares with an intercept that every client keeps for itself, with the HC2
    covariance of the fit.  Observations of one client need not be independent (weeks, pupils of a class); since
    training observations are a random sample of the client's, HC2 describes the error against the fit on all of them,
    and overstates it where the half is drawn.

    ``collaborative_set`` are the clients that were not planted.  Θ*_k, U* and A_k are not known: ``targets``,
    ``common`` and their like are NaN, and the basis is empty.  ``extras``: ``fits``; ``training``, a pair of centred
    arrays (n_k, p), (n_k, q) per client; ``names``; ``scorers`` with ``explained``, the share of the held-out variation
    about the client's training mean that a client's coefficients explain, all responses together, averaged over
    clients that were not planted, ``least_explained``, its minimum, and ``better_share``, the share of these clients
    that do better than with their own fit.
    """

    name: ClassVar[str] = "Real clients"

    data: str
    training: Literal["few", "half"] = "few"
    planted: Literal["none", "reversed", "shuffled", "permuted", "mislabelled"] = "none"
    share: float = 0.2

    def __post_init__(self) -> None:
        if self.data not in SOURCES:
            raise ValueError(f"data: {self.data!r} is unknown; use one of {', '.join(SOURCES)}")
        if self.training not in ("few", "half"):
            raise ValueError(f"training: {self.training!r}; use 'few' or 'half'")
        if self.planted != "none" and self.planted not in PLANTINGS:
            raise ValueError(f"planted: {self.planted!r}; use 'none' or one of {', '.join(PLANTINGS)}")
        if not 0.0 < self.share < 0.5:
            raise ValueError(f"share: {self.share}; give a share between 0 and a half, and planted='none' for nobody")

    def generate(self, streams: Streams) -> Instance:
        """Split ("data"), who is planted and how ("contamination"); then one fit per client.

        Raises
        ------
        ValueError
            The data set has one response and its names are to be exchanged, or too few clients to plant one.
        """
        table = load_table(self.data)
        attacked, order = self._drawn(table, attack := streams.generator("contamination"))
        split = streams.generator("data")
        fits, training, held_out = [], [], []
        for k in range(table.n_clients):
            rows = split.permutation(np.flatnonzero(table.owners == k))
            size = _FEW * table.shape[0] if self.training == "few" else rows.size // 2
            seen, left = rows[:size], rows[size:]
            z, y = table.features[seen], table.responses[seen]
            held_out.append((table.features[left] - z.mean(axis=0), table.responses[left] - y.mean(axis=0)))
            if attacked[k]:
                z, y = plant(self.planted, z, y, order=order, generator=attack)
            fits.append(_slopes(z, y, table.client_names[k]))
            training.append((z - z.mean(axis=0), y - y.mean(axis=0)))
        return _instance(table, fits, tuple(training), held_out, attacked)

    def _drawn(
        self, table: ClientTable, attack: np.random.Generator
    ) -> tuple[BoolArray, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        """Who is planted, (K,), and the common wrong order of the responses, (q,)."""
        q = table.shape[1]
        if self.planted == "none":
            return np.zeros(table.n_clients, dtype=np.bool_), np.arange(q, dtype=np.int64)
        if self.planted == "mislabelled" and q < 2:
            raise ValueError(f"planted: 'mislabelled' exchanges responses, and {self.data!r} has one; leave it out")
        if n_contaminated(table.n_clients, self.share) == 0:
            raise ValueError(f"share: {self.share} of {table.n_clients} clients is nobody; give a larger share")
        order = coordinated_label_permutation(q, attack) if q > 1 else np.zeros(1, dtype=np.int64)
        return draw_members(table.n_clients, self.share, attack), order


def _slopes(features: FloatArray, responses: FloatArray, client: str) -> LocalFit:
    """Least squares with an intercept; the intercept's row is left out of estimate and covariance."""
    design = np.hstack([features, np.ones((len(features), 1))])
    fit = fit_least_squares(design, responses, covariance="HC2", client=client)
    return replace(fit, estimate=fit.estimate[:-1], row_covariance=fit.row_covariance[:-1, :-1])


def _instance(
    table: ClientTable,
    fits: list[LocalFit],
    training: tuple[tuple[FloatArray, FloatArray], ...],
    held_out: list[tuple[FloatArray, FloatArray]],
    attacked: BoolArray,
) -> Instance:
    p, q = table.shape
    n_clients = table.n_clients
    unknown = np.full((n_clients, p, q), np.nan)
    values = np.stack([fit.estimate for fit in fits])
    return Instance(
        targets=unknown,
        basis=np.zeros((p, 0)),
        common=unknown[0],
        coefficients=np.zeros((n_clients, q, 0)),
        heterogeneity=unknown,
        collaborative_set=~attacked,
        estimates=ClientEstimates(
            values=values,
            noise_scales=np.array([fit.noise_scale for fit in fits]),
            sample_sizes=np.array([fit.effective_sample_size for fit in fits]),
            client_names=table.client_names,
        ),
        extras={
            "fits": tuple(fits),
            "training": training,
            "names": table.client_names,
            "scorers": _scorers(held_out, values, ~attacked),
        },
    )


def _scorers(
    held_out: list[tuple[FloatArray, FloatArray]], own: FloatArray, benign: BoolArray
) -> dict[str, Callable[[FloatArray], float]]:
    def explained(estimates: FloatArray) -> FloatArray:
        return np.array(
            [
                1.0 - float(np.sum((held_out[k][1] - held_out[k][0] @ estimates[k]) ** 2) / np.sum(held_out[k][1] ** 2))
                for k in np.flatnonzero(benign)
            ]
        )

    alone = explained(own)
    return {
        "explained": lambda estimates: float(explained(estimates).mean()),
        "least_explained": lambda estimates: float(explained(estimates).min()),
        "better_share": lambda estimates: float(np.mean(explained(estimates) > alone)),
    }
