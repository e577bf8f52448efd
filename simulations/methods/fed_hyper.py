"""FedHyper (Wang, Wang and Li, ICLR 2024; arXiv 2310.03156): learning rates adapted by hypergradients, over rounds.

In round t the clients start from W, take local gradient steps at rate β, and the server moves W by α times their mean
update Δ_t (Δ_t points downhill).

* Global rate: α_t = α_{t−1} + ⟨Δ_t, Δ_{t−1}⟩, from α_0 = 1, kept within [1/γ_α, γ_α], γ_α = 3.
* Local rate: step j of a client is taken at β·b_j, b_0 = 1 in every round; with u_j the client's last step and Δ the
  last mean update, b_{j+1} = b_j·min(1.1, 1 + ⟨u_j, u_{j−1}⟩ + 0.1⟨u_j, Δ⟩/K), kept within [1/γ_β, γ_β], γ_β = 10.
  This is the form in the authors' public program; the paper writes a sum in the place of the product.

Inner products are not free of scale: with small updates the rates hardly move, with large ones they jump to a bound.
Losses are quadratic; gradients are full here, and on minibatches in
:mod:`simulations.methods.fed_hyper_minibatches`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.records import FloatArray
from simulations.methods.client_losses import ClientLosses
from simulations.regimes.instance import Instance

__all__ = ["FedHyperRounds", "Rates", "compared", "rounds_to_loss"]

GLOBAL_BOUND = 3.0  # γ_α of the paper
LOCAL_BOUND = 10.0  # γ_β of the paper
_LARGEST_GROWTH = 1.1  # of the local rate in one step, from the authors' program
_GLOBAL_SHARE = 0.1  # weight of the mean update in the local rule, from the authors' program


@dataclass(frozen=True)
class Rates:
    """Initial rates, and which of them are adapted.

    Parameters
    ----------
    local : float
        β; curvatures have mean diagonal 1.
    adapt_global, adapt_local : bool
    """

    local: float
    adapt_global: bool = False
    adapt_local: bool = False


def rounds_to_loss(
    losses: ClientLosses, rates: Rates, *, steps: int, goal: float, limit: int
) -> tuple[int, list[float]]:
    """Number of rounds until the mean loss is at most ``goal``.

    Parameters
    ----------
    losses : ClientLosses
    rates : Rates
    steps : int
        Local gradient steps in a round.
    goal : float
        Mean loss to be reached, squared scale of the estimates.
    limit : int
        Largest number of rounds.

    Returns
    -------
    tuple of int and list of float
        Rounds, ``limit`` + 1 when the goal was not reached; the global rate of every round.
    """
    weights = np.zeros(losses.optima.shape[1:])
    previous = weights
    alpha, used = 1.0, []
    for number in range(1, limit + 1):
        update = _mean_update(losses, weights, previous, rates, steps)
        if rates.adapt_global and number > 1:
            alpha = min(max(alpha + float(np.vdot(update, previous)), 1.0 / GLOBAL_BOUND), GLOBAL_BOUND)
        weights = weights + alpha * update
        previous = update
        used.append(alpha)
        loss = losses.mean_loss(weights)
        if loss <= goal:
            return number, used
        if not math.isfinite(loss):
            break
    return limit + 1, used


def _mean_update(
    losses: ClientLosses, weights: FloatArray, previous: FloatArray, rates: Rates, steps: int
) -> FloatArray:
    """Mean over clients of what ``steps`` local gradient steps add to the weights, shape (p, q)."""
    n_clients = len(losses.optima)
    own = np.repeat(weights[None], n_clients, axis=0)
    factor = np.ones(n_clients)
    last = np.zeros_like(own)
    for number in range(steps):
        step = -rates.local * factor[:, None, None] * losses.gradients(own)
        own = own + step
        if rates.adapt_local and number > 0:
            with_last = np.einsum("kij,kij->k", step, last)
            with_mean = np.einsum("kij,ij->k", step, previous)
            growth = 1.0 + with_last + _GLOBAL_SHARE * with_mean / n_clients
            factor = np.clip(factor * np.minimum(growth, _LARGEST_GROWTH), 1.0 / LOCAL_BOUND, LOCAL_BOUND)
        last = step
    return np.asarray(own.mean(axis=0) - weights, dtype=np.float64)


@dataclass(frozen=True)
class FedHyperRounds:
    """Rounds to a fixed loss with fixed rates, with the global rate adapted, the local one, and both, in one row.

    Parameters
    ----------
    rate : float
        Initial local rate.
    steps, limit : int
        Local steps in a round; largest number of rounds.
    gap : float
        Goal: the smallest mean loss plus this share of the distance from it at the start.

    Notes
    -----
    Metrics: ``rounds_*`` for "fixed", "global", "local" and "both", ``limit`` + 1 where the goal was not reached, and
    ``reached_*``; ``log_gain_*``, log(rounds fixed/rounds adapted), whose mean is the logarithm of a geometric mean.
    """

    name: ClassVar[str] = "FedHyper"

    rate: float = 0.02
    steps: int = 5
    gap: float = 0.01
    limit: int = 1000

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Rounds of the four schedules on the same clients."""
        return compared(lambda: ClientLosses.of(instance), self)


def compared(fresh: Callable[[], ClientLosses], settings: FedHyperRounds) -> dict[str, float]:
    """Rounds of the four schedules.

    Parameters
    ----------
    fresh : callable
        The losses, anew for every schedule, so that all of them see the same gradients.
    settings : FedHyperRounds

    Returns
    -------
    dict
        The metrics of :class:`FedHyperRounds`.
    """
    losses = fresh()
    least = losses.mean_loss(losses.minimiser())
    goal = least + settings.gap * (losses.mean_loss(np.zeros(losses.optima.shape[1:])) - least)
    found: dict[str, float] = {}
    schedules = {"fixed": (False, False), "global": (True, False), "local": (False, True), "both": (True, True)}
    for name, (adapt_global, adapt_local) in schedules.items():
        rates = Rates(settings.rate, adapt_global=adapt_global, adapt_local=adapt_local)
        rounds, _ = rounds_to_loss(fresh(), rates, steps=settings.steps, goal=goal, limit=settings.limit)
        found[f"rounds_{name}"] = float(rounds)
        found[f"reached_{name}"] = float(rounds <= settings.limit)
    for name in ("global", "local", "both"):
        found[f"log_gain_{name}"] = math.log(found["rounds_fixed"] / found[f"rounds_{name}"])
    return found
