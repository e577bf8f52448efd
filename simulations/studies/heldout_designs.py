"""200 settings drawn at random once, on which nothing was built: both detections against the test on the true set.

Sizes, ranks, kinds, shares and noises are drawn from the stream below; a share is drawn again until a majority can be
told from the rest in principle, |O| ≤ ⌊K/2⌋ − ⌈r/q⌉ (docs/derivations/detection.md).  ``DESIGN_HASH`` is the hash of
what was drawn, with root seed and replications; it was committed before the first run, and a test compares the two.

The study ran before the registry existed, and its settings have been seen since: it is exploratory now.
``heldout_confirmation`` has settings and a seed of its own; this run counts as its first try.
"""

from __future__ import annotations

import math

import numpy as np

from simulations.design import Study, content_hash, crossed
from simulations.measures.summaries import PairedDifference, Proportion
from simulations.methods.clients_and_oracles import Clair, ClairProgram, OracleSetTest
from simulations.regimes.gaussian import GaussianRegime

__all__ = ["DESIGN_HASH", "SETTINGS", "STUDY", "design_hash", "drawn_settings"]

DESIGN_HASH = "c28f70aef626ad164226a5c0b3e408ca3fdc2e57821310865409fc972dd7a0e7"
SETTINGS = 200
_STREAM = 20_261_126
# Kind and scale; sign flips need a common component, without one they are benign by definition.
_KINDS: tuple[tuple[str, float], ...] = (
    ("random", 0.7),
    ("random", 1.0),
    ("random", 3.0),
    ("gaussian", 1.0),
    ("coordinated", 1.0),
    ("coordinated", 3.0),
    ("identical", 1.0),
    ("identical", 3.0),
    ("sign_flip", 1.0),
    ("mimic", 0.7),
    ("mimic", 2.0),
    ("mimic", 5.0),
)
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.45)
_NOISES = (0.05, 0.1, 0.2, 0.3, 0.4)


def _drawn(generator: np.random.Generator) -> GaussianRegime:
    p = int(np.exp(generator.uniform(math.log(10.0), math.log(64.0))))
    q = int(np.exp(generator.uniform(math.log(2.0), math.log(32.0))))
    n_clients = int(np.exp(generator.uniform(math.log(12.0), math.log(120.0))))
    rank = int(generator.integers(0, min(6, p // 5) + 1))
    kind, scale = _KINDS[int(generator.integers(len(_KINDS)))]
    rank = rank if kind == "sign_flip" else max(rank, 1)  # the others are told in terms of a benign client's own part
    noise, known = float(generator.choice(_NOISES)), bool(generator.integers(2))
    while True:
        share = float(generator.choice(_SHARES))
        if 1 <= round(share * n_clients) <= n_clients // 2 - math.ceil(rank / q):
            break
    return GaussianRegime(
        n_clients=n_clients,
        n_rows=p,
        n_columns=q,
        rank=rank,
        contamination=kind,
        contamination_scale=scale,
        share=share,
        noise_scale=noise,
        noise_known=known,
        common_scale=0.3,
    )


def drawn_settings(stream: int) -> tuple[GaussianRegime, ...]:
    """The settings that a stream draws."""
    generator = np.random.default_rng(stream)
    return tuple(_drawn(generator) for _ in range(SETTINGS))


def design_hash() -> str:
    """The hash of settings, root seed and replications; methods may gain options without changing it."""
    settings = [content_hash(regime) for regime in drawn_settings(_STREAM)]
    return content_hash({"settings": settings, "seed": STUDY.root_seed, "replications": STUDY.replications})


STUDY = Study(
    name="heldout_designs",
    title="Both detections on 200 settings that were drawn at random",
    cells=crossed(drawn_settings(_STREAM), (Clair(), ClairProgram(), OracleSetTest())),
    replications=6,
    root_seed=20_261_127,
    aims=(
        "On settings that nobody has looked at, does CLAIR, told neither rank nor set, find the benign set as often as "
        "the test on the true set at the true rank, with the search and by the program alone?"
    ),
    estimands="P(Ĉ = C) and the probability of a verdict, pooled over the settings and in each of them.",
    measures=(
        Proportion("exact_set"),
        Proportion("false_alarm"),
        PairedDifference("exact_set", OracleSetTest.name),
    ),
)
