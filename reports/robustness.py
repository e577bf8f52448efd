"""CLAIR without tuning beside oracles and baselines: every setting in one line, and what each criterion comes to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.inputs import StudyInput
from reports.numbers import with_error
from reports.tables import Column, Group, Table
from simulations.methods.clients_and_oracles import Clair, OracleClair, OracleDetection, OracleSetTest
from simulations.methods.combined import CombinedClair
from simulations.methods.robust_aggregators import RobustBaseline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["is_robustness", "robustness_figure", "robustness_tables"]

_KIND, _SCALE, _COMMON = "regime.contamination", "regime.contamination_scale", "regime.common_scale"
_MARGIN = 0.05
_RATIO = 1.1
_NORMAL = 1.96
# An oracle "detects" where it finds the set in nine runs of ten.
_DETECTS = 0.9
_SHORT = {
    CombinedClair.name: "comb.",
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


def is_robustness(item: StudyInput) -> bool:
    """Whether the study compares CLAIR with its oracles over many settings."""
    return item.study.name.startswith("robustness_")


def _names(fields: pd.DataFrame) -> list[str]:
    """What tells the settings of one group apart: crossed factors always, other fields where they are unusual."""
    parts: list[list[str]] = [[] for _ in range(len(fields))]
    for name, values in fields.items():
        counts = Counter(str(value) for value in values)
        usual = counts.most_common(1)[0][0]
        crossed = len(counts) > 1 and len(set(counts.values())) == 1
        words = str(name).removeprefix("regime.").replace("_", " ")
        for i, value in enumerate(values):
            if crossed or str(value) != usual:
                parts[i].append(f"{words} {value:g}" if isinstance(value, float) else f"{words} {value}")
    return [", ".join(part) or "as stated" for part in parts]


class _Settings:
    """The summary, one line per setting and one column per method and measure."""

    def __init__(self, item: StudyInput) -> None:
        found = item.summary
        baseline = found["method"] == RobustBaseline.name
        label = found["method"].where(~baseline, found.get("method.method"))
        fields = [name for name in found.columns if name.startswith("regime.")]
        key = pd.MultiIndex.from_frame(found[fields].astype(str))
        codes, _ = pd.factorize(key)
        frame = found.assign(setting=codes, label=label)
        self.first = frame.drop_duplicates("setting").set_index("setting")
        self.value = frame.pivot_table(index="setting", columns=["measure", "label"], values="value", sort=False)
        self.mcse = frame.pivot_table(index="setting", columns=["measure", "label"], values="mcse", sort=False)
        present = set(label[baseline])
        self.baselines = [name for name in _SHORT if name in present]
        several = self.first[_COMMON].nunique() > 1
        self.names = _names(self.first[[name for name in fields if name not in (_KIND, _SCALE, _COMMON)]])
        self.headings = [
            f"{kind.replace('_', ' ')} × {scale:g}" + (f", common component {common:g}" if several else "")
            for kind, scale, common in zip(self.first[_KIND], self.first[_SCALE], self.first[_COMMON], strict=True)
        ]

    def of(self, measure: str, method: str) -> pd.Series:
        """Values per setting; NaN where the method has no such measure."""
        empty = pd.Series(np.nan, index=self.first.index)
        return self.value.get((measure, method), empty).reindex(self.first.index)

    def error(self, measure: str, method: str) -> pd.Series:
        """Monte Carlo standard errors per setting."""
        empty = pd.Series(np.nan, index=self.first.index)
        return self.mcse.get((measure, method), empty).reindex(self.first.index)

    def groups(self, cells: list[tuple[str, ...]]) -> tuple[Group, ...]:
        """One group per heading."""
        lines: dict[str, list[tuple[str, ...]]] = {}
        for heading, name, row in zip(self.headings, self.names, cells, strict=True):
            lines.setdefault(heading, []).append((name, *row))
        return tuple(Group(heading, tuple(rows)) for heading, rows in lines.items())


def _best(data: _Settings, method: str) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Best baseline of every setting by mean squared error, and its paired difference to the method with its error."""
    errors = pd.DataFrame({name: data.of("mean refined_mse", name) for name in data.baselines})
    best = errors.idxmin(axis=1)
    paired = f"refined_mse − {method}"
    every = pd.DataFrame({name: data.of(paired, name) for name in data.baselines})
    spreads = pd.DataFrame({name: data.error(paired, name) for name in data.baselines})
    chosen = [list(errors.columns).index(str(name)) for name in best]
    lines = np.arange(len(best))
    difference = pd.Series(every.to_numpy()[lines, chosen], index=best.index)
    return best, difference, pd.Series(spreads.to_numpy()[lines, chosen], index=best.index)


