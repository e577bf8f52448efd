"""Pages of which a command writes the tables and an author the sentences: what stands between two marks is replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from clair_stats.files import written_whole

__all__ = ["replaced", "write_parts"]


def replaced(text: str, parts: Mapping[str, str]) -> str:
    """The page with the content of ``<!-- begin NAME -->`` … ``<!-- end NAME -->`` renewed for every part.

    Raises
    ------
    ValueError
        A part has no marks in the page, or stands there twice.
    """
    for name, content in parts.items():
        found = re.findall(rf"<!-- begin {re.escape(name)} -->\n.*?<!-- end {re.escape(name)} -->", text, re.S)
        if len(found) != 1:
            raise ValueError(
                f"page: give it once '<!-- begin {name} -->' and '<!-- end {name} -->' on lines of their own"
            )
        text = text.replace(found[0], f"<!-- begin {name} -->\n\n{content.strip()}\n\n<!-- end {name} -->")
    return text


def write_parts(page: Path, parts: Mapping[str, str]) -> None:
    """Renew the parts of a page that is there.

    Raises
    ------
    OSError
        The page cannot be read or written.
    ValueError
        As in :func:`replaced`.
    """
    text = replaced(page.read_text(encoding="utf-8"), parts)
    with written_whole(page) as beside:
        beside.write_text(text, encoding="utf-8")
