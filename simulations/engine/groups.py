"""What a run has to do: the missing replications, grouped so that the methods of a regime share their instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulations.design import Method, Regime, Study

__all__ = ["Gaps", "Portion", "everything", "groups", "in_shard"]

Gaps: TypeAlias = dict[str, NDArray[np.int64]]  # cell hash -> replications


@dataclass
class Portion:
    """Replications of one regime that lack rows of the same methods."""

    regime: Regime
    regime_hash: str
    methods: tuple[tuple[str, Method], ...]
    replications: list[int]
    taken: int = 0
    seconds: float = 0.0  # measured so far
    measured: int = 0

    @property
    def left(self) -> int:
        """Replications that no task has taken yet."""
        return len(self.replications) - self.taken


def groups(study: Study, gaps: Gaps) -> list[Portion]:
    """Split what is missing so that the methods of a regime share their instance wherever possible."""
    found: list[Portion] = []
    by_regime: dict[str, list[int]] = {}
    for position, cell in enumerate(study.cells):
        by_regime.setdefault(cell.regime_hash, []).append(position)
    for regime_hash, positions in by_regime.items():
        cells = [study.cells[position] for position in positions]
        lacking = np.zeros((len(cells), study.replications), dtype=np.bool_)
        for row, cell in zip(lacking, cells, strict=True):
            row[gaps[cell.hash]] = True
        patterns, which = np.unique(lacking, axis=1, return_inverse=True)
        for number in range(patterns.shape[1]):
            methods = tuple((c.hash, c.method) for c, on in zip(cells, patterns[:, number], strict=True) if on)
            if methods:
                replications = np.flatnonzero(which.ravel() == number).tolist()
                found.append(Portion(cells[0].regime, regime_hash, methods, replications))
    return found


def everything(study: Study) -> Gaps:
    """All replications of all cells."""
    return {cell.hash: np.arange(study.replications) for cell in study.cells}


def in_shard(gaps: Gaps, shard: tuple[int, int] | None) -> Gaps:
    """Only the replications r with r mod n == i − 1 of a shard (i, n)."""
    if shard is None:
        return gaps
    return {cell: gap[gap % shard[1] == shard[0] - 1] for cell, gap in gaps.items()}
