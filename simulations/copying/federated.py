"""Federated fine-tuning with one of several aggregations, for one round or more.

In a round every client trains fresh LoRA factors on top of what it was handed before; then the aggregation turns all
clients' total updates X_k = offset_k + α/s B_kA_k into what each is handed next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from clair_stats.baselines import BASELINES
from clair_stats.records import BoolArray, FloatArray
from simulations.copying.collaborate import Collaboration, collaborate
from simulations.copying.evaluate import TestSets, draw_tests
from simulations.copying.federation import ClientData, Federation, FederationConfig, draw_data, draw_federation
from simulations.copying.finetune import FineTuning, finetune
from simulations.copying.lora import LoRA, LoRAUpdates, Updates
from simulations.copying.pretrain import BaseModel

__all__ = [
    "AGGREGATIONS",
    "FederatedOutcome",
    "World",
    "aggregate",
    "draw_world",
    "first_collaboration",
    "retrained",
    "run_rounds",
    "train_halves",
    "train_round",
]

# Those of clair_stats.baselines that hand everyone one estimate.
_ROBUST = ("coordinate_median", "trimmed_mean", "geometric_median", "krum", "multi_krum")
AGGREGATIONS = (
    "base",
    "local",
    "factor_average",
    "average",
    *_ROBUST,
    "clair",
    "clair_halves",
    "oracle_average",
    "oracle_clair",
)


@dataclass(frozen=True, eq=False)
class World:
    """One federation with its data, tests and first local training; all methods start from it."""

    base: BaseModel
    federation: Federation
    data: ClientData
    tests: TestSets
    lora: LoRA
    training: FineTuning
    initial_right: dict[str, FloatArray]
    round_seed: int  # root of the minibatches of every round, the same for all methods
    first: LoRAUpdates


@dataclass(frozen=True, eq=False)
class FederatedOutcome:
    """What the clients hold after the last aggregation."""

    updates: dict[str, FloatArray]  # per module, (K, out, in)
    local: dict[str, FloatArray]  # the totals that went into the last aggregation
    collaboration: Collaboration | None  # of the first round; None for methods that detect nobody


def draw_world(
    base: BaseModel,
    config: FederationConfig,
    lora: LoRA,
    training: FineTuning,
    *,
    truth: np.random.Generator,
    contamination: np.random.Generator,
    data: np.random.Generator,
    tests: np.random.Generator,
    training_generator: np.random.Generator,
    n_own: int = 64,
    n_common: int = 64,
) -> World:
    """Draw a federation, its data and its tests, and train every client once (generators: one per role).

    Parameters
    ----------
    base : BaseModel
    config : FederationConfig
    lora : LoRA
    training : FineTuning
    truth, contamination, data, tests, training_generator : numpy.random.Generator
        One per role, so that a change of one role leaves the draws of the others as they are.
    n_own, n_common : int
        Test sequences per client, and common ones.
    """
    federation = draw_federation(config, base.config.vocabulary, truth, contamination)
    own = draw_data(federation, base.config.length, data)
    held_out = draw_tests(federation, base.config.length, n_own, n_common, tests)
    right = lora.initial_right(base.config, training_generator)
    seed = int(training_generator.integers(2**63))
    first = train_round(base, federation, own, lora, training, right, seed, 0, None)
    return World(base, federation, own, held_out, lora, training, right, seed, first)


def train_round(
    base: BaseModel,
    federation: Federation,
    data: ClientData,
    lora: LoRA,
    training: FineTuning,
    initial_right: dict[str, FloatArray],
    round_seed: int,
    number: int,
    offsets: Updates | None,
) -> LoRAUpdates:
    """Local training of one round; sign-flipping clients turn their own contribution around.

    Parameters
    ----------
    base : BaseModel
    federation : Federation
    data : ClientData
    lora : LoRA
    training : FineTuning
    initial_right : dict of str to ndarray, shape (s, in)
        A of every module before training, the same for all clients.
    round_seed : int
    number : int
        Of the round, from 0; with the seed it gives the round's own random numbers.
    offsets : mapping of str to ndarray, shape (K, out, in), or None
        What earlier rounds have added to the weights of every client.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(round_seed, spawn_key=(number,))))
    trained = finetune(base, data, lora, training, initial_right=initial_right, generator=generator, offsets=offsets)
    if federation.config.contamination != "sign_flip":
        return trained
    factor = np.where(federation.collaborative_set, 1.0, -federation.config.flip_scale)[:, None, None]
    return LoRAUpdates({name: factor * b for name, b in trained.left.items()}, trained.right, trained.scaling)


