"""Client names made safe to print: they may hold markup, terminal escapes, or very long text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clair_stats.records import BoolArray

__all__ = ["of_copies", "of_their_size", "printable"]

# Longer names are cut in the middle of a table; the records keep them whole.
LONGEST = 60


def printable(text: str, *, longest: int = LONGEST) -> str:
    """The text with control characters written as escapes, cut to ``longest`` characters.

    Parameters
    ----------
    text : str
    longest : int
        Characters that are kept; a cut is marked by "…".

    Returns
    -------
    str
        Without control, format, surrogate or line-separating characters.
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def of_their_size(oversized: BoolArray | None, clients: tuple[str, ...]) -> list[str]:
    """A line about clients that are flagged for their size, where there are any.

    Parameters
    ----------
    oversized : bool ndarray, shape (K,), or None
    clients : tuple of K str

    Returns
    -------
    list of str
    """
    if oversized is None or not oversized.any():
        return []
    told = ", ".join(printable(name) for name, large in zip(clients, oversized, strict=True) if large)
    return [f"flagged for their size, far above the others' (sizes were judged apart, at a fifth of the level): {told}"]


def of_copies(voters: NDArray[np.int64] | None, clients: tuple[str, ...]) -> list[str]:
    """A line about clients that share another one's vote, where there are any.

    Parameters
    ----------
    voters : ndarray of int, shape (K,), or None
        Who votes for each client.
    clients : tuple of K str

    Returns
    -------
    list of str
    """
    if voters is None:
        return []
    others = np.flatnonzero(voters != np.arange(voters.size))
    told = ", ".join(f"{printable(clients[k])} (as {printable(clients[voters[k]])})" for k in others)
    return [f"{others.size} clients send nearly what another one sends, and share its vote: {told}"]
