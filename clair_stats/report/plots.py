"""Figures of a fitted CLAIR model, drawn off screen and written completely or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clair_stats.files import written_whole
from clair_stats.laws import noise_edge
from clair_stats.records import FloatArray
from clair_stats.report.fitted import FittedModel
from clair_stats.report.margins import most_suspicious_first

__all__ = ["draw_modules", "draw_plane", "draw_scores", "draw_spectrum", "new_axes", "plot_model", "save_figure"]

_BENIGN, _FLAGGED, _UNDECIDED = "#4477aa", "#cc3311", "#bbbbbb"
_MOST_NAMES = 60
_STANDS_OUT = 6.0  # the colour scale ends where a client is beyond doubt


def save_figure(figure: Figure, path: Path) -> None:
    """Write beside and rename; no date in the file, so that the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : Path
        Ends in .png, .pdf or .svg.
    """
    metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(path.suffix.lower(), {})
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=150, metadata=metadata)


def new_axes() -> Axes:
    """Axes on a figure of their own, which no window shows.

    Returns
    -------
    matplotlib.axes.Axes
    """
    return Figure(figsize=(9.0, 4.0), layout="constrained").subplots()


def draw_scores(model: FittedModel, axes: Axes) -> None:
    """Scores ρ_k with their thresholds, largest ratio first.

    Parameters
    ----------
    model : FittedModel
    axes : matplotlib.axes.Axes
    """
    detection = model.detection_
    scores, thresholds = detection.scores, detection.threshold
    order = most_suspicious_first(scores, thresholds)
    positions = np.arange(order.size)
    flagged = model.flagged_[order]
    other = (_BENIGN, "benign") if model.majority_ else (_UNDECIDED, "undecided")
    for mask, colour, label in ((flagged, _FLAGGED, "flagged"), (~flagged, *other)):
        if mask.any():
            axes.plot(positions[mask], scores[order][mask], "o", color=colour, label=label, markersize=5)
    axes.step(positions, thresholds[order], where="mid", color="black", linewidth=1, label="threshold")
    positive = scores[scores > 0]
    if positive.size and scores.max() > 20 * np.median(positive):
        axes.set_yscale("log")
    axes.set_ylabel("score: off-subspace residual norm")
    rank = f", rank {model.rank_}" if isinstance(model.rank_, int) else ""
    told = f"{int(flagged.sum())} of {scores.size} clients flagged" if model.majority_ else "no collaborative majority"
    axes.set_title(f"{told}{rank}")
    if scores.size <= _MOST_NAMES:
        axes.set_xticks(positions, [model.client_names_[k] for k in order], rotation=90, fontsize=7)
    else:
        axes.set_xlabel("clients, most suspicious first")
    axes.legend(frameon=False)


def draw_spectrum(model: FittedModel, axes: Axes) -> None:
    """Singular values of the benign stack about its centre, with the noise edge behind the shared rank.

    Parameters
    ----------
    model : FittedModel
    axes : matplotlib.axes.Axes
    """
    fit = model.consensus_.fit
    values = np.sqrt(fit.eigenvalues)
    shown = min(values.size, max(12, 3 * model.rank_))
    positions = np.arange(1, shown + 1)
    shared = positions <= model.rank_
    axes.plot(positions[shared], values[:shown][shared], "o", color=_BENIGN, label="shared")
    axes.plot(positions[~shared], values[:shown][~shared], "o", color="#bbbbbb", label="left over")
    p, q = values.size, model.refinement_.estimates.shape[2]
    columns = (int(fit.members.sum()) - int(model.common_component)) * q - model.rank_
    if columns > 0 and p > model.rank_:
        noise = model.consensus_.calibrated.noise
        axes.axhline(
            noise * np.sqrt(noise_edge(p - model.rank_, columns)), color="black", linewidth=1, label="noise edge"
        )
    axes.set_xlabel("dimension")
    axes.set_ylabel("singular value, noise-whitened")
    axes.set_title("spectrum of the collaborative set")
    axes.legend(frameon=False)


def draw_plane(model: FittedModel, axes: Axes) -> None:
    """Clients in the two directions in which their off-subspace residuals differ most, each scaled by its noise.

    Parameters
    ----------
    model : FittedModel
    axes : matplotlib.axes.Axes
    """
    residual = model.residuals_.reshape(model.scores_.size, -1)
    left, sizes, _ = np.linalg.svd(residual - residual[model.collaborative_set_].mean(axis=0), full_matrices=False)
    plane = np.zeros((residual.shape[0], 2))
    kept = min(2, sizes.size)
    plane[:, :kept] = left[:, :kept] * sizes[:kept]
    for mask, colour, label in (
        (~model.collaborative_set_, _FLAGGED, "flagged"),
        (model.collaborative_set_, _BENIGN, "benign"),
    ):
        if mask.any():
            axes.plot(plane[mask, 0], plane[mask, 1], "o", color=colour, label=label, markersize=5)
    axes.set_xlabel("first direction of the residuals")
    axes.set_ylabel("second direction")
    axes.set_title("clients off the shared subspace")
    axes.legend(frameon=False)


def draw_modules(scores: Mapping[str, FloatArray], names: tuple[str, ...], axes: Axes) -> None:
    """Standard deviations of every client above the benign ones, module by module.

    Parameters
    ----------
    scores : mapping of str to ndarray, shape (K,)
        Module to scores, in standard deviations of the benign clients.
    names : tuple of str
        Of the K clients.
    axes : matplotlib.axes.Axes
    """
    table = np.stack(list(scores.values()))
    image = axes.imshow(table, aspect="auto", cmap="RdBu_r", vmin=-_STANDS_OUT, vmax=_STANDS_OUT)
    axes.figure.colorbar(image, ax=axes, label="standard deviations above benign clients")
    if len(scores) <= _MOST_NAMES:
        axes.set_yticks(range(len(scores)), list(scores), fontsize=7)
    if len(names) <= _MOST_NAMES:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_title("scores module by module")


def plot_model(model: FittedModel, path: Path) -> None:
    """Draw scores, spectrum and plane of a fitted model into a file (.png, .pdf or .svg); of several, their scores.

    Parameters
    ----------
    model : FittedModel
    path : Path
        Ends in .png, .pdf or .svg.
    """
    n_clients = model.detection_.scores.size
    if model.module_scores_ is not None:
        figure = Figure(figsize=(min(max(9.0, 0.17 * n_clients + 2.0), 14.0), 8.0), layout="constrained")
        upper, lower = figure.subplots(2, 1)
        draw_scores(model, upper)
        draw_modules(model.module_scores_, model.client_names_, lower)
        save_figure(figure, path)
        return
    figure = Figure(figsize=(min(max(9.0, 0.17 * n_clients + 2.0), 14.0), 8.0), layout="constrained")
    axes = figure.subplot_mosaic([["scores", "scores"], ["spectrum", "plane"]])
    draw_scores(model, axes["scores"])
    draw_spectrum(model, axes["spectrum"])
    if model.collaborative_set_.any():
        draw_plane(model, axes["plane"])
    else:
        axes["plane"].set_axis_off()
    save_figure(figure, path)
