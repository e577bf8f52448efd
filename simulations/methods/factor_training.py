"""Federated training of low-rank factors over rounds, with every aggregation of ``clair_stats.baselines.aggregation``.

The model is multi-response regression with W_k = R_k + B_kA_k in the place of a network's layer: R_k holds what was
merged, B starts at zero and A at random, the same for all (Hu et al., 2022).  A round is a number of gradient steps of
every client on its own loss, then an aggregation.  FFA-LoRA trains B only, RoLoRA one factor by turns.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from clair_stats.baselines.aggregation import AGGREGATIONS, Aggregated, ffa_lora, rolora
from clair_stats.baselines.aggregation.fedrot import fedrot
from clair_stats.clair import CLAIR, NoMajorityWarning
from clair_stats.estimates import ClientEstimates
from clair_stats.records import BoolArray, FloatArray
from simulations.measures.metrics import evaluate, verdict_metrics
from simulations.methods.client_losses import ClientLosses
from simulations.regimes.instance import Instance

__all__ = ["SCHEMES", "FactorTraining", "trained_factors"]

SCHEMES = ("local", *AGGREGATIONS, "ffa_lora", "rolora", "clair", "clair_members")
Trained = Literal["both", "left", "right"]
_LEFT, _RIGHT, _BOTH = "left", "right", "both"


def trained_factors(
    losses: ClientLosses,
    base: FloatArray,
    factors: tuple[FloatArray, FloatArray],
    *,
    steps: int,
    rate: float,
    trained: Trained = "both",
) -> tuple[FloatArray, FloatArray]:
    """Gradient steps of every client on its own factors, both at once.

    Parameters
    ----------
    losses : ClientLosses
    base : ndarray, shape (K, p, q)
        R_k, fixed.
    factors : tuple of ndarray, shapes (K, p, s) and (K, s, q)
        B_k and A_k.
    steps : int
    rate : float
        Learning rate; curvatures have mean diagonal 1.
    trained : {"both", "left", "right"}
        Which factors move.

    Returns
    -------
    tuple of ndarray, shapes (K, p, s) and (K, s, q)
    """
    left, right = factors
    for _ in range(steps):
        gradient = losses.gradients(base + left @ right)
        moved_left = left - rate * gradient @ right.transpose(0, 2, 1) if trained != _RIGHT else left
        moved_right = right - rate * left.transpose(0, 2, 1) @ gradient if trained != _LEFT else right
        left, right = moved_left, moved_right
    return left, right


@dataclass(frozen=True)
class FactorTraining:
    """Rounds of local training and one aggregation scheme.

    Parameters
    ----------
    scheme : str
        One of :data:`SCHEMES`.  "local" never aggregates.  "clair": all steps are taken locally, and CLAIR refines once
        at the end.  "clair_members": CLAIR on the first round's updates says who is benign, and FLoRA averages these in
        every round; the others go on alone.
    rounds, steps : int
        Rounds, and gradient steps of every client in each.
    factor_rank : int
        s.
    rate : float
        Learning rate of the factors.

    Notes
    -----
    Metrics: those of :func:`simulations.measures.metrics.evaluate` at the end; ``sent``, numbers sent in both
    directions per client and round, over p·q.
    """

    name: ClassVar[str] = "Factor training"

    scheme: str = "fedit"
    rounds: int = 10
    steps: int = 20
    factor_rank: int = 4
    rate: float = 0.1

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise ValueError(f"scheme: {self.scheme!r} is unknown; use one of {', '.join(SCHEMES)}")
        for name in ("rounds", "steps", "factor_rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1")
        if not 0.0 < self.rate < 2.0:
            raise ValueError(f"rate: {self.rate}; give a number between 0 and 2, beyond that gradient descent diverges")

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Errors of what benign clients hold after the last round, and the numbers sent."""
        losses = ClientLosses.of(instance)
        n_clients, p, q = losses.optima.shape
        start = generator.standard_normal((self.factor_rank, q)) / np.sqrt(q)
        state = _State(
            base=np.zeros((n_clients, p, q)),
            left=np.zeros((n_clients, p, self.factor_rank)),
            right=np.repeat(start[None], n_clients, axis=0),
            start=start,
        )
        for number in range(self.rounds):
            self._round(losses, state, number)
        totals = state.totals()
        if self.scheme == "clair":
            state.model = _fitted(totals)
            totals = state.model.refined_
            state.sent += n_clients * (self.factor_rank * (p + q) + p * q)  # factors up, a refined matrix down
        metrics = evaluate(instance, totals)
        if state.model is not None:
            told = verdict_metrics(instance.collaborative_set, state.model.flagged_, state.model.majority_)
            metrics |= {name: value for name, value in told.items() if name != "majority"}
        return metrics | {"sent": state.sent / (n_clients * p * q * self.rounds)}

    def _round(self, losses: ClientLosses, state: _State, number: int) -> None:
        trained: Trained = "both"
        if self.scheme == "ffa_lora" or (self.scheme == "rolora" and number % 2 == 0):
            trained = "left"
        elif self.scheme == "rolora":
            trained = "right"
        before = (state.left[0], state.right[0])
        state.left, state.right = trained_factors(
            losses, state.base, (state.left, state.right), steps=self.steps, rate=self.rate, trained=trained
        )
        if self.scheme in ("local", "clair"):
            return
        pairs = list(zip(state.left, state.right, strict=True))
        if self.scheme == "clair_members":
            state.model = state.model or _fitted(state.totals())
            members = state.model.collaborative_set_
            if members.any():
                state.merge(
                    AGGREGATIONS["flora"]([pair for pair, own in zip(pairs, members, strict=True) if own]), members
                )
            return
        everyone = np.ones(len(pairs), dtype=np.bool_)
        if self.scheme == "ffa_lora":
            aggregated = ffa_lora(pairs)
        elif self.scheme == "rolora":
            aggregated = rolora(pairs, trained="left" if trained == "left" else "right")
        elif self.scheme == "fedrot":  # in the first round B begins at zero and is no reference
            aligned: Literal["left", "right"] = "right" if number % 2 == 0 else "left"
            aggregated = fedrot(pairs, reference=before, aligned=aligned)
        else:
            aggregated = AGGREGATIONS[self.scheme](pairs)
        state.merge(aggregated, everyone)


