"""Figures as PDF and PNG; the same input gives the same bytes, so no dates and no random element names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clair_stats.files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "Picture", "new_figure", "save", "save_picture", "stems", "style_of"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_MARKERS = "osD^vP*X"


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure with its caption."""

    figure: Figure
    caption: str


def new_figure(width: float, height: float, n_axes: int = 1, *, share_y: bool = False) -> tuple[Figure, list[Any]]:
    """A figure in the report's style and its axes, side by side."""
    # Imported here: reading the help of the command should not wait for matplotlib.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "pdf.fonttype": 42})
    figure, axes = plt.subplots(1, n_axes, figsize=(width, height), squeeze=False, layout="constrained", sharey=share_y)
    return figure, list(axes[0])


def style_of(index: int) -> dict[str, Any]:
    """Colour, marker and line of the index-th method; the line changes where colours begin again."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": ("-", "--")[index // len(COLOURS) % 2],
    }


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``stem``.pdf and ``stem``.png without dates, each beside its place and then renamed."""
    from matplotlib import pyplot as plt

    written = []
    for suffix, metadata in (
        (".pdf", {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None}),
        (".png", {"Software": None}),
    ):
        target = stem.with_suffix(suffix)
        with written_whole(target) as beside:
            figure.savefig(beside, dpi=150, metadata=metadata)
        written.append(target)
    plt.close(figure)
    return written[0], written[1]


def save_picture(figure: Figure, path: Path) -> Path:
    """Write one PNG for a page of the gallery, without dates, beside its place and then renamed."""
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=80, bbox_inches="tight", metadata={"Software": None})
    return path


def stems(names: Sequence[str]) -> list[str]:
    """File names without characters that LaTeX or a browser minds."""
    return ["".join(c if c.isalnum() or c == "-" else "-" for c in name) for name in names]
