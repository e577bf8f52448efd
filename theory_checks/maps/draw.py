"""Figures of sampled maps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clair_stats.files import written_whole
from clair_stats.records import BoolArray, FloatArray
from theory_checks.maps.sample import SampledMap

__all__ = ["draw_map"]


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


def _cell_edges(centres: FloatArray) -> FloatArray:
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def draw_map(sampled: SampledMap, path: str | os.PathLike[str]) -> list[Path]:
    """Draw one map as PDF and PNG at ``path`` (its suffix is replaced); returns the two paths.

    Grey: share of recovered instances.  Lines run along the edges of grid cells: around the cells where the theorem
    holds (sharp form solid, as stated dotted), and around those where the lower (solid) and the upper (dotted) limit of
    the probability of a certificate, and of recovery, is above one half; limits cover at all stages of the sampling.
    """
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    x, y = sampled.shares, np.asarray(sampled.design.values, dtype=float)
    rate = sampled.recovered / sampled.replications
    mesh = axes.pcolormesh(x, y, rate, cmap="Greys_r", vmin=0, vmax=1, shading="nearest", alpha=0.6)
    figure.colorbar(mesh, ax=axes, label="share recovered")
    handles = []
    for region, colour, style, width, label in _lines(sampled):
        segments = _borders(np.asarray(region) > 0.5, x, y)
        axes.add_collection(LineCollection(segments, colors=colour, linestyles=style, linewidths=width))
        if label:
            handles.append(Line2D([], [], color=colour, linestyle=style, linewidth=width, label=label))
    axes.set_xlabel(r"share of contaminated clients $|O|/K$")
    axes.set_ylabel(sampled.design.label)
    axes.set_yticks(y)
    figure.legend(handles=handles, fontsize=7, frameon=False, ncols=2, loc="outside upper left")
    return _written(figure, Path(path))


def _lines(sampled: SampledMap) -> tuple[tuple[FloatArray, str, Literal["-", ":"], float, str], ...]:
    """Region, colour, style, width and label of every line."""
    lower, upper = sampled.interval(sampled.certified)
    least, most = sampled.interval(sampled.recovered)
    return (
        (lower, "tab:blue", "-", 3.2, "certificate, lower and upper 95 % limit"),
        (upper, "tab:blue", ":", 3.2, ""),
        (least, "tab:orange", "-", 1.5, "recovery, lower and upper 95 % limit"),
        (most, "tab:orange", ":", 1.5, ""),
        (sampled.theorem, "tab:green", "-", 1.5, "theorem, sharp"),
        (sampled.stated, "tab:green", ":", 1.5, "theorem, as stated"),
    )


def _written(figure: Figure, target: Path) -> list[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix in (".pdf", ".png"):
        final = target.with_name(target.name + suffix)
        metadata = {"CreationDate": None} if suffix == ".pdf" else {"Software": None}
        with written_whole(final) as beside:
            figure.savefig(beside, dpi=150, metadata=metadata)
        paths.append(final)
    return paths