@dataclass(eq=False)
class _State:
    """What the clients hold between rounds."""

    base: FloatArray  # (K, p, q)
    left: FloatArray  # (K, p, s)
    right: FloatArray  # (K, s, q)
    start: FloatArray  # (s, q), A at the beginning
    model: CLAIR | None = None
    sent: int = 0

    def totals(self) -> FloatArray:
        """R_k + B_kA_k, shape (K, p, q)."""
        return np.asarray(self.base + self.left @ self.right, dtype=np.float64)

    def merge(self, aggregated: Aggregated, who: BoolArray) -> None:
        """Put what an aggregation hands out in the place of the factors of the clients ``who``, shape (K,)."""
        self.sent += aggregated.sent_up + aggregated.sent_down
        if aggregated.residual is not None:
            self.base = self.base + np.where(who[:, None, None], aggregated.residual[0] @ aggregated.residual[1], 0.0)
        left, right = self.left.copy(), self.right.copy()
        if aggregated.factors is None:
            left[who], right[who] = 0.0, self.start
        else:
            left[who] = np.stack([pair[0] for pair in aggregated.factors])
            right[who] = np.stack([pair[1] for pair in aggregated.factors])
        self.left, self.right = left, right


def _fitted(totals: FloatArray) -> CLAIR:
    """CLAIR told nothing; without a majority nobody is a member and everybody keeps its own."""
    model = CLAIR()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoMajorityWarning)
        model.fit(ClientEstimates(values=totals))
    return model
