"""The pages of the gallery by name; each is written from the stores of its studies."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

from reports.inputs import StudyInput
from reports.reading import read_studies, read_study
from simulations.presentation import Page
from simulations.studies import studies

__all__ = ["PAGES", "write_gallery_page"]


def _copying(results: Path, output: Path) -> list[Path]:
    from reports.renderers.copying.page import write_page

    return write_page(read_studies(results, []), output)


def _parts(page: str, results: Path) -> dict[str, StudyInput]:
    """The studies of a page by their place on it, whole.

    Raises
    ------
    FileNotFoundError
        One has no store.
    ValueError
        Rows are missing.
    """
    found = {}
    for name, study in studies().items():
        if isinstance(study.presentation, Page) and study.presentation.page == page:
            item = found[study.presentation.part] = read_study(results, name)
            if item.missing:
                command = f"python -m simulations run {name}"
                raise ValueError(f"study {name}: {item.missing} rows are missing; run `{command}`")
    return found


def _vision(results: Path, output: Path) -> list[Path]:
    from reports.renderers.vision.page import write_vision

    parts = _parts("vision", results)
    return write_vision(parts["detection"], parts["accuracy"], output)


def _verse(results: Path, output: Path) -> list[Path]:
    from reports.renderers.verse.page import write_verse

    parts = _parts("verse", results)
    return write_verse(parts["detection"], parts["style"], output)


# Name -> what writes it, from the folder of the stores into a folder of pages.
PAGES: Mapping[str, Callable[[Path, Path], list[Path]]] = {"copying": _copying, "vision": _vision, "verse": _verse}


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
