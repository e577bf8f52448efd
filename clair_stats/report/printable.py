"""Client names made safe to print: they may hold markup, terminal escapes, or very long text."""

from __future__ import annotations

__all__ = ["printable"]

# Longer names are cut in the middle of a table; the records keep them whole.
LONGEST = 60


def printable(text: str, *, longest: int = LONGEST) -> str:
    """The text with control characters written as escapes, cut to ``longest`` characters.

    Parameters
    ----------
    text : str
    longest : int
        Characters that are kept; a cut is marked by "…".

    Returns
    -------
    str
        Without control, format, surrogate or line-separating characters.
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
