"""Character-level text from a stated grammar, so that a second source of sequences needs no download.

    sentence  -> clause ". "                       (a clause and a full stop)
    clause    -> "the " noun " " verb " the " noun
               | "the " adjective " " noun " " verb " " place
    word      -> a fixed list of twelve per class, drawn with the writer's own weights

Letters are tokens 0 … 25, the space is 26, the full stop 27.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALPHABET", "decode_text", "write_text"]

ALPHABET = "abcdefghijklmnopqrstuvwxyz ."

_NOUNS = ("queen", "fox", "judge", "wizard", "pilot", "zebra", "baker", "monk", "vendor", "sphinx", "lynx", "knight")
_VERBS = ("saw", "quizzed", "joined", "mixed", "baked", "vexed", "helped", "froze", "judged", "copied", "owed", "fixed")
_ADJECTIVES = (
    "quick",
    "brown",
    "lazy",
    "jovial",
    "grumpy",
    "exotic",
    "waxy",
    "humble",
    "frozen",
    "vivid",
    "zany",
    "shy",
)
_PLACES = (
    "at home", "by a quay", "in june", "on ice", "far away", "under oak", "for jazz", "up river", "at six", "in fog",
    "past elms", "on deck",
)  # fmt: skip


def write_text(n_characters: int, spread: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """``n_characters`` of text by one writer, as tokens.

    Parameters
    ----------
    n_characters : int
        Length of the text.
    spread : float
        Standard deviation of the logarithms of the writer's word weights; 0 makes all words equally frequent.
    generator : numpy.random.Generator

    Returns
    -------
    array of int64, shape (n_characters,)
    """
    classes = (_NOUNS, _VERBS, _ADJECTIVES, _PLACES)
    habits = [np.exp(spread * generator.standard_normal(len(words))) for words in classes]
    odds = [weights / weights.sum() for weights in habits]

    def word(kind: int) -> str:
        return classes[kind][int(generator.choice(len(classes[kind]), p=odds[kind]))]

    text = ""
    while len(text) < n_characters:
        if generator.random() < 0.5:
            text += f"the {word(0)} {word(1)} the {word(0)}. "
        else:
            text += f"the {word(2)} {word(0)} {word(1)} {word(3)}. "
    return np.array([ALPHABET.index(character) for character in text[:n_characters]], dtype=np.int64)


def decode_text(tokens: NDArray[np.int64]) -> str:
    """Tokens as characters; tokens beyond the alphabet are shown as ``#``.

    Parameters
    ----------
    tokens : int ndarray, shape (L,)
    """
    return "".join(ALPHABET[token] if token < len(ALPHABET) else "#" for token in tokens.tolist())
