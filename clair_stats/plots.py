"""Pictures of a fitted CLAIR model; drawn off screen, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from clair_stats.clair import CLAIR

__all__ = ["draw_scores", "plot_scores", "save_figure"]

_BENIGN, _FLAGGED = "#4477aa", "#cc3311"
_MOST_NAMES = 60


def save_figure(figure: Figure, path: Path) -> None:
    """Write beside and rename; no date in the file, so that the same figure gives the same bytes."""
    metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(path.suffix.lower(), {})
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    try:
        figure.savefig(name, dpi=150, metadata=metadata)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def draw_scores(model: CLAIR, axes: Axes) -> None:
    """Scores ρ_k with their thresholds, largest ratio first."""
    detection = model.detection_
    scores, thresholds = detection.scores, detection.threshold
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(thresholds > 0, scores / thresholds, np.where(scores > 0, np.inf, 0.0))
    order = np.argsort(-ratio, kind="stable")
    positions = np.arange(order.size)
    flagged = ~detection.collaborative_set[order]
    for mask, colour, label in ((flagged, _FLAGGED, "flagged"), (~flagged, _BENIGN, "benign")):
        if mask.any():
            axes.plot(positions[mask], scores[order][mask], "o", color=colour, label=label, markersize=5)
    axes.step(positions, thresholds[order], where="mid", color="black", linewidth=1, label="threshold")
    positive = scores[scores > 0]
    if positive.size and scores.max() > 20 * np.median(positive):
        axes.set_yscale("log")
    axes.set_ylabel("score: off-subspace residual norm")
    axes.set_title(f"{int((~detection.collaborative_set).sum())} of {scores.size} clients flagged, rank {model.rank_}")
    if scores.size <= _MOST_NAMES:
        axes.set_xticks(positions, [model.client_names_[k] for k in order], rotation=90, fontsize=7)
    else:
        axes.set_xlabel("clients, most suspicious first")
    axes.legend(frameon=False)


def plot_scores(model: CLAIR, path: Path) -> None:
    """Draw the scores of a fitted model into a file (.png, .pdf or .svg)."""
    n_clients = model.detection_.scores.size
    figure = Figure(figsize=(min(max(6.0, 0.17 * n_clients + 2.0), 14.0), 4.2), layout="constrained")
    draw_scores(model, figure.subplots())
    save_figure(figure, path)
