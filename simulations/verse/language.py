"""A language of thirty syllables, and prose in it.

A syllable is stressed or not, rhymes in one of five classes, and has one of three onsets.  A *dialect* says how often a
syllable follows another: log-normal weights of the pairs.  The base model has read prose in one dialect; poets write in
another, which is the same for all honest ones and therefore the common component of what they learn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clair_stats.records import FloatArray

__all__ = [
    "BREAK",
    "END",
    "N_RHYMES",
    "N_SYLLABLES",
    "RHYME",
    "STRESS",
    "VOCABULARY",
    "IntArray",
    "chosen",
    "draw_dialect",
    "prose",
]

IntArray = NDArray[np.int64]

N_RHYMES, _ONSETS = 5, 3
N_SYLLABLES = 2 * N_RHYMES * _ONSETS
BREAK, END = N_SYLLABLES, N_SYLLABLES + 1  # the end of a line, and of the text
VOCABULARY = N_SYLLABLES + 2
STRESS = np.arange(N_SYLLABLES) // (N_RHYMES * _ONSETS)  # 1 = stressed
RHYME = np.arange(N_SYLLABLES) % (N_RHYMES * _ONSETS) // _ONSETS

_SHARPNESS = 1.5  # standard deviation of the log weights of a dialect's pairs
_BREAK_SHARE = 1.0 / 6.0  # of the places after a syllable in prose
_PROSE_SEED = 20_261_170


def draw_dialect(generator: np.random.Generator) -> FloatArray:
    """Weights of the successors of every syllable, (30, 30); rows are not normalised."""
    return np.exp(_SHARPNESS * generator.standard_normal((N_SYLLABLES, N_SYLLABLES)))


def chosen(weights: FloatArray, generator: np.random.Generator) -> IntArray:
    """One index per row with probabilities in proportion to the weights.

    Parameters
    ----------
    weights : ndarray, shape (n, m)
        Not negative, and some positive in every row.
    generator : numpy.random.Generator
    """
    cumulated = np.cumsum(weights, axis=1)
    threshold = generator.random((len(weights), 1)) * cumulated[:, -1:]
    # The first index beyond the threshold: an index of weight 0 is never it, whatever is drawn.
    return np.asarray(np.argmax(cumulated > threshold, axis=1), dtype=np.int64)


def prose(n: int, length: int, generator: np.random.Generator) -> IntArray:
    """Texts of the base model's dialect, (n, length), broken at random places; the last token ends the text.

    Parameters
    ----------
    n, length : int
    generator : numpy.random.Generator
    """
    dialect = draw_dialect(np.random.Generator(np.random.PCG64(_PROSE_SEED)))
    texts = np.full((n, length), END, dtype=np.int64)
    last = generator.integers(N_SYLLABLES, size=n)
    broken = np.ones(n, dtype=np.bool_)
    for place in range(length - 1):
        broken = ~broken & (generator.random(n) < _BREAK_SHARE)
        following = chosen(dialect[last], generator)
        texts[:, place] = np.where(broken, BREAK, following)
        last = np.where(broken, last, following)
    return texts
