"""Aggregations of adapters over rounds of fine-tuning on text copying (``clair_stats.baselines.aggregation``).

Client k's weights are W + R_k + (α/s) B_kA_k with R_k what was merged.  A round trains the factors with a fresh
optimiser, then every module is aggregated by itself.  FFA-LoRA trains B only, RoLoRA one factor by turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from clair_stats.baselines.aggregation import AGGREGATIONS, Aggregated, ffa_lora, rolora
from clair_stats.baselines.aggregation.aggregated import Pair
from clair_stats.baselines.aggregation.fedrot import fedrot
from clair_stats.records import BoolArray, FloatArray
from simulations.copying.federated import FederatedOutcome, World, first_collaboration, run_rounds
from simulations.copying.finetune import finetune

__all__ = ["SCHEMES", "run_scheme"]

SCHEMES = ("local", *AGGREGATIONS, "ffa_lora", "rolora", "clair", "clair_members")
_LEFT, _RIGHT, _BOTH = "left", "right", "both"
Trained = Literal["both", "left", "right"]


@dataclass(eq=False)
class _Module:
    """What all clients hold of one module between rounds; the scaling α/s is in ``left``."""

    merged: FloatArray  # (K, out, in)
    left: FloatArray  # (K, out, s)
    right: FloatArray  # (K, s, in)

    def total(self) -> FloatArray:
        return np.asarray(self.merged + self.left @ self.right, dtype=np.float64)

    def take(self, handed: Aggregated, who: BoolArray, fresh: FloatArray) -> None:
        """Put what an aggregation hands out in the place of the factors of the clients ``who``."""
        if handed.residual is not None:
            self.merged = self.merged + np.where(who[:, None, None], handed.residual[0] @ handed.residual[1], 0.0)
        if handed.factors is None:
            self.left[who], self.right[who] = 0.0, fresh
        else:
            self.left[who] = np.stack([pair[0] for pair in handed.factors])
            self.right[who] = np.stack([pair[1] for pair in handed.factors])


def run_scheme(world: World, scheme: str, *, rounds: int, rank: int = 4) -> tuple[FederatedOutcome, float]:
    """``rounds`` times local training and aggregation.

    Parameters
    ----------
    world : World
        Not with sign flips: a client that goes on from averaged factors has no contribution of its own to turn around.
    scheme : str
        One of :data:`SCHEMES`.  "clair": refined in every round, the set from the first.  "clair_members": CLAIR on
        the first round's updates says who is benign, FLoRA averages these in every round, the others go on alone.
    rounds : int
    rank : int
        r of CLAIR's refinement.

    Returns
    -------
    tuple
        What clients hold, and the numbers sent in both directions, all clients and rounds together.

    Raises
    ------
    ValueError
        Fewer than one round, an unknown scheme, or sign flips.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme: {scheme!r} is unknown; choose from {', '.join(SCHEMES)}")
    if rounds < 1:
        raise ValueError(f"rounds: {rounds} must be at least 1")
    if world.federation.config.contamination == "sign_flip":
        raise ValueError("contamination: sign flips are of one round's own updates; choose another kind")
    if scheme in ("local", "clair"):
        outcome = run_rounds(world, scheme, rounds=rounds, rank=rank)
        return outcome, float(rounds * _sent_by_refinement(world)) if scheme == "clair" else 0.0
    members = np.ones(world.federation.n_clients, dtype=np.bool_)
    found = first_collaboration(world, rank, "columns") if scheme == "clair_members" else None
    if found is not None:
        members = found.collaborative_set
    modules, sent = _beginning(world), 0
    for number in range(rounds):
        trained: Trained = "both"
        if scheme == "ffa_lora" or (scheme == "rolora" and number % 2 == 0):
            trained = "left"
        elif scheme == "rolora":
            trained = "right"
        before = {name: (module.left[0].copy(), module.right[0].copy()) for name, module in modules.items()}
        _train(world, modules, number, trained)
        for name, module in modules.items():
            if not members.any():  # no verdict: everybody goes on alone
                continue
            pairs = list(zip(module.left[members], module.right[members], strict=True))
            handed = _aggregated(scheme, pairs, before[name], trained, number)
            module.take(handed, members, world.initial_right[name])
            sent += handed.sent_up + handed.sent_down
    totals = {name: module.total() for name, module in modules.items()}
    return FederatedOutcome(totals, totals, found), float(sent)


def _beginning(world: World) -> dict[str, _Module]:
    modules = {}
    for name, right in world.initial_right.items():
        shape = (world.federation.n_clients, world.base.parameters[name].shape[0], right.shape[1])
        rights = np.repeat(np.asarray(right)[None], shape[0], axis=0)
        modules[name] = _Module(np.zeros(shape), np.zeros((*shape[:2], right.shape[0])), rights)
    return modules


def _train(world: World, modules: dict[str, _Module], number: int, trained: Trained) -> None:
    """One round of every client; the first training of both factors is the world's own."""
    scaling = world.lora.scaling
    factors = world.first
    if number or trained != _BOTH:
        seed = np.random.SeedSequence(world.round_seed, spawn_key=(number,))
        factors = finetune(
            world.base,
            world.data,
            world.lora,
            world.training,
            initial_right=world.initial_right,
            generator=np.random.Generator(np.random.PCG64(seed)),
            offsets={name: module.merged for name, module in modules.items()},
            start={name: (module.left / scaling, module.right) for name, module in modules.items()},
            trained=trained,
        )
    for name, module in modules.items():
        # A frozen factor keeps its digits: training has it in single precision.
        if trained != _RIGHT:
            module.left = scaling * factors.left[name]
        if trained != _LEFT:
            module.right = factors.right[name].copy()


def _aggregated(scheme: str, pairs: list[Pair], before: Pair, trained: Trained, number: int) -> Aggregated:
    if scheme == "ffa_lora":
        return ffa_lora(pairs)
    if scheme == "rolora":
        return rolora(pairs, trained="left" if trained == _LEFT else "right")
    if scheme == "fedrot":  # in the first round B begins at zero and is no reference
        return fedrot(pairs, reference=before, aligned="right" if number % 2 == 0 else "left")
    return AGGREGATIONS["flora" if scheme == "clair_members" else scheme](pairs)


def _sent_by_refinement(world: World) -> int:
    """Factors up and a refined matrix down, for every client and module."""
    numbers = 0
    for name, right in world.initial_right.items():
        rows, columns = world.base.parameters[name].shape[0], right.shape[1]
        numbers += right.shape[0] * (rows + columns) + rows * columns
    return world.federation.n_clients * numbers
