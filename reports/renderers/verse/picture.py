"""Federations of the study on style drawn again: joint scores, and how one poet's models write on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reports.renderers.copying.names import NAMES
from reports.renderers.joint_scores import draw_joint_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from clair_stats.records import FloatArray
    from simulations.copying.collaborate import Collaboration
    from simulations.verse.language import IntArray
    from simulations.verse.poets import VerseWorld

__all__ = ["scores_picture", "spelt", "written_on"]

_ONSETS, _VOWELS = ("", "t", "l"), ("a", "e", "i", "o", "u")


def spelt(tokens: IntArray) -> str:
    """Tokens, (L,), as letters: stressed syllables in capitals, `/` between lines, `.` at the end."""
    from simulations.verse.language import BREAK, N_SYLLABLES, RHYME, STRESS

    words = []
    for token in tokens.tolist():
        if token >= N_SYLLABLES:
            words.append("/" if token == BREAK else ".")
            continue
        syllable = _ONSETS[token % len(_ONSETS)] + _VOWELS[RHYME[token]]
        words.append(syllable.upper() if STRESS[token] else syllable)
    return " ".join(words)


def written_on(world: VerseWorld, adapters: Mapping[str, Mapping[str, FloatArray]], client: int) -> list[str]:
    """The first test poem of a client, and what its model makes of the opening with each kind of adapters.

    Parameters
    ----------
    world : VerseWorld
    adapters : mapping of str to mapping of str to ndarray, shape (K, out, in)
        ΔW_k by method and module.
    client : int
    """
    from simulations.verse.schools import POEM
    from simulations.verse.style import continued

    half = POEM // 2
    poem = world.tests[client, 0]
    lines = [f"opening       {spelt(poem[:half])}", f"the poet      {spelt(poem[half:])}"]
    for method, updates in adapters.items():
        own = {name: blocks[client : client + 1] for name, blocks in updates.items()}
        text = continued(world.base, own, poem[None, None, :half], np.random.default_rng(1))[0, 0, half:]
        lines.append(f"{NAMES[method].split()[0]:13s} {spelt(text)}")
    return lines


def scores_picture(worlds: Sequence[tuple[str, VerseWorld, Collaboration]]) -> Figure:
    """The joint score of every client with its threshold, a panel per federation.

    Parameters
    ----------
    worlds : sequence of (str, VerseWorld, Collaboration)
        Title, federation and the verdict on it.
    """
    from matplotlib.figure import Figure

    from simulations.verse.schools import SCHOOLS

    figure = Figure(figsize=(8, 3), layout="constrained")
    for axis, (title, world, found) in zip(np.atleast_1d(figure.subplots(1, len(worlds))), worlds, strict=True):
        schools = np.array([poet.school for poet in world.poets])
        groups = [(school.name, world.collaborative_set & (schools == i)) for i, school in enumerate(SCHOOLS)]
        draw_joint_scores(axis, found, [*groups, ("forgers", ~world.collaborative_set)])
        axis.set_title(title, fontsize=9)
    return figure
