"""Maps of theorem ⊂ certificate ⊂ empirical recovery, sampled where the border runs.

Every grid point first gets a few replications.  Then, stage by stage, the points whose 95 % interval for the
probability of recovery or of a certificate still contains one half get more, until the budget of the effort is spent.
All replications are rows of one store, so a finer map continues a coarser one.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import matplotlib
import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from clair_stats.estimates import ClientEstimates
from clair_stats.files import written_whole
from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.records import BoolArray, FloatArray
from clair_stats.theory import certificate_bounds
from simulations.design import Cell, Study, crossed
from simulations.regimes.instance import Instance
from simulations.storage.store import load_rows
from simulations.streams import Streams
from theory_checks.claim import ROOT_SEED, Effort
from theory_checks.claims.exact_recovery import RecoveryMethod
from theory_checks.judge.complete import run_to_the_end

__all__ = ["MAPS", "SampledMap", "draw_map", "sample_map"]

_N_CLIENTS = 20


@dataclass(frozen=True, kw_only=True)
class MapRegime:
    """Coordinated contamination of rank r, benign blocks with orthonormal columns but one that carries more leverage.

    Parameters
    ----------
    n_contaminated, rank : int
    incoherence : float
        μ of the benign coefficients, exactly.
    penalty_factor : float
        λ in units of √(r/K).
    """

    name: ClassVar[str] = "map"

    n_contaminated: int = 4
    rank: int = 2
    incoherence: float = 1.0
    penalty_factor: float = 1.5
    n_clients: int = _N_CLIENTS
    p: int = 12
    q: int = 4

    def generate(self, streams: Streams) -> Instance:
        """Truth and contamination from the stream "truth"."""
        generator = streams.generator("truth")
        n_benign = self.n_clients - self.n_contaminated
        basis = orthonormal_basis(generator.standard_normal((self.p, self.rank)), self.rank)
        blocks = generator.standard_normal((self.n_clients, self.q, self.rank))
        coefficients = np.stack([orthonormal_basis(block, self.rank) for block in blocks])
        # One client scaled by a has leverage r·a²/(a² + |C| − 1), the largest.
        coefficients[0] *= np.sqrt(self.incoherence * (n_benign - 1) / (n_benign - self.incoherence))
        off = orthonormal_basis(project_off(basis, generator.standard_normal((self.p, self.rank))), self.rank)
        values = np.einsum("pi,kqi->kpq", basis, coefficients)
        mask = np.arange(self.n_clients) < n_benign
        values[~mask] = np.einsum(
            "pi,kiq->kpq", off, generator.standard_normal((self.n_contaminated, self.rank, self.q))
        )
        return Instance(
            targets=values,
            basis=basis,
            common=np.zeros((self.p, self.q)),
            coefficients=np.where(mask[:, None, None], coefficients, 0.0),
            heterogeneity=np.zeros_like(values),
            collaborative_set=mask,
            estimates=ClientEstimates(values=values),
            extras={"block_penalty": self.block_penalty, "common_component": False},
        )

    @property
    def block_penalty(self) -> float:
        """λ."""
        return float(self.penalty_factor * np.sqrt(self.rank / self.n_clients))


@dataclass(frozen=True)
class MapDesign:
    """One map: contaminated clients against one field of :class:`MapRegime`."""

    axis: str
    values: tuple[float, ...]
    label: str


MAPS: dict[str, MapDesign] = {
    "share-rank": MapDesign("rank", (1, 2, 3, 4), "rank $r$"),
    "share-penalty": MapDesign("penalty_factor", (0.7, 0.9, 1.1, 1.3, 1.5, 1.8, 2.2, 2.7), r"$\lambda\,/\,\sqrt{r/K}$"),
    "share-incoherence": MapDesign("incoherence", (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0), r"incoherence $\mu$"),
}
_COUNTS = tuple(range(1, 13))
# Replications of every point, then of the points at the border, stage by stage.
_STAGES: dict[Effort, tuple[int, ...]] = {"quick": (4, 10), "standard": (10, 30, 100), "full": (20, 60, 200, 600)}


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
        """Wilson 95 % interval of a probability at every point."""
        low, high = proportion_confint(counts.ravel(), self.replications.ravel(), method="wilson")
        return np.asarray(low).reshape(counts.shape), np.asarray(high).reshape(counts.shape)


def _point(axis: str, value: float, count: int) -> MapRegime:
    regime = MapRegime(n_contaminated=count)
    if axis == "rank":
        return dataclasses.replace(regime, rank=int(value))
    if axis == "incoherence":
        return dataclasses.replace(regime, incoherence=value)
    return dataclasses.replace(regime, penalty_factor=value)


def _regimes(design: MapDesign) -> list[list[MapRegime]]:
    return [[_point(design.axis, value, count) for count in _COUNTS] for value in design.values]


def _promised(regime: MapRegime, form: str) -> bool:
    n_benign = regime.n_clients - regime.n_contaminated
    return certificate_bounds(
        block_leverage=regime.incoherence * regime.rank / n_benign,
        n_benign=n_benign,
        n_contaminated=regime.n_contaminated,
        block_penalty=regime.block_penalty,
        common_component=False,
        form="stated" if form == "stated" else "sharp",
    ).holds


def sample_map(name: str, effort: Effort, folder: Path, **options: Any) -> SampledMap:  # noqa: ANN401 - for run_study
    """Sample one of :data:`MAPS`; continues what the store holds.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in MAPS:
        raise ValueError(f"map {name!r} is unknown; choose among {', '.join(MAPS)}")
    design = MAPS[name]
    regimes = _regimes(design)
    method = RecoveryMethod(tol=1e-6, second_tol=None, max_iterations=5000)
    cells = [[crossed(regime, method)[0] for regime in row] for row in regimes]
    flat = [cell for row in cells for cell in row]
    study = Study(
        name=f"map-{name}",
        title=f"Map of recovery: share against {design.axis}",
        cells=tuple(flat),
        replications=_STAGES[effort][-1],
        root_seed=ROOT_SEED,
        aims="theorem ⊂ certificate ⊂ empirical recovery",
    )
    store = folder / f"{study.name}.sqlite"
    active = flat
    for stage, replications in enumerate(_STAGES[effort]):
        run_to_the_end(dataclasses.replace(study, cells=tuple(active), replications=replications), store, **options)
        if stage + 1 < len(_STAGES[effort]):
            counts = _counts(load_rows(store, study), active, replications)
            active = [cell for cell in active if _undecided(*counts[cell.hash])] or active[:1]
    rows = load_rows(store, study)
    good = rows[rows["status"] == "ok"]
    grouped = good.groupby("cell")[["certified", "recovered"]].agg(["sum", "count"])

    def table(column: str, statistic: str) -> FloatArray:
        return np.array([[float(grouped[column][statistic][cell.hash]) for cell in row] for row in cells])

    promise = {
        form: np.array([[float(_promised(r, form)) for r in row] for row in regimes]) for form in ("sharp", "stated")
    }
    nested_fails = ((good["theorem"] == 1) & (good["certified"] == 0)) | (
        (good["certified"] == 1) & (good["recovered"] == 0) & (good["relative_gap"] <= 1e-5)
    )
    return SampledMap(
        name=name,
        effort=effort,
        design=design,
        shares=np.array(_COUNTS) / _N_CLIENTS,
        theorem=promise["sharp"],
        stated=promise["stated"],
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


def _undecided(n: int, *counts: int) -> bool:
    """Whether some 95 % interval contains one half."""
    for count in counts:
        low, high = proportion_confint(count, n, method="wilson") if n else (0.0, 1.0)
        if low < 0.5 < high:
            return True
    return False


def _borders(inside: BoolArray, x: FloatArray, y: FloatArray) -> list[list[tuple[float, float]]]:
    """Segments along the edges between grid cells (len(y), len(x)) of which one is inside and the other is not.

    Cells, not interpolated contours: between two grid points nobody has looked, and interpolated lines of nested sets
    can cross there.
    """
    across, along = _cell_edges(x), _cell_edges(y)
    segments = []
    for i, j in np.argwhere(inside[:, 1:] != inside[:, :-1]):
        segments.append([(across[j + 1], along[i]), (across[j + 1], along[i + 1])])
    for i, j in np.argwhere(inside[1:] != inside[:-1]):
        segments.append([(across[j], along[i + 1]), (across[j + 1], along[i + 1])])
    return segments


def _cell_edges(centers: FloatArray) -> FloatArray:
    middle = (centers[1:] + centers[:-1]) / 2
    return np.concatenate([[2 * centers[0] - middle[0]], middle, [2 * centers[-1] - middle[-1]]])


def draw_map(sampled: SampledMap, path: str | os.PathLike[str]) -> list[Path]:
    """Draw one map as PDF and PNG at ``path`` (its suffix is replaced); returns the two paths.

    Grey: share of recovered instances.  Lines run along the edges of grid cells: around the cells where the theorem
    holds (sharp form solid, as stated dotted), and around those where the lower (solid) and the upper (dotted) 95 %
    limit of the probability of a certificate, and of recovery, is above one half.
    """
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    x, y = sampled.shares, np.asarray(sampled.design.values, dtype=float)
    rate = sampled.recovered / sampled.replications
    mesh = axes.pcolormesh(x, y, rate, cmap="Greys_r", vmin=0, vmax=1, shading="nearest", alpha=0.6)
    figure.colorbar(mesh, ax=axes, label="share recovered")
    handles = []
    lower, upper = sampled.interval(sampled.certified)
    least, most = sampled.interval(sampled.recovered)
    lines: tuple[tuple[FloatArray, str, Literal["-", ":"], float, str], ...] = (
        (lower, "tab:blue", "-", 3.2, "certificate, lower and upper 95 % limit"),
        (upper, "tab:blue", ":", 3.2, ""),
        (least, "tab:orange", "-", 1.5, "recovery, lower and upper 95 % limit"),
        (most, "tab:orange", ":", 1.5, ""),
        (sampled.theorem, "tab:green", "-", 1.5, "theorem, sharp"),
        (sampled.stated, "tab:green", ":", 1.5, "theorem, as stated"),
    )
    for region, colour, style, width, label in lines:
        segments = _borders(np.asarray(region) > 0.5, x, y)
        axes.add_collection(LineCollection(segments, colors=colour, linestyles=style, linewidths=width))
        if label:
            handles.append(Line2D([], [], color=colour, linestyle=style, linewidth=width, label=label))
    axes.set_xlabel(r"share of contaminated clients $|O|/K$")
    axes.set_ylabel(sampled.design.label)
    axes.set_yticks(y)
    figure.legend(handles=handles, fontsize=6, frameon=False, ncols=2, loc="outside upper left")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix in (".pdf", ".png"):
        final = target.with_name(target.name + suffix)
        metadata = {"CreationDate": None} if suffix == ".pdf" else {"Software": None}
        with written_whole(final) as beside:
            figure.savefig(beside, dpi=150, metadata=metadata)
        paths.append(final)
    plt.close(figure)
    return paths