def _ratio(data: _Settings, metric: str) -> tuple[pd.Series, pd.Series]:
    """CLAIR's mean over oracle CLAIR's, and how many standard errors CLAIR is above 1.1 times the oracle."""
    own, oracle = data.of(f"mean {metric}", Clair.name), data.of(f"mean {metric}", OracleClair.name)
    paired = f"{metric} − {Clair.name}"
    spread = data.error(paired, OracleClair.name) + (_RATIO - 1) * data.error(f"mean {metric}", OracleClair.name)
    excess = own - _RATIO * oracle
    # Where nothing varies (all zero) the criterion holds or fails exactly.
    with np.errstate(divide="ignore", invalid="ignore"):
        return own / oracle, (excess / spread).where(spread > 0, np.sign(excess) * np.inf).where(excess != 0, 0.0)


def _criteria(data: _Settings) -> list[tuple[str, pd.Series, pd.Series]]:
    """Name, whether it is met and whether it is missed by more than Monte Carlo error, per setting where it applies."""
    exact = f"exact_set − {Clair.name}"
    gap, error = data.of(exact, OracleDetection.name), data.error(exact, OracleDetection.name)
    found = [
        (
            f"P(Ĉ = C) at least oracle detection's minus {_MARGIN:g}",
            gap <= _MARGIN + 1e-12,
            gap - _NORMAL * error.fillna(0.0) > _MARGIN,
        )
    ]
    detects = data.of("P(exact_set)", OracleDetection.name) >= _DETECTS
    for metric, words in (("sin_theta", "subspace error"), ("refined_mse", "refined mean squared error")):
        ratio, excess = _ratio(data, metric)
        known = detects & ratio.notna()
        found.append(
            (
                f"{words} at most {_RATIO:g} × oracle CLAIR's, where oracle detection finds the set",
                (ratio <= _RATIO)[known],
                (excess > _NORMAL)[known],
            )
        )
    if not data.baselines:
        return found
    for method, words in ((Clair.name, "refined"), (CombinedClair.name, "combined")):
        if data.of("mean refined_mse", method).isna().all():
            continue
        _, difference, spread = _best(data, method)
        worse = difference + _NORMAL * spread.fillna(0.0) < 0
        found.append((f"{words} mean squared error at most the best baseline's", difference >= 0, worse))
        oracle = data.of(f"refined_mse − {method}", OracleClair.name)
        beaten = difference[worse] < oracle[worse]
        found.append(("    of these, the best baseline is ahead of oracle CLAIR as well", beaten, ~beaten))
    return found


def robustness_tables(item: StudyInput) -> list[Table]:
    """Criteria; CLAIR beside the oracles, setting by setting; errors of all methods with ranks."""
    data = _Settings(item)
    notes = [f"{item.study.replications} replications of each setting.", *item.set_aside]
    name = item.study.name.replace("_", "-")
    rows = []
    for words, met, clearly in _criteria(data):
        aside = words.startswith(" ")
        cells = (int(met.sum()), "--" if aside else int((~met & ~clearly).sum()), "--" if aside else int(clearly.sum()))
        rows.append((words.strip(), str(len(met)), *(str(cell) for cell in cells)))
    tables = [
        Table(
            name=f"criteria-{name}",
            caption=f"{item.study.title}: in how many settings each criterion is met.",
            columns=(
                Column("criterion", is_number=False, width="0.52\\linewidth"),
                Column("settings"),
                Column("met"),
                Column("missed within error"),
                Column("missed"),
            ),
            groups=(Group("", tuple(rows)),),
            provenance=item.provenance,
            notes=(*notes, "Within error: by less than 1.96 Monte Carlo standard errors of the paired difference."),
        )
    ]
    return [*tables, _oracle_table(item, data, name, notes), *_error_tables(item, data, name)]


def _oracle_table(item: StudyInput, data: _Settings, name: str, notes: list[str]) -> Table:
    sine, _ = _ratio(data, "sin_theta")
    error, _ = _ratio(data, "refined_mse")
    shown = [("P(exact_set)", method) for method in (Clair.name, OracleDetection.name, OracleSetTest.name)]
    shown.append(("P(false_alarm)", Clair.name))
    columns = [
        [with_error(value, spread) for value, spread in zip(data.of(*column), data.error(*column), strict=True)]
        for column in shown
    ]
    columns += [[f"{value:.2f}" if np.isfinite(value) else "--" for value in ratio] for ratio in (sine, error)]
    cells = list(zip(*columns, strict=True))
    return Table(
        name=f"oracles-{name}",
        caption=f"{item.study.title}: detection, and errors over those of oracle CLAIR.",
        columns=(
            Column("setting", is_number=False, width="0.25\\linewidth"),
            Column("P(Ĉ = C) CLAIR"),
            Column("oracle detection"),
            Column("test on true set"),
            Column("false alarm CLAIR"),
            Column("sin Θ ratio"),
            Column("MSE ratio"),
        ),
        groups=data.groups(cells),
        provenance=item.provenance,
        notes=(
            *notes,
            "Oracle detection knows U*, M* and the noise; the test on the true set knows the set and the rank and "
            "estimates the rest; oracle CLAIR is CLAIR's fit on the true set.",
        ),
        size="scriptsize",
    )


