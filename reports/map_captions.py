"""Captions of the maps of theorem, certificate and recovery."""

from __future__ import annotations

from pathlib import Path

from theory_checks.maps.maps import MAPS

__all__ = ["map_caption"]


def map_caption(path: Path) -> str:
    """What the map of that file shows; a map that is not known here is named by its file."""
    design = MAPS.get(path.stem)
    axes = path.stem.replace("-", ", ") if design is None else f"share of contaminated clients and {design.label}"
    return (
        f"Map of exact recovery: {axes}. Grey: share of instances recovered. Lines run around the grid cells where the "
        "theorem promises recovery (green), where the lower (solid) and upper (dotted) 95 % limit of the probability "
        "of an instance certificate exceeds one half (blue), and the same for recovery (orange). Points near a border "
        "carry the most replications."
    )
