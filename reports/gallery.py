"""The pages of the gallery by name; each is written from the stores of its studies."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

from reports.reading import read_studies, read_study

__all__ = ["PAGES", "write_gallery_page"]


def _copying(results: Path, output: Path) -> list[Path]:
    from reports.renderers.copying.page import write_page

    return write_page(read_studies(results, []), output)


def _vision(results: Path, output: Path) -> list[Path]:
    from reports.renderers.vision.page import write_vision

    return write_vision(read_study(results, "vision_detection"), read_study(results, "vision"), output)


# Name -> what writes it, from the folder of the stores into a folder of pages.
PAGES: Mapping[str, Callable[[Path, Path], list[Path]]] = {"copying": _copying, "vision": _vision}


def write_gallery_page(name: str, results: Path, output: Path) -> list[Path]:
    """Write one page and its pictures.

    Parameters
    ----------
    name : str
        One of :data:`PAGES`.
    results, output : path

    Raises
    ------
    ValueError
        No page of that name.
    FileNotFoundError
        A study has no store.
    """
    if name not in PAGES:
        near = difflib.get_close_matches(name, PAGES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(PAGES)}"
        raise ValueError(f"gallery page {name!r} is unknown; {hint}")
    return PAGES[name](results, output)