def _error_tables(item: StudyInput, data: _Settings, name: str) -> list[Table]:
    if not data.baselines:
        return []
    own = [name for name in (Clair.name, CombinedClair.name) if data.of("mean refined_mse", name).notna().any()]
    methods = [*own, *data.baselines]
    errors = pd.DataFrame({method: data.of("mean refined_mse", method) for method in methods})
    ranks = errors.rank(axis=1, method="min")
    ratios = errors.div(errors.min(axis=1), axis=0)
    oracle = data.of("mean refined_mse", OracleClair.name) / errors.min(axis=1)
    cells = [
        (*(f"{_short(ratio)}/{rank:.0f}" for ratio, rank in zip(line, places, strict=True)), _short(limit))
        for line, places, limit in zip(ratios.to_numpy(), ranks.to_numpy(), oracle.to_numpy(), strict=True)
    ]
    groups = data.groups(cells)
    mean = ("mean rank", *(f"{errors.rank(axis=1)[m].mean():.2f}" for m in methods), "--")
    return [
        Table(
            name=f"errors-{name}",
            caption=(
                f"{item.study.title}: mean squared error of benign clients over that of the best method (CLAIR and "
                "baselines), and rank."
            ),
            columns=(
                Column("setting", is_number=False, width="0.13\\linewidth"),
                *(Column(_SHORT.get(m, m), is_number=False) for m in methods),
                Column("oracle", is_number=False),
            ),
            groups=(*groups, Group("all settings", (mean,))),
            provenance=item.provenance,
            notes=(
                "CLAIR is told nothing; every baseline is told the rank, the number of contaminated clients and the "
                "noise. FMS: fast median subspace; STE: subspace-constrained Tyler; TGF: spectral method of Tian, Gu "
                "and Feng; m. SVD: SVD after median centring; comb.: CLAIR's combined estimates, in which flagged "
                "clients inform the rest; oracle: CLAIR's fit on the true set, not ranked.",
            ),
            size="tiny",
        )
    ]


def _short(ratio: float) -> str:
    if not np.isfinite(ratio):
        return "--"
    if ratio < 10:
        return f"{ratio:.2f}"
    return f"{ratio:.0f}" if ratio < 100 else "99+"


def robustness_figure(item: StudyInput) -> Figure | None:
    """Probability of the exact set against the oracle's, and the mean squared error over the best baseline's."""
    from reports.figures import new_figure

    data = _Settings(item)
    oracle, own = data.of("P(exact_set)", OracleDetection.name), data.of("P(exact_set)", Clair.name)
    if own.isna().all():
        return None
    figure, axes = new_figure(7.2, 3.2, 2 if data.baselines else 1)
    kinds = list(dict.fromkeys(data.first[_KIND]))
    for i, kind in enumerate(kinds):
        chosen = data.first[_KIND] == kind
        axes[0].plot(
            oracle[chosen], own[chosen], "o^sDvP*X"[i % 8], markersize=4, alpha=0.6, label=kind.replace("_", " ")
        )
    axes[0].plot([0, 1], [0, 1], color="0.4", linewidth=0.8)
    axes[0].plot([_MARGIN, 1], [0, 1 - _MARGIN], color="0.4", linewidth=0.8, linestyle=":")
    axes[0].set(xlabel="P(exact set), oracle detection", ylabel="P(exact set), CLAIR")
    axes[0].legend(fontsize=6, frameon=False)
    if data.baselines:
        for method, words in ((Clair.name, "refined"), (CombinedClair.name, "combined")):
            error = data.of("mean refined_mse", method)
            if error.isna().all():
                continue
            _, difference, _ = _best(data, method)
            ratio = np.sort((error / (error + difference)).to_numpy(float))
            axes[1].plot(ratio, np.arange(1, ratio.size + 1) / ratio.size, drawstyle="steps-post", label=words)
        axes[1].axvline(1.0, color="0.4", linewidth=0.8)
        axes[1].legend(fontsize=6, frameon=False)
        axes[1].set(
            xscale="log", xlabel="MSE of CLAIR over the best baseline's", ylabel="share of settings", ylim=(0, 1)
        )
    return figure