def train_halves(world: World, number: int, offsets: Updates | None) -> Updates:
    """A round's totals trained on either half of every client's sequences, per module (K, 2, out, in)."""
    pair = []
    for half in (0, 1):
        # Minibatches of its own for each half: the error of training enters the difference like that of the data.
        seed = int(np.random.SeedSequence(world.round_seed, spawn_key=(number, half)).generate_state(1)[0])
        data = world.data.half(half)
        trained = train_round(
            world.base, world.federation, data, world.lora, world.training, world.initial_right, seed, number, offsets
        ).dense()
        pair.append(trained if offsets is None else {name: x + offsets[name] for name, x in trained.items()})
    return {name: np.stack([pair[0][name], pair[1][name]], axis=1) for name in pair[0]}


def retrained(world: World, generator: np.random.Generator, *, n_sequences: int | None) -> LoRAUpdates:
    """First-round updates on fresh data of the same clients; ``n_sequences`` each, or their own numbers when None."""
    sizes = world.federation.sample_sizes
    if n_sequences is not None:
        sizes = np.full_like(sizes, n_sequences)
    federation = replace(world.federation, sample_sizes=sizes)
    data = draw_data(federation, world.base.config.length, generator)
    seed = int(generator.integers(2**63))
    return train_round(world.base, federation, data, world.lora, world.training, world.initial_right, seed, 0, None)


def _everyone(block: FloatArray, n_clients: int) -> FloatArray:
    return np.repeat(block[None], n_clients, axis=0)


def aggregate(
    method: str,
    totals: Updates,
    world: World,
    *,
    factors: LoRAUpdates,
    offsets: Updates | None = None,
    rank: int = 2,
    shared: str = "columns",
    collaborative_set: BoolArray | None = None,
    halves: Updates | None = None,
) -> tuple[dict[str, FloatArray], Collaboration | None]:
    """One aggregation of the clients' totals; ``method`` is one of :data:`AGGREGATIONS`.

    ``average`` is the exact mean of the products B_kA_k, which stacking the factors (FLoRA) transmits;
    ``factor_average`` multiplies the mean B by the mean A.  The robust ones are those of :mod:`clair_stats.baselines`
    on all modules of a client as one block; they are given the number of contaminated clients.  ``collaborative_set``
    spares CLAIR the detection, when an earlier round has made it.  ``clair_halves`` shrinks, with ``halves`` to tell
    error from true differences.

    Parameters
    ----------
    method : str
    totals : mapping of str to ndarray, shape (K, out, in)
        What every client would add to the base weights.
    world : World
    factors : LoRAUpdates
        The factors of this round.
    offsets : mapping of str to ndarray, shape (K, out, in), optional
        What earlier rounds have added.
    rank : int
        r of CLAIR.
    shared : {"columns", "rows"}
    collaborative_set : bool ndarray, shape (K,), optional
    halves : mapping of str to ndarray, shape (K, 2, out, in), optional

    Returns
    -------
    mapping of str to ndarray, shape (K, out, in), and Collaboration or None
        The second where CLAIR decided.

    Raises
    ------
    ValueError
        Unknown method.
    """
    n_clients = world.federation.n_clients
    benign = world.federation.collaborative_set
    if method == "base":
        return {}, None
    if method == "local":
        return dict(totals), None
    if method in ("clair", "clair_halves", "oracle_clair"):
        sizes = world.data.sample_sizes.astype(np.float64)
        known = benign if method == "oracle_clair" else collaborative_set
        found = collaborate(
            totals, rank=rank, shared=shared, collaborative_set=known, sample_sizes=sizes, halves=halves
        )
        return found.refined, found
    if method == "factor_average":
        means = {
            name: factors.scaling * (b.mean(axis=0) @ factors.right[name].mean(axis=0))
            for name, b in factors.left.items()
        }
        if offsets is not None:
            means = {name: mean + offsets[name].mean(axis=0) for name, mean in means.items()}
    elif method == "average":
        means = {name: x.mean(axis=0) for name, x in totals.items()}
    elif method in _ROBUST:
        means = _robust_means(method, totals, int(np.sum(~benign)))
    elif method == "oracle_average":
        means = {name: x[benign].mean(axis=0) for name, x in totals.items()}
    else:
        raise ValueError(f"method: {method!r} is unknown; choose from {', '.join(AGGREGATIONS)}")
    return {name: _everyone(mean, n_clients) for name, mean in means.items()}, None


