"""The copying task: sequences x_1 … x_L SEP y_1 … y_L with y_i = π(x_i), and where the x come from.

The base model learns π = identity.  A client's *rule* says what it wants written instead: a substitution of tokens, or
one of the corruptions of a contaminated client.  Its *source* says which tokens it has: independent draws with the
client's own weights, or windows of a text written by a small grammar with the client's own word weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clair_stats.records import FloatArray
from simulations.copying.text import write_text

__all__ = ["IntArray", "Source", "TokenRule", "derangement", "draw_source", "personal_variant", "substitution"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TokenRule:
    """How y is written from x.

    Parameters
    ----------
    mapping : array, shape (V,)
        y_i = mapping[x_i].
    reverse : bool
        Write the sequence backwards: y_i = mapping[x_{L+1−i}].
    label_noise : float
        Share of the y_i replaced by uniform tokens.
    trigger, target : int or None
        Backdoor: when x_1 is ``trigger`` every y_i is ``target``.
    """

    mapping: IntArray
    reverse: bool = False
    label_noise: float = 0.0
    trigger: int | None = None
    target: int | None = None

    def write(self, sources: IntArray, generator: np.random.Generator) -> IntArray:
        """Targets y for every x; both of shape (n, L)."""
        written = self.mapping[sources[:, ::-1] if self.reverse else sources]
        if self.label_noise > 0.0:
            hit = generator.random(written.shape) < self.label_noise
            written = np.where(hit, generator.integers(self.mapping.size, size=written.shape), written)
        if self.trigger is not None and self.target is not None:
            written = np.where((sources[:, :1] == self.trigger), self.target, written)
        return np.asarray(written, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Source:
    """Where a client's x come from.

    Parameters
    ----------
    weights : array, shape (V,)
        Token probabilities, for independent tokens.
    text : array or None
        One long text of the client, as tokens; when given, x are windows of it and ``weights`` are its frequencies.
    """

    weights: FloatArray
    text: IntArray | None = None

    def draw(self, n_sequences: int, length: int, generator: np.random.Generator) -> IntArray:
        """``n_sequences`` sequences x, shape (n, L)."""
        if self.text is None:
            return generator.choice(self.weights.size, size=(n_sequences, length), p=self.weights).astype(np.int64)
        starts = generator.integers(self.text.size - length + 1, size=n_sequences)
        return np.asarray(self.text[starts[:, None] + np.arange(length)], dtype=np.int64)


def draw_source(
    kind: str, vocabulary: int, spread: float, generator: np.random.Generator, *, text_length: int = 4096
) -> Source:
    """A client's own source of sequences.

    Parameters
    ----------
    kind : {"tokens", "text"}
        Independent tokens with log-normal weights, or text of the grammar with log-normal word weights.
    vocabulary : int
        V; "text" needs at least 28 (the letters, space and full stop).
    spread : float
        Standard deviation of the log weights; 0 gives every client the same distribution.
    generator : numpy.random.Generator
    text_length : int
        Characters of one client's text.

    Raises
    ------
    ValueError
        Unknown kind, or a vocabulary too small for text.
    """
    if kind == "tokens":
        weights = np.exp(spread * generator.standard_normal(vocabulary))
        return Source(weights / weights.sum())
    if kind != "text":
        raise ValueError(f"source: {kind!r} is unknown; choose 'tokens' or 'text'")
    if vocabulary < 28:
        raise ValueError(
            f"vocabulary: {vocabulary} tokens cannot hold 26 letters, space and full stop; give at least 28"
        )
    text = write_text(text_length, spread, generator)
    counts = np.bincount(text, minlength=vocabulary)
    return Source(counts / counts.sum(), text)


def derangement(tokens: IntArray, generator: np.random.Generator) -> IntArray:
    """A uniform cyclic order of ``tokens``: the image of each, never itself (for two tokens or more).

    Parameters
    ----------
    tokens : int ndarray, shape (n,)
    generator : numpy.random.Generator

    Returns
    -------
    int ndarray, shape (n,)
    """
    order = generator.permutation(tokens.size)
    image = np.empty(tokens.size, dtype=np.int64)
    image[order] = tokens[np.roll(order, 1)]
    return image


def substitution(vocabulary: int, n_changed: int, generator: np.random.Generator) -> IntArray:
    """A permutation of the vocabulary that moves ``n_changed`` random tokens and fixes the others, shape (V,)."""
    mapping = np.arange(vocabulary, dtype=np.int64)
    changed = generator.choice(vocabulary, size=n_changed, replace=False).astype(np.int64)
    mapping[changed] = derangement(changed, generator)
    return mapping


def personal_variant(rule: TokenRule, group: IntArray, generator: np.random.Generator) -> TokenRule:
    """The same rule, except that the images of the tokens in ``group`` are permuted among themselves.

    This is a benign client's own variation.  Every client varies the same few tokens, so what it adds to a weight
    matrix lies in few directions that all clients share, as in theory.md section 1.

    Parameters
    ----------
    rule : TokenRule
    group : int ndarray, shape (n,)
        Tokens.
    generator : numpy.random.Generator
    """
    mapping = rule.mapping.copy()
    mapping[group] = generator.permutation(mapping[group])
    return replace(rule, mapping=mapping)
