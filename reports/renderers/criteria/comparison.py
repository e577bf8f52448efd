"""The summary of a comparison with oracles: one line per setting, one column per method and measure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.inputs import StudyInput
from reports.labels import method_names
from reports.numbers import with_limits
from reports.tables import Group
from reports.words import count_of, worded
from simulations.methods.robust_aggregators import RobustBaseline

__all__ = ["BASELINES", "Comparison"]

# Of the error of a mean rank: normal draws, whose own error is then below 4 %, and their fixed seed.
_DRAWS, _SEED = 400, 20261127

KIND, SCALE, COMMON = "regime.contamination", "regime.contamination_scale", "regime.common_scale"

# Robust aggregators in the order of the tables, with headings that fit seventeen columns on a page.
BASELINES = {
    "local_only": "local",
    "federated_average": "aver.",
    "coordinate_median": "c. med.",
    "geometric_median": "g. med.",
    "trimmed_mean": "trim.",
    "krum": "Krum",
    "multi_krum": "m. Krum",
    "median_svd": "m. SVD",
    "fast_median_subspace": "FMS",
    "subspace_tyler": "STE",
    "winsorised_spectral": "TGF",
    "armul_low_rank": "ARMUL",
}


def _names(fields: pd.DataFrame) -> list[str]:
    """What tells the settings of one group apart: crossed factors always, other fields where they are unusual."""
    parts: list[list[str]] = [[] for _ in range(len(fields))]
    for name, values in fields.items():
        counts = Counter(str(value) for value in values)
        usual = counts.most_common(1)[0][0]
        crossed = len(counts) > 1 and len(set(counts.values())) == 1
        field = str(name).removeprefix("regime.")
        for i, value in enumerate(values):
            if crossed or str(value) != usual:
                shown = f"{value:g}" if isinstance(value, float) else str(value)
                parts[i].append(count_of(field, value) or f"{worded(field)} {shown}")
    return [", ".join(part) or "as stated" for part in parts]


class Comparison:
    """Values and errors per setting; ``baselines`` are those the study has, in the order of the tables."""

    def __init__(self, item: StudyInput) -> None:
        found = item.summary
        label = method_names(found)
        fields = [name for name in found.columns if name.startswith("regime.")]
        key = pd.MultiIndex.from_frame(found[fields].astype(str))
        codes, _ = pd.factorize(key)
        frame = found.assign(setting=codes, label=label)
        self.first = frame.drop_duplicates("setting").set_index("setting")
        self._tables = {
            column: frame.pivot_table(index="setting", columns=["measure", "label"], values=column, sort=False)
            for column in ("value", "mcse", "n", "low", "high")
        }
        present = set(label[found["method"] == RobustBaseline.name])
        self.baselines = [name for name in BASELINES if name in present]
        self.kinds = [worded(kind) for kind in self.first[KIND]]
        self._names = _names(self.first[[name for name in fields if name not in (KIND, SCALE, COMMON)]])
        several = self.first[COMMON].nunique() > 1
        self._headings = [
            f"{kind} × {scale:g}" + (f", common component {common:g}" if several else "")
            for kind, scale, common in zip(self.kinds, self.first[SCALE], self.first[COMMON], strict=True)
        ]

    def _of(self, column: str, measure: str, method: str) -> pd.Series:
        empty = pd.Series(np.nan, index=self.first.index)
        return self._tables[column].get((measure, method), empty).reindex(self.first.index)

    def of(self, measure: str, method: str) -> pd.Series:
        """Values, one row per setting; NaN where the method has no such measure."""
        return self._of("value", measure, method)

    def error(self, measure: str, method: str) -> pd.Series:
        """Monte Carlo standard errors, one row per setting."""
        return self._of("mcse", measure, method)

    def size(self, measure: str, method: str) -> pd.Series:
        """Replications that entered, one row per setting."""
        return self._of("n", measure, method)

    def cells(self, measure: str, method: str) -> list[str]:
        """Values with errors, or with the limit of a share that never varied, per setting."""
        columns = (self._of(name, measure, method) for name in ("value", "mcse", "low", "high"))
        return [with_limits(*numbers) for numbers in zip(*columns, strict=True)]

    def has(self, method: str) -> bool:
        """Whether the method's mean squared error is known in some setting."""
        return bool(self.of("mean refined_mse", method).notna().any())

    def best_baseline(self, method: str) -> tuple[pd.Series, pd.Series]:
        """Best baseline minus method in mean squared error, paired, and its error; one row per setting."""
        errors = pd.DataFrame({name: self.of("mean refined_mse", name) for name in self.baselines})
        chosen = [list(errors.columns).index(str(name)) for name in errors.idxmin(axis=1)]
        lines = np.arange(len(errors))
        paired = f"refined_mse − {method}"
        found = []
        for read in (self.of, self.error):
            every = pd.DataFrame({name: read(paired, name) for name in self.baselines})
            found.append(pd.Series(every.to_numpy()[lines, chosen], index=errors.index))
        return found[0], found[1]

    def mean_ranks(self, methods: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rank of every method's mean squared error, averaged over settings, and its standard error; shape (methods,).

        The error comes from normal draws about the means with their Monte Carlo standard errors.
        """
        means = pd.DataFrame({method: self.of("mean refined_mse", method) for method in methods})
        errors = np.nan_to_num(np.array([self.error("mean refined_mse", method) for method in methods]).T)
        generator = np.random.default_rng(_SEED)
        drawn = [(means + errors * generator.standard_normal(errors.shape)).rank(axis=1).mean() for _ in range(_DRAWS)]
        return means.rank(axis=1).mean().to_numpy(), np.std(drawn, axis=0)

    def groups(self, cells: list[tuple[str, ...]]) -> tuple[Group, ...]:
        """Lines of a table, one group per kind and size of contamination."""
        lines: dict[str, list[tuple[str, ...]]] = {}
        for heading, name, row in zip(self._headings, self._names, cells, strict=True):
            lines.setdefault(heading, []).append((name, *row))
        return tuple(Group(heading, tuple(rows)) for heading, rows in lines.items())
