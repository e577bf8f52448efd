"""The copying page: ``python -m reports.copying_gallery`` writes docs/gallery/copying.md and its pictures.

Tables come from the stores of the studies ``copying`` and ``copying_map``; the pictures of one federation from
replication 0 of the first, drawn again from its streams.
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

from simulations.design import Study
from simulations.store import load_rows
from simulations.streams import Streams
from simulations.studies import copying, copying_map

if TYPE_CHECKING:
    from clair_stats.copying.federated import World

__all__ = ["main"]

_FOLDER = Path("docs/gallery")
_TEMPLATE = Path(__file__).parent / "templates" / "copying.md"
_NAMES = {
    "base": "base model",
    "local": "local",
    "factor_average": "average of factors",
    "average": "average of products",
    "median": "entrywise median",
    "trimmed_mean": "trimmed mean",
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


def _detection_line(rows: pd.DataFrame) -> str:
    found = rows[(rows["method.aggregation"] == "clair") & (rows["method.rounds"] == 1)]
    hits, n = int(found["exact_set"].sum()), len(found)
    low, high = stats.binomtest(hits, n).proportion_ci(method="wilson")
    right, wrong, missed = (int(found[name].sum()) for name in ("true_positives", "false_positives", "false_negatives"))
    return (
        f"Exact set in {hits} of {n} federations (Wilson 95 % interval [{low:.2f}, {high:.2f}]); "
        f"{right} contaminated clients found, {missed} missed, {wrong} benign ones flagged."
    )


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
    axes[0].legend(fontsize=8)
    _save(figure, "copying-accuracy.png")


def _world() -> World:
    cell = copying.STUDY.cells[0]
    world: World = cell.regime.generate(Streams(copying.STUDY.root_seed, cell.regime_hash, 0))
    return world


def _world_pictures(world: World) -> str:
    """Scores, spectra and curves of one federation; returns the worked client as Markdown."""
    from clair_stats.copying.diagnostics import spectra
    from clair_stats.copying.evaluate import score
    from clair_stats.copying.federated import run_rounds

    benign = world.federation.collaborative_set
    outcomes = {(m, t): run_rounds(world, m, rounds=t) for m in ("local", "average", "clair") for t in (1, 2, 3)}
    found = outcomes["clair", 1].collaboration
    assert found is not None

    figure = Figure(figsize=(8, 3))
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

    from clair_stats.copying.finetune import sequence_tokens
    from clair_stats.copying.lora import merged
    from clair_stats.copying.transformer import forward

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
    from clair_stats.copying.pretrain import one_thread

    mpl.rcParams["svg.hashsalt"] = "copying"
    rows, grid = _rows(copying.STUDY), _rows(copying_map.STUDY)
    _FOLDER.mkdir(parents=True, exist_ok=True)
    _accuracy_picture(rows)
    with one_thread():
        worked = _world_pictures(_world())
    page = _TEMPLATE.read_text(encoding="utf-8")
    parts = {
        "ACCURACY": _accuracy_table(rows),
        "PAIRED": _paired_table(rows),
        "DETECTION": _detection_line(rows),
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
