"""Pages of the gallery: a template with named places, and what is put there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["as_list", "filled_template"]

_TEMPLATES = Path(__file__).resolve().parents[1] / "templates"


def filled_template(name: str, contents: Mapping[str, str]) -> str:
    """The template with ``{{KEY}}`` replaced by the text of that key.

    Parameters
    ----------
    name : str
        Of a file in ``reports/templates``.
    contents : mapping of str to str
    """
    page = (_TEMPLATES / name).read_text(encoding="utf-8")
    for key, text in contents.items():
        page = page.replace("{{" + key + "}}", text)
    return page


def as_list(sentences: Sequence[str]) -> str:
    """One item a sentence, each begun with a capital."""
    return "\n".join(f"* {sentence[0].upper()}{sentence[1:]}" for sentence in sentences)
