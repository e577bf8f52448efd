"""The copying page: ``python -m reports.copying_gallery`` writes docs/gallery/copying.md and its pictures.

Tables come from the stores of the studies ``copying``, ``copying_detection``, ``copying_exact_set``,
``copying_contaminations`` and ``copying_map``; the pictures and the certificate of one federation from replication 0 of
the first, drawn again from its streams.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from simulations.copying.regime import CopyingMethod, CopyingRegime
from simulations.design import Study
from simulations.storage.store import load_rows
from simulations.streams import Streams
from simulations.studies import (
    copying,
    copying_contaminations,
    copying_detection,
    copying_exact_set,
    copying_map,
)

if TYPE_CHECKING:
    from simulations.copying.federated import World

__all__ = ["main"]

_FOLDER = Path("docs/gallery")
_TEMPLATE = Path(__file__).parent / "templates" / "copying.md"
_NAMES = {
    "base": "base model",
    "local": "local",
    "factor_average": "average of factors",
    "average": "average of products",
    "coordinate_median": "entrywise median",
    "trimmed_mean": "trimmed mean",
    "geometric_median": "geometric median",
    "krum": "Krum",
    "multi_krum": "multi-Krum",
    "clair": "CLAIR",
    "oracle_average": "oracle average",
    "oracle_clair": "oracle CLAIR",
}


def _rows(study: Study) -> pd.DataFrame:
    store = Path("results") / f"{study.name}.sqlite"
    if not store.exists():
        raise SystemExit(f"{store}: no such store; run `python -m simulations run {study.name}` first")
    rows = load_rows(store, study)
    return rows[rows["status"] == "ok"]


def _save(figure: Figure, name: str) -> None:
    handle, path = tempfile.mkstemp(dir=_FOLDER, suffix=".png")
    os.close(handle)
    figure.savefig(path, dpi=80, bbox_inches="tight", metadata={"Software": None})
    os.chmod(path, 0o644)
    os.replace(path, _FOLDER / name)


def _accuracy_table(rows: pd.DataFrame) -> str:
    lines = [
        "| method | rounds | own | common | common rule | own sequences |",
        "|---|---|---|---|---|---|",
    ]
    columns = ("own_accuracy", "common_accuracy", "common_rule_accuracy", "own_sequences")
    cells_of_study = dict.fromkeys(
        zip(rows["method.rounds"].tolist(), rows["method.aggregation"].tolist(), strict=True)
    )
    for rounds, method in cells_of_study:
        group = rows[(rows["method.rounds"] == rounds) & (rows["method.aggregation"] == method)]
        cells = (f"{group[c].mean():.3f} ({group[c].sem():.3f})" for c in columns)
        lines.append(f"| {_NAMES[method]} | {rounds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _paired_table(rows: pd.DataFrame) -> str:
    lines = ["| CLAIR minus | rounds | own | common | common rule |", "|---|---|---|---|---|"]
    for rounds in (1, 3):
        for rival in ("local", "average", "oracle_average"):
            cells = []
            for metric in ("own_accuracy", "common_accuracy", "common_rule_accuracy"):
                table = rows[rows["method.rounds"] == rounds].pivot(
                    index="replication", columns="method.aggregation", values=metric
                )
                difference = (table["clair"] - table[rival]).to_numpy()
                mean, error = difference.mean(), stats.sem(difference)
                half = float(stats.t.ppf(0.975, difference.size - 1)) * error
                cells.append(f"{mean:+.3f} [{mean - half:+.4f}, {mean + half:+.4f}]")
            lines.append(f"| {_NAMES[rival]} | {rounds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(indicator: pd.Series) -> tuple[str, float, float]:
    """Hits of total with the Wilson 95 % interval, and its ends."""
    hits, n = int(indicator.sum()), len(indicator)
    low, high = stats.binomtest(hits, n).proportion_ci(method="wilson")
    return f"{hits} of {n} (Wilson 95 % interval [{low:.3f}, {high:.3f}])", float(low), float(high)


def _counts(rows: pd.DataFrame) -> tuple[int, int, int]:
    """Contaminated clients found and missed, benign ones flagged."""
    return tuple(int(rows[name].sum()) for name in ("true_positives", "false_negatives", "false_positives"))  # type: ignore[return-value]


def _exact_line(rows: pd.DataFrame) -> str:
    exact, low, high = _share(rows["exact_set"])
    right, missed, wrong = _counts(rows)
    rate = "shown" if low >= 0.95 else "refuted" if high < 0.95 else "not shown"
    return (
        f"Exact set in {exact} federations; {right} contaminated clients found, {missed} missed, {wrong} benign ones "
        f"flagged. By the rule fixed before the run, a rate of at least 0.95 is **{rate}**."
    )


def _level_line(rows: pd.DataFrame) -> str:
    alarms, low, _ = _share(rows["any_false_alarm"])
    level = float(rows["method.level"].iloc[0])
    return (
        f"Without contamination somebody was flagged in {alarms} federations, at the level {level:g} for the whole "
        f"federation, which is **{'kept' if low <= level else 'not kept'}** by the rule fixed before the run."
    )


def _contamination_table(rows: pd.DataFrame) -> str:
    shown = ("local", "average", "coordinate_median", "geometric_median", "krum", "multi_krum", "clair", "clair rows")
    names = [_NAMES.get(name, "CLAIR, shared rows") for name in (*shown, "oracle_average")]
    method = rows["method.aggregation"].where(rows["method.shared"] != "rows", rows["method.aggregation"] + " rows")
    kind = rows["regime.contamination"].where(rows["regime.source"] == "tokens", "random_mapping, text")
    lines = [
        f"| contamination | exact set | found, missed, wrongly flagged | {' | '.join(names)} |",
        "|" + "---|" * (len(names) + 3),
    ]
    attacked = [f"| success of the backdoor | {' | '.join(names)} |", "|" + "---|" * (len(names) + 1)]
    for name in dict.fromkeys(kind):
        part = {m: rows[(kind == name) & (method == m)] for m in (*shown, "oracle_average")}
        found = part["clair"]
        cells = (f"{part[m]['own_accuracy'].mean():.2f} ({part[m]['own_accuracy'].sem():.2f})" for m in part)
        right, missed, wrong = _counts(found)
        words = str(name).replace("_", " ")
        exact = f"{int(found['exact_set'].sum())} of {len(found)}"
        lines.append(f"| {words} | {exact} | {right}, {missed}, {wrong} | {' | '.join(cells)} |")
        if name == "backdoor":
            success = (f"{p['backdoor_success'].mean():.2f} ({p['backdoor_success'].sem():.2f})" for p in part.values())
            attacked.append(f"| benign clients | {' | '.join(success)} |")
    return "\n".join(lines) + "\n\n" + "\n".join(attacked)


def _certificate_table(world: World) -> str:
    from simulations.copying.collaborate import unit_directions
    from simulations.copying.diagnostics import leverages, off_subspace_share, plug_in_certificates
    from simulations.copying.federated import first_collaboration

    found = first_collaboration(world, _method().rank, "columns")
    members, directions = found.collaborative_set, unit_directions(world.first.dense())
    shares = off_subspace_share(directions, found.bases, members)
    worst = leverages(directions, found.bases, members)
    lines = ["| module | off-subspace share | ν_c | η | κ | certified |", "|---|---|---|---|---|---|"]
    for name, certificate in plug_in_certificates(directions, found.bases, members).items():
        lines.append(
            f"| {name} | {shares[name]:.2f} | {worst[name]:.2f} | {certificate.eta:.2f} | {certificate.kappa:.2f} | "
            f"{'yes' if certificate.certified else 'no'} |"
        )
    return "\n".join(lines)


def _map_table(rows: pd.DataFrame) -> str:
    factors = ["regime.n_sequences", "regime.spread", "regime.contaminated_share"]
    shown = [
        "local_accuracy", "average_accuracy", "clair_accuracy", "exact_set", "foretold_gain", "realised_gain",
        "more_accurate", "sign_agreement", "module_sign_agreement", "off_subspace_share", "leverage",
    ]  # fmt: skip
    lines = [
        "| n | spread | share | local | average | CLAIR | exact set | gain foretold | gain realised | more accurate | "
        "signs agree | by module | off subspace | leverage |",
        "|" + "---|" * 14,
    ]
    for key, group in rows.groupby(factors):
        values = " | ".join(f"{group[name].mean():.2f}" for name in shown)
        lines.append(f"| {' | '.join(f'{k:g}' for k in key)} | {values} |")
    return "\n".join(lines)


def _accuracy_picture(rows: pd.DataFrame) -> None:
    figure = Figure(figsize=(8, 3.2))
    axes = figure.subplots(1, 2, sharey=True)
    for axis, rounds in zip(axes, (1, 3), strict=True):
        part = rows[rows["method.rounds"] == rounds]
        names = list(dict.fromkeys(part["method.aggregation"]))
        for i, (metric, label) in enumerate((("own_accuracy", "own"), ("common_accuracy", "common tokens"))):
            grouped = part.groupby("method.aggregation")[metric]
            axis.bar(
                np.arange(len(names)) + 0.4 * i, grouped.mean()[names], 0.38, yerr=grouped.sem()[names], label=label
            )
        axis.set_xticks(np.arange(len(names)) + 0.2, [_NAMES[n] for n in names], rotation=40, ha="right", fontsize=8)
        axis.set_title(f"{rounds} round{'s' if rounds > 1 else ''}", fontsize=9)
    axes[0].set_ylabel("token accuracy, benign clients")
    axes[0].set_ylim(0.0, 1.1)
    axes[0].legend(fontsize=8, ncols=2, loc="upper left")
    _save(figure, "copying-accuracy.png")


def _method() -> CopyingMethod:
    method = copying.STUDY.cells[0].method
    assert isinstance(method, CopyingMethod)
    return method


def _setting() -> dict[str, str]:
    """What the page says about the setting of the study."""
    regime = copying.STUDY.cells[0].regime
    assert isinstance(regime, CopyingRegime)
    return {
        "N_CLIENTS": str(regime.n_clients),
        "N_CONTAMINATED": str(round(regime.contaminated_share * regime.n_clients)),
        "N_SEQUENCES": str(regime.n_sequences),
        "SPREAD": f"{regime.spread:g}",
        "CHANGED": str(regime.changed_tokens),
        "PERSONAL": str(regime.personal_tokens),
        "LORA": str(regime.lora_rank),
        "RANK": str(_method().rank),
    }


def _world() -> World:
    cell = copying.STUDY.cells[0]
    world: World = cell.regime.generate(Streams(copying.STUDY.root_seed, cell.regime_hash, 0))
    return world


def _world_pictures(world: World) -> str:
    """Scores, spectra and curves of one federation; returns the worked client as Markdown."""
    from simulations.copying.diagnostics import spectra
    from simulations.copying.evaluate import score
    from simulations.copying.federated import run_rounds

    benign = world.federation.collaborative_set
    outcomes = {
        (m, t): run_rounds(world, m, rounds=t, rank=_method().rank)
        for m in ("local", "average", "clair")
        for t in (1, 2, 3)
    }
    found = outcomes["clair", 1].collaboration
    assert found is not None

    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    order = np.argsort(found.scores)
    left.scatter(np.arange(order.size), found.scores[order], c=np.where(benign[order], "tab:blue", "tab:red"), s=18)
    if np.isfinite(found.threshold):
        left.axhline(found.threshold, color="black", linewidth=0.8, linestyle="--")
    left.set(xlabel="clients, ordered", ylabel="leave-one-out score")
    left.set_title("blue: benign, red: contaminated, dashed: threshold", fontsize=8)
    for method in ("local", "average", "clair"):
        own = [
            score(world.base, outcomes[method, t].updates, world.tests.own).token_accuracy[benign].mean()
            for t in (1, 2, 3)
        ]
        right.plot((1, 2, 3), own, marker="o", label=_NAMES[method])
    right.set(xlabel="round", ylabel="own token accuracy, benign", xticks=(1, 2, 3))
    right.legend(fontsize=8)
    _save(figure, "copying-scores.png")

    figure = Figure(figsize=(6, 3))
    axis = figure.subplots()
    for name, values in spectra(world.first.dense(), benign).items():
        axis.plot(np.arange(1, values.size + 1), values / values[0], linewidth=0.9, label=name)
    axis.set(xlabel="index", ylabel="singular value / largest", yscale="log", ylim=(1e-3, 1.2), xlim=(0, 60))
    axis.legend(fontsize=7, ncols=2)
    _save(figure, "copying-spectra.png")
    return _worked_client(world, {m: outcomes[m, 3].updates for m in ("local", "average", "clair")})


def _worked_client(world: World, updates: dict[str, Any]) -> str:
    import torch

    from simulations.copying.finetune import sequence_tokens
    from simulations.copying.lora import merged
    from simulations.copying.transformer import forward

    k = int(np.flatnonzero(world.federation.collaborative_set)[0])
    x, y = (torch.as_tensor(np.array(a)) for a in (world.tests.common.x[:, :4], world.tests.common.y[:, :4]))
    tokens = sequence_tokens(world.base.config, x, y)
    lines = ["| | " + " | ".join(f"sequence {i + 1}" for i in range(4)) + " |", "|---|" + "---|" * 4]

    def line(label: str, written: torch.Tensor) -> None:
        cells = []
        for got, wanted in zip(written[k].tolist(), y[k].tolist(), strict=True):
            marked = (str(g) if g == w or label == "x" else f"**{g}**" for g, w in zip(got, wanted, strict=True))
            cells.append(" ".join(marked))
        lines.append(f"| {label} | {' | '.join(cells)} |")

    line("x", x)
    line("wanted y", y)
    parameters = world.base.to(torch.device("cpu"), torch.float32)
    with torch.no_grad():
        for method, blocks in updates.items():
            line(_NAMES[method], forward(world.base.config, merged(parameters, blocks), tokens).argmax(-1))
    return f"Client {k}, common tokens, after three rounds; wrong tokens are bold.\n\n" + "\n".join(lines)


def main() -> None:
    """Write the page and its pictures."""
    from simulations.copying.pretrain import one_thread

    mpl.rcParams["svg.hashsalt"] = "copying"
    rows, grid = _rows(copying.STUDY), _rows(copying_map.STUDY)
    detected, kinds = _rows(copying_detection.STUDY), _rows(copying_contaminations.STUDY)
    _FOLDER.mkdir(parents=True, exist_ok=True)
    _accuracy_picture(rows)
    with one_thread():
        world = _world()
        worked, certificate = _world_pictures(world), _certificate_table(world)
    page = _TEMPLATE.read_text(encoding="utf-8")
    parts = {
        "ACCURACY": _accuracy_table(rows),
        "PAIRED": _paired_table(rows),
        **_setting(),
        "FEDERATIONS": str(copying.STUDY.replications),
        "DETECTION": _exact_line(detected[detected["regime.contaminated_share"] > 0]),
        "EXACT": _exact_line(_rows(copying_exact_set.STUDY)),
        "LEVEL": _level_line(detected[detected["regime.contaminated_share"] == 0]),
        "CONTAMINATIONS": _contamination_table(kinds),
        "KINDS_FEDERATIONS": str(copying_contaminations.STUDY.replications),
        "MAP_FEDERATIONS": str(copying_map.STUDY.replications),
        "CERTIFICATE": certificate,
        "MAP": _map_table(grid),
        "WORKED": worked,
    }
    for key, text in parts.items():
        page = page.replace("{{" + key + "}}", text)
    beside = _FOLDER / ".copying.md"
    beside.write_text(page, encoding="utf-8")
    os.replace(beside, _FOLDER / "copying.md")


if __name__ == "__main__":
    main()
