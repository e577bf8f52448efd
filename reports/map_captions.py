"""Captions of the maps of theorem, certificate and recovery, with the replications behind them."""

from __future__ import annotations

from pathlib import Path

from simulations.storage.store import load_rows
from theory_checks.maps.designs import MAPS
from theory_checks.maps.sample import map_study

__all__ = ["map_caption"]


def _size(store: Path, name: str) -> str:
    """Replications of a point, least to most, and failures."""
    if not store.is_file():
        return f"n is not known here: {store.name} is not beside the map."
    rows = load_rows(store, map_study(name))
    n = rows.groupby("cell").size()
    failed = int((rows["status"] != "ok").sum())
    left_out = f"{failed} failed (counted, not drawn again)" if failed else "none failed"
    size = f"{n.min()} to {n.max()}" if n.min() < n.max() else f"{n.min()}"
    return f"n = {size} replications of each of {n.size} points, most near a border, {left_out}."


def map_caption(path: Path) -> str:
    """What the map of that file shows; a map that is not known here is named by its file.

    Parameters
    ----------
    path : Path
        ``<results>/maps/<name>.pdf``; its rows are looked for in ``<results>/claims``.
    """
    name = path.stem
    if name not in MAPS:
        return f"Map {name}."
    return (
        f"Map of exact recovery: share of contaminated clients and {MAPS[name].label}. Grey: share of instances "
        "recovered. Lines run around the grid cells where the theorem promises recovery (green), where the lower "
        "(solid) and upper (dotted) 95 % limit of the probability of an instance certificate exceeds one half (blue), "
        f"and the same for recovery (orange). {_size(path.parent.parent / 'claims' / f'map-{name}.sqlite', name)}"
    )
