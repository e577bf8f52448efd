"""The table of clients on the terminal, for estimates and for adapters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from clair_stats.report.printable import printable

__all__ = ["client_table", "p_text"]

# Characters of a reason that a table shows.
_LONGEST_REASON = 600


def client_table(headings: Sequence[str], rows: Iterable[tuple[str, Sequence[str], Text, str]], width: int) -> Table:
    """Name, numbers, verdict and reason of every client; names stay whole up to half of ``width`` characters.

    Parameters
    ----------
    headings : sequence of str
        Of the numbers.
    rows : iterable of (name, numbers, verdict, reason)
    width : int
        Characters of the terminal.

    Returns
    -------
    rich.table.Table
    """
    lines = list(rows)
    longest = max((len(printable(name)) for name, *_ in lines), default=0)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("client", overflow="fold", min_width=min(longest, width // 2))
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("why", overflow="fold")
    for name, numbers, verdict, reason in lines:
        table.add_row(Text(printable(name)), *numbers, verdict, Text(printable(reason, longest=_LONGEST_REASON)))
    return table


def p_text(p_value: float) -> str:
    """A p-value that underflowed is small, not zero; without a test there is none.

    Parameters
    ----------
    p_value : float

    Returns
    -------
    str
    """
    if p_value != p_value:
        return "–"
    return f"{p_value:.2g}" if p_value > 0 else "<1e-300"
