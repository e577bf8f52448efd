"""Comparisons of methods on the same replications: differences to the best, mean ranks with their errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

from reports.inputs import StudyInput
from reports.labels import rows_by_setting

__all__ = ["RankedPanel", "panels_of"]

_RESAMPLES = 400  # of replications, for the error of a mean rank; its own error is then below 4 %
_SEED = 20261126  # of the resampling; fixed, so that the same rows give the same report


@dataclass(frozen=True, eq=False)
class RankedPanel:
    """One metric on the settings, methods and replications of a study, signed so that less is better."""

    settings: tuple[str, ...]
    methods: tuple[str, ...]
    values: NDArray[np.float64]  # (settings, methods, replications), NaN where undefined or not there

    def p_better(self, first: int, second: int) -> NDArray[np.float64]:
        """One-sided paired t test per setting of "the first method is not better than the second", shape (settings,).

        NaN below two common replications; where all differences are equal their sign decides.
        """
        difference = self.values[:, first] - self.values[:, second]
        n = np.sum(~np.isnan(difference), axis=1)
        found = np.full(n.size, np.nan)
        for i in np.flatnonzero(n >= 2):
            own = difference[i][~np.isnan(difference[i])]
            error = own.std(ddof=1) / np.sqrt(own.size)
            sign = float(np.sign(own[0]))
            found[i] = stdtr(own.size - 1, own.mean() / error) if error > 0 else (1.0 + sign) / 2.0
        return found

    def means(self) -> NDArray[np.float64]:
        """Means over replications, shape (settings, methods), NaN where no replication is defined."""
        n = np.sum(~np.isnan(self.values), axis=2)
        with np.errstate(invalid="ignore"):
            return np.where(n > 0, np.nansum(self.values, axis=2) / np.maximum(n, 1), np.nan)

    def mean_ranks(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rank of every method's mean, averaged over settings, and its bootstrap error; shape (methods,)."""
        generator = np.random.default_rng(_SEED)
        n = self.values.shape[2]
        drawn = []
        for _ in range(_RESAMPLES):
            chosen = generator.integers(n, size=(self.values.shape[0], 1, n))
            drawn.append(
                _ranks(RankedPanel(self.settings, self.methods, np.take_along_axis(self.values, chosen, axis=2)))
            )
        return _ranks(self), np.std(drawn, axis=0)


def _ranks(panel: RankedPanel) -> NDArray[np.float64]:
    ranks: NDArray[np.float64] = pd.DataFrame(panel.means()).rank(axis=1).mean().to_numpy()
    return ranks


def panels_of(item: StudyInput, better: Mapping[str, int]) -> dict[str, RankedPanel]:
    """Every replication of the metrics that the rows have; ``better`` is 1 where more is better, −1 where less is."""
    rows = rows_by_setting(item.study, item.rows())
    return {metric: _panel(rows, metric, sign) for metric, sign in better.items() if metric in rows}


def _panel(rows: pd.DataFrame, metric: str, better: int) -> RankedPanel:
    settings, methods = list(dict.fromkeys(rows["setting"])), list(dict.fromkeys(rows["label"]))
    values = np.full((len(settings), len(methods), int(rows["replication"].max()) + 1), np.nan)
    places = (
        pd.Index(settings).get_indexer(rows["setting"]),
        pd.Index(methods).get_indexer(rows["label"]),
        rows["replication"].to_numpy(int),
    )
    values[places] = -better * rows[metric].to_numpy(float)
    return RankedPanel(tuple(settings), tuple(methods), values)
