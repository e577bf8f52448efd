"""Random streams addressed by their purpose, so that they do not depend on workers or on the order of computation.

``SeedSequence(root, spawn_key=(regime hash, replication, role hash))``: a stream depends on the study's root seed, the
content of the regime, the number of the replication and the name of the role.  Adding a regime, a method or more
replications therefore changes no existing row, workers and order are irrelevant, and every replication can be computed
again alone.  Methods do not enter the key of the data, so all methods see the same data.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

__all__ = ["CONFIRMATORY", "Streams", "effort_seed"]

CONFIRMATORY = 2**64  # root seeds from here on come from the registry (simulations.registration)

_MAX_REPLICATION = 2**32


def _words(hexadecimal: str) -> tuple[int, ...]:
    """First 128 bits of a hash as four 32-bit words.

    Every part of a spawn key has a fixed number of words, so two different keys never run together into one.
    """
    return tuple(int(hexadecimal[8 * i : 8 * i + 8], 16) for i in range(4))


@lru_cache(maxsize=4096)
def _role_words(role: str) -> tuple[int, ...]:
    return _words(hashlib.sha256(role.encode()).hexdigest())


def effort_seed(root_seed: int, effort: str, *, named: str = "quick") -> int:
    """Root seed of one effort: the ``named`` one has the given seed, every other one derived from it.

    Rows of a small run are thus no part of a larger one.  Were they, a claim looked at again with more replications
    would be judged on the rows that it had been judged on before, and its error rates would be those of several looks.
    A seed of the registry leads to such a seed, and one of development to one of development.
    """
    if effort == named:
        return root_seed
    sequence = np.random.SeedSequence(root_seed, spawn_key=_role_words(f"effort:{effort}"))
    derived = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
    return derived + (CONFIRMATORY if root_seed >= CONFIRMATORY else 0)


@dataclass(frozen=True)
class Streams:
    """The random streams of one replication of one regime.

    Parameters
    ----------
    root_seed : int
        The study's root seed, non-negative.
    regime_hash : str
        ``design.content_hash`` of the regime, 64 hexadecimal digits.
    replication : int
        Number of the replication, 0 ≤ replication < 2**32.

    Raises
    ------
    ValueError
        For a negative seed or replication.
    """

    root_seed: int
    regime_hash: str
    replication: int

    def __post_init__(self) -> None:
        if self.root_seed < 0:
            raise ValueError(f"root_seed is {self.root_seed}; give a non-negative integer")
        if not 0 <= self.replication < _MAX_REPLICATION:
            raise ValueError(f"replication is {self.replication}; give an integer from 0 to 2**32 - 1")

    def seed_sequence(self, role: str) -> np.random.SeedSequence:
        """The seed sequence of one role; equal arguments give equal streams on every machine."""
        key = (*_words(self.regime_hash), self.replication, *_role_words(role))
        return np.random.SeedSequence(self.root_seed, spawn_key=key)

    def generator(self, role: str) -> np.random.Generator:
        """A fresh PCG64 generator at the start of the stream of ``role``.

        Roles in use: ``"truth"``, ``"contamination"``, ``"noise"``, ``"data"`` in regimes, ``"method:<name>"`` for
        methods.  Two calls with one role give the same numbers again: ask once and pass the generator on.
        """
        return np.random.Generator(np.random.PCG64(self.seed_sequence(role)))
