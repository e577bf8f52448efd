"""The federation: honest poets of four schools, forgers among them, their poems, and the first training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clair_stats.records import BoolArray, FloatArray
from simulations.copying.federation import ClientData
from simulations.copying.finetune import FineTuning, finetune
from simulations.copying.lora import LoRA
from simulations.copying.pretrain import BaseModel, Pretraining, base_model
from simulations.copying.transformer import TransformerConfig
from simulations.regimes.contamination import draw_members
from simulations.verse.language import N_SYLLABLES, VOCABULARY, IntArray, draw_dialect, prose
from simulations.verse.schools import POEM, SCHOOLS, written

__all__ = ["FORGERIES", "Poet", "VerseConfig", "VerseWorld", "draw_verse", "reader", "trained_halves"]

FORGERIES = ("none", "dialect", "shuffled", "pastiche")
_N_HABITS = 2
_PRETRAINING = Pretraining(
    model=TransformerConfig(vocabulary=VOCABULARY, length=POEM // 2, width=48, layers=2, heads=4, feed_forward=96),
    steps=500,
    batch=48,
    seed=20_261_171,
)


@dataclass(frozen=True)
class VerseConfig:
    """One federation of poets.

    Parameters
    ----------
    n_clients : int
        K; schools take turns.
    n_schools : int
        The first so many of ``SCHOOLS``.
    share : float
        Share of forgers; 0 where ``forgery`` is "none".
    forgery : {"none", "dialect", "shuffled", "pastiche"}
        Dialect: the metre and habits of a school, in a dialect of the forger's own.  Shuffled: an honest poet's poems
        with their syllables in random order, breaks where they were.  Pastiche: every poem in the manner of another
        honest poet.
    n_poems, n_test : int
        Poems of a client to train on, and to be judged on.
    habit : float
        Standard deviation of the logarithm of a poet's preference for a syllable.  Preferences lie in the span of two
        habits that the federation shares.
    """

    n_clients: int = 20
    n_schools: int = 4
    share: float = 0.3
    forgery: str = "none"
    n_poems: int = 60
    n_test: int = 8
    habit: float = 0.7

    def __post_init__(self) -> None:
        if self.n_clients < 3:
            raise ValueError(f"n_clients: {self.n_clients}; a federation needs at least 3 clients")
        if not 1 <= self.n_schools <= len(SCHOOLS):
            raise ValueError(f"n_schools: {self.n_schools}; give 1 to {len(SCHOOLS)}")
        if not 0.0 <= self.share < 0.5:
            raise ValueError(f"share: {self.share}; give a share from 0 to below a half")
        if self.forgery not in FORGERIES:
            raise ValueError(f"forgery: {self.forgery!r} is unknown; choose from {', '.join(FORGERIES)}")
        if self.n_poems < 2 or self.n_test < 1:
            raise ValueError(f"n_poems: {self.n_poems}, n_test: {self.n_test}; give at least 2 and 1")
        if not (math.isfinite(self.habit) and self.habit >= 0.0):
            raise ValueError(f"habit: {self.habit} must be finite and not negative")


@dataclass(frozen=True, eq=False)
class Poet:
    """Whose poems a client has."""

    school: int  # place in SCHOOLS
    preferences: FloatArray  # (30,)


@dataclass(frozen=True, eq=False)
class VerseWorld:
    """One federation with poems, tests and first training; all methods start from it."""

    config: VerseConfig
    base: BaseModel
    poets: tuple[Poet, ...]  # K; of a forger: whom it imitates
    collaborative_set: BoolArray  # (K,), True = honest
    data: ClientData
    tests: IntArray  # (K, n_test, 36)
    lora: LoRA
    training: FineTuning
    initial_right: dict[str, FloatArray]
    training_seed: int
    updates: dict[str, FloatArray]  # name -> (K, out, in)


def reader() -> BaseModel:
    """The model that has read prose; trained on first use and kept, see :mod:`simulations.copying.pretrain`."""

    def draw(generator: np.random.Generator, n: int) -> tuple[IntArray, IntArray]:
        texts = prose(n, POEM, generator)
        return texts[:, : POEM // 2], texts[:, POEM // 2 :]

    # Raise the number when the prose changes, so that no kept model of the old one is taken for one of the new.
    return base_model(_PRETRAINING, task="prose-1", draw=draw)


def draw_verse(
    base: BaseModel,
    config: VerseConfig,
    lora: LoRA,
    training: FineTuning,
    *,
    truth: np.random.Generator,
    contamination: np.random.Generator,
    data: np.random.Generator,
    training_generator: np.random.Generator,
) -> VerseWorld:
    """Dialect and poets, forgers, poems, and the first training (generators: one per role).

    Parameters
    ----------
    base : BaseModel
    config : VerseConfig
    lora : LoRA
    training : FineTuning
    truth, contamination, data, training_generator : numpy.random.Generator
    """
    dialect = draw_dialect(truth)
    habits = truth.standard_normal((N_SYLLABLES, _N_HABITS)) / math.sqrt(_N_HABITS)
    manners = truth.standard_normal((config.n_clients, _N_HABITS))
    poets = tuple(
        Poet(k % config.n_schools, np.exp(config.habit * habits @ manner)) for k, manner in enumerate(manners)
    )
    honest = ~draw_members(config.n_clients, config.share, contamination)
    if config.forgery == "none":
        honest[:] = True
    n = config.n_poems + config.n_test
    poems = np.stack(
        [_poems(poets, k, honest, config.forgery, dialect, n, contamination, data) for k in range(len(poets))]
    )
    own, tests = poems[:, : config.n_poems], poems[:, config.n_poems :]
    half = POEM // 2
    pairs = ClientData(own[..., :half], own[..., half:], np.full(config.n_clients, config.n_poems))
    right, seed = lora.initial_right(base.config, training_generator), int(training_generator.integers(2**63))
    updates = _trained(base, pairs, lora, training, right, np.random.SeedSequence(seed))
    return VerseWorld(config, base, poets, honest, pairs, tests, lora, training, right, seed, updates)


def _poems(
    poets: tuple[Poet, ...],
    k: int,
    honest: BoolArray,
    forgery: str,
    dialect: FloatArray,
    n: int,
    contamination: np.random.Generator,
    data: np.random.Generator,
) -> IntArray:
    """Poems of one client, (n, 36)."""
    school, preferences = SCHOOLS[poets[k].school], poets[k].preferences
    if honest[k] or forgery == "shuffled":
        poems = written(school, dialect, preferences, n, data)
        return poems if honest[k] else _shuffled(poems, contamination)
    if forgery == "dialect":
        return written(school, draw_dialect(contamination), preferences, n, data)
    models = contamination.choice(np.flatnonzero(honest), size=n)
    return np.concatenate(
        [written(SCHOOLS[poets[j].school], dialect, poets[j].preferences, 1, data) for j in models.tolist()]
    )


def _shuffled(poems: IntArray, generator: np.random.Generator) -> IntArray:
    syllables = poems < N_SYLLABLES
    mixed = poems.copy()
    for poem, places in zip(mixed, syllables, strict=True):
        poem[places] = generator.permutation(poem[places])
    return mixed


def _trained(
    base: BaseModel,
    data: ClientData,
    lora: LoRA,
    training: FineTuning,
    initial_right: dict[str, FloatArray],
    seed: np.random.SeedSequence,
) -> dict[str, FloatArray]:
    generator = np.random.Generator(np.random.PCG64(seed))
    return finetune(base, data, lora, training, initial_right=initial_right, generator=generator).dense()


def trained_halves(world: VerseWorld) -> dict[str, FloatArray]:
    """Updates trained on either half of every client's poems, name -> (K, 2, out, in)."""
    pair = [
        _trained(
            world.base,
            world.data.half(half),
            world.lora,
            world.training,
            world.initial_right,
            np.random.SeedSequence(world.training_seed, spawn_key=(half,)),
        )
        for half in (0, 1)
    ]
    return {name: np.stack([pair[0][name], pair[1][name]], axis=1) for name in pair[0]}
