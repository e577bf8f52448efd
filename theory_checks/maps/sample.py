"""Sampling of the maps of theorem ⊂ certificate ⊂ empirical recovery, near their borders.

Every grid point first gets a few replications.  Then, stage by stage, the points whose interval for the probability of
recovery or of a certificate still contains one half get more, until the budget of the effort is spent.  The points
stop when the data say so, so all intervals, those that decide and those that are drawn, use the critical value of
repeated confidence intervals for the stages of the effort (:mod:`simulations.engine.sequential`): they cover at every
stage together.  All replications are rows of one store, so a finer map continues a coarser one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Unpack

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from clair_stats.records import FloatArray
from simulations.design import Cell, Study, crossed
from simulations.engine.options import RunOptions
from simulations.engine.sequential import repeated_critical_value
from simulations.storage.store import load_rows
from theory_checks.claim import EFFORTS, ROOT_SEED, Effort
from theory_checks.judge.complete import run_to_the_end
from theory_checks.maps.designs import COUNTS, MAPS, N_CLIENTS, STAGES, MapDesign, is_promised, regimes_of
from theory_checks.methods.exact_program import RecoveryMethod

__all__ = ["SampledMap", "map_study", "repeated_level", "sample_map"]

_SOLVED = 1e-5  # relative duality gap above which a solution that is not recovered is no counterexample


@dataclass(frozen=True, eq=False)
class SampledMap:
    """Counts on the grid; rows follow ``values`` of the design, columns the numbers of contaminated clients."""

    name: str
    effort: Effort
    design: MapDesign
    shares: FloatArray  # (m,)
    theorem: FloatArray  # (n, m) 1 where the sharp theorem promises recovery
    stated: FloatArray  # (n, m) 1 where the theorem as stated does
    replications: FloatArray  # (n, m)
    certified: FloatArray  # (n, m) counts
    recovered: FloatArray  # (n, m) counts
    not_nested: int  # replications where theorem ⊂ certificate ⊂ recovery fails

    def interval(self, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Wilson interval of a probability at every point; covers at all stages together with probability 0.95.

        Parameters
        ----------
        counts : ndarray, shape of the map
            Instances with the property.

        Returns
        -------
        low, high : ndarray, shape of the map
        """
        level = repeated_level(self.effort)
        low, high = proportion_confint(counts.ravel(), self.replications.ravel(), alpha=level, method="wilson")
        return np.asarray(low).reshape(counts.shape), np.asarray(high).reshape(counts.shape)


@cache
def repeated_level(effort: Effort) -> float:
    """1 − level of an interval that covers with probability 0.95 at all stages, those of smaller efforts too."""
    upto = EFFORTS[: EFFORTS.index(effort) + 1]
    looks = sorted({look for smaller in upto for look in STAGES[smaller]})
    return 2.0 * float(norm.sf(repeated_critical_value(tuple(looks))))


def sample_map(name: str, effort: Effort, folder: Path, **options: Unpack[RunOptions]) -> SampledMap:
    """Sample one of :data:`theory_checks.maps.designs.MAPS`; continues what the store holds.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in MAPS:
        raise ValueError(f"map {name!r} is unknown; choose among {', '.join(MAPS)}")
    design = MAPS[name]
    return _counted(name, design, _cells_of(design), _sampled_rows(name, effort, folder, options), effort)


def map_study(name: str, effort: Effort = "full") -> Study:
    """The simulation behind a map, with the replications of the effort's last stage."""
    design = MAPS[name]
    return Study(
        name=f"map-{name}",
        title=f"Map of recovery: share against {design.axis}",
        cells=tuple(cell for row in _cells_of(design) for cell in row),
        replications=STAGES[effort][-1],
        root_seed=ROOT_SEED,
        aims="theorem ⊂ certificate ⊂ empirical recovery",
    )


def _cells_of(design: MapDesign) -> list[list[Cell]]:
    method = RecoveryMethod(tol=1e-6, second_tol=None, max_iterations=5000)
    return [[crossed(regime, method)[0] for regime in row] for row in regimes_of(design)]


def _sampled_rows(name: str, effort: Effort, folder: Path, options: RunOptions) -> pd.DataFrame:
    """All rows, after every stage has run the points that the one before has left open."""
    study = map_study(name, effort)
    store = folder / f"{study.name}.sqlite"
    active = list(study.cells)
    for stage, replications in enumerate(STAGES[effort]):
        run_to_the_end(dataclasses.replace(study, cells=tuple(active), replications=replications), store, **options)
        if stage + 1 < len(STAGES[effort]):
            counts = _counts(load_rows(store, study), active, replications)
            level = repeated_level(effort)
            active = [cell for cell in active if _undecided(level, *counts[cell.hash])] or active[:1]
    return load_rows(store, study)


def _counted(name: str, design: MapDesign, cells: list[list[Cell]], rows: pd.DataFrame, effort: Effort) -> SampledMap:
    good = rows[rows["status"] == "ok"]
    grouped = good.groupby("cell")[["certified", "recovered"]].agg(["sum", "count"])

    def table(column: str, statistic: str) -> FloatArray:
        return np.array([[float(grouped[column][statistic][cell.hash]) for cell in row] for row in cells])

    def promised(form: str) -> FloatArray:
        return np.array([[float(is_promised(regime, form)) for regime in row] for row in regimes_of(design)])

    nested_fails = ((good["theorem"] == 1) & (good["certified"] == 0)) | (
        (good["certified"] == 1) & (good["recovered"] == 0) & (good["relative_gap"] <= _SOLVED)
    )
    return SampledMap(
        name=name,
        effort=effort,
        design=design,
        shares=np.array(COUNTS) / N_CLIENTS,
        theorem=promised("sharp"),
        stated=promised("stated"),
        replications=table("certified", "count"),
        certified=table("certified", "sum"),
        recovered=table("recovered", "sum"),
        not_nested=int(nested_fails.sum()),
    )


def _counts(rows: pd.DataFrame, cells: list[Cell], replications: int) -> dict[str, tuple[int, int, int]]:
    good = rows[(rows["status"] == "ok") & (rows["replication"] < replications)]
    result = {}
    for cell in cells:
        mine = good[good["cell"] == cell.hash]
        result[cell.hash] = (len(mine), int(mine["certified"].sum()), int(mine["recovered"].sum()))
    return result


def _undecided(level: float, n: int, *counts: int) -> bool:
    """Whether some interval at confidence 1 − ``level`` contains one half."""
    for count in counts:
        low, high = proportion_confint(count, n, alpha=level, method="wilson") if n else (0.0, 1.0)
        if low < 0.5 < high:
            return True
    return False
