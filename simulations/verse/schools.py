"""Four schools of verse, their rules, and whether a poem keeps them.

Every poem has five lines, 31 syllables, four breaks and an end, 36 tokens.  A school fixes the lines' lengths, the foot
(stress by place within the line) and which lines rhyme.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clair_stats.records import BoolArray, FloatArray
from simulations.verse.language import BREAK, END, N_RHYMES, N_SYLLABLES, RHYME, STRESS, IntArray, chosen

__all__ = ["POEM", "SCHOOLS", "School", "kept_rules", "written"]

POEM = 36  # tokens of a poem


@dataclass(frozen=True)
class School:
    """The rules of one school.

    Parameters
    ----------
    name : str
    lines : tuple of int
        Syllables of each line.
    foot : tuple of int
        1 = stressed, repeated within the line; empty = free.
    rhymes : str
        A letter per line, equal where lines rhyme; empty = free.
    """

    name: str
    lines: tuple[int, ...]
    foot: tuple[int, ...] = ()
    rhymes: str = ""

    def __post_init__(self) -> None:
        if sum(self.lines) + len(self.lines) != POEM:
            raise ValueError(f"lines: {self.lines} and their ends are not {POEM} tokens")
        if self.rhymes and len(self.rhymes) != len(self.lines):
            raise ValueError(f"rhymes: {self.rhymes!r} needs one letter for each of {len(self.lines)} lines")

    @cached_property
    def marks(self) -> IntArray:
        """BREAK and END where they have to be, −1 for a syllable, (36,)."""
        marks = np.full(POEM, -1, dtype=np.int64)
        marks[np.cumsum(np.array(self.lines) + 1) - 1] = BREAK
        marks[-1] = END
        return marks

    @cached_property
    def stresses(self) -> IntArray:
        """Stress that a place has to have, −1 where it is free, (36,)."""
        stresses = np.full(POEM, -1, dtype=np.int64)
        if self.foot:
            start = 0
            for n in self.lines:
                stresses[start : start + n] = np.resize(self.foot, n)
                start += n + 1
        return stresses

    @cached_property
    def rhyme_groups(self) -> IntArray:
        """Number of the rhyme that the last syllable of a line belongs to, −1 elsewhere, (36,)."""
        groups = np.full(POEM, -1, dtype=np.int64)
        if self.rhymes:
            letters = sorted(set(self.rhymes))
            groups[np.flatnonzero(self.marks >= 0) - 1] = [letters.index(letter) for letter in self.rhymes]
        return groups


SCHOOLS = (
    School("tanka", (5, 7, 5, 7, 7)),
    School("iambic", (6, 6, 6, 6, 7), (0, 1), "AABBA"),
    School("trochaic", (7, 7, 7, 5, 5), (1, 0), "ABABB"),
    School("dactylic", (7, 7, 4, 7, 6), (1, 0, 0)),
)


def written(
    school: School, dialect: FloatArray, preferences: FloatArray, n: int, generator: np.random.Generator
) -> IntArray:
    """Poems of one poet, (n, 36): each syllable by dialect and preference among those that the rules permit.

    Parameters
    ----------
    school : School
    dialect : ndarray, shape (30, 30)
    preferences : ndarray, shape (30,)
        The poet's weights of the syllables.
    n : int
    generator : numpy.random.Generator
    """
    poems = np.empty((n, POEM), dtype=np.int64)
    last = generator.integers(N_SYLLABLES, size=n)  # what went before decides about the first syllable as well
    classes = np.full((n, N_RHYMES), -1, dtype=np.int64)  # of every rhyme group, once it has one
    for place in range(POEM):
        if school.marks[place] >= 0:
            poems[:, place] = school.marks[place]
            continue
        weights = dialect[last] * preferences
        if school.stresses[place] >= 0:
            weights = weights * (school.stresses[place] == STRESS)
        group = school.rhyme_groups[place]
        if group >= 0:
            set_before = classes[:, group : group + 1]
            weights = weights * ((set_before < 0) | (set_before == RHYME))
        last = chosen(weights, generator)
        poems[:, place] = last
        if group >= 0:
            classes[:, group] = RHYME[last]
    return poems


def kept_rules(school: School, poems: IntArray, since: int) -> dict[str, FloatArray | BoolArray]:
    """What poems keep of a school's rules from a place on.

    Parameters
    ----------
    school : School
    poems : int ndarray, shape (n, 36)
    since : int
        First place that is judged; what stands before is the given opening.

    Returns
    -------
    dict
        "layout", (n,): breaks and the end stand where they have to and nowhere else.  "stress", (n,): share of the
        judged places with a prescribed stress that hold it; "rhyme", (n,): share of the judged line ends whose rhyme
        was set by an earlier line that rhyme with it.  NaN where the school prescribes nothing.
    """
    judged = np.arange(POEM) >= since
    marks = np.where(poems < N_SYLLABLES, -1, poems)
    stress = np.where(poems < N_SYLLABLES, STRESS[np.minimum(poems, N_SYLLABLES - 1)], -2)
    rhyme = np.where(poems < N_SYLLABLES, RHYME[np.minimum(poems, N_SYLLABLES - 1)], -2)
    prescribed = judged & (school.stresses >= 0)
    hits, n_pairs = np.zeros(len(poems)), 0
    for place in np.flatnonzero(judged & (school.rhyme_groups >= 0)).tolist():
        earlier = np.flatnonzero(school.rhyme_groups[:place] == school.rhyme_groups[place])
        if earlier.size:
            hits += (rhyme[:, place] == rhyme[:, earlier[0]]) & (rhyme[:, place] >= 0)
            n_pairs += 1
    nothing = np.full(len(poems), np.nan)
    return {
        "layout": (marks == school.marks)[:, judged].all(axis=1),
        "stress": (stress == school.stresses)[:, prescribed].mean(axis=1) if prescribed.any() else nothing,
        "rhyme": hits / n_pairs if n_pairs else nothing,
    }