def _robust_means(method: str, totals: Updates, n_contaminated: int) -> dict[str, FloatArray]:
    """What the baseline hands to everyone, cut into modules again."""
    shapes = {name: x.shape[1:] for name, x in totals.items()}
    whole = np.concatenate([x.reshape(len(x), 1, -1) for x in totals.values()], axis=2)
    centre = BASELINES[method](whole, rank=0, n_contaminated=n_contaminated).common[0]
    pieces = np.split(centre, np.cumsum([rows * columns for rows, columns in shapes.values()])[:-1])
    return {name: piece.reshape(shapes[name]) for name, piece in zip(shapes, pieces, strict=True)}


@lru_cache(maxsize=4)
def first_collaboration(world: World, rank: int, shared: str) -> Collaboration:
    """CLAIR on the world's first training; kept, since runs over any number of rounds begin with it."""
    sizes = world.data.sample_sizes.astype(np.float64)
    return collaborate(world.first.dense(), rank=rank, shared=shared, sample_sizes=sizes)


@lru_cache(maxsize=4)
def first_collaboration_on_halves(world: World, rank: int, shared: str) -> Collaboration:
    """The same with the first training's halves; halves do not enter the verdict, which is that one's."""
    found = first_collaboration(world, rank, shared)
    sizes = world.data.sample_sizes.astype(np.float64)
    refined = collaborate(
        world.first.dense(),
        rank=rank,
        shared=shared,
        collaborative_set=found.collaborative_set,
        sample_sizes=sizes,
        halves=train_halves(world, 0, None),
    )
    return replace(found, refined=refined.refined)


_FIRST = {"clair": first_collaboration, "clair_halves": first_collaboration_on_halves}


def run_rounds(
    world: World, method: str, *, rounds: int = 1, rank: int = 2, shared: str = "columns"
) -> FederatedOutcome:
    """``rounds`` times local training and aggregation; the first training is the world's own.

    CLAIR decides in the first round who is contaminated and keeps to it: later totals share what was handed out, so
    that their directions look alike whatever the clients have trained.

    Parameters
    ----------
    world : World
    method : str
        One of :data:`AGGREGATIONS`.
    rounds : int
    rank : int
        r of CLAIR.
    shared : {"columns", "rows"}

    Raises
    ------
    ValueError
        Fewer than one round, or an unknown method.
    """
    if rounds < 1:
        raise ValueError(f"rounds: {rounds} must be at least 1")
    offsets: dict[str, FloatArray] | None = None
    updates: dict[str, FloatArray] = {}
    totals: dict[str, FloatArray] = {}
    collaboration: Collaboration | None = None
    for number in range(rounds if method != "base" else 1):
        factors = world.first
        if number:
            factors = train_round(
                world.base,
                world.federation,
                world.data,
                world.lora,
                world.training,
                world.initial_right,
                world.round_seed,
                number,
                offsets,
            )
        totals = factors.dense()
        if offsets is not None:
            totals = {name: x + offsets[name] for name, x in totals.items()}
        if number == 0 and method in _FIRST:
            collaboration = _FIRST[method](world, rank, shared)
            updates = collaboration.refined
        else:
            halves = train_halves(world, number, offsets) if method == "clair_halves" else None
            updates, found = aggregate(
                method,
                totals,
                world,
                factors=factors,
                offsets=offsets,
                rank=rank,
                shared=shared,
                collaborative_set=None if collaboration is None else collaboration.collaborative_set,
                halves=halves,
            )
            collaboration = collaboration or found
        offsets = updates
    return FederatedOutcome(updates, totals, collaboration)
