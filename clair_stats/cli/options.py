"""Arguments and options that the commands share, and their exit statuses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "EXIT_BAD_INPUT",
    "EXIT_FLAGGED",
    "EXIT_NO_MAJORITY",
    "EXIT_OK",
    "Common",
    "DropMissing",
    "Level",
    "Penalty",
    "Rank",
    "Shared",
    "Source",
    "Tolerance",
]

EXIT_OK, EXIT_BAD_INPUT, EXIT_FLAGGED, EXIT_NO_MAJORITY = 0, 2, 3, 4

Source = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT",
        help="an .npz with 'estimates' (K × p × q) and further fields, a .csv with columns client, row, column, value, "
        "a folder with one .csv per client, or - for standard input",
    ),
]
Rank = Annotated[int | None, typer.Option(help="rank of the shared subspace; chosen from the data when not given")]
Level = Annotated[float, typer.Option(help="probability of any false alarm among all clients")]
Common = Annotated[bool, typer.Option("--common/--no-common", help="allow a common component shared by all clients")]
Shared = Annotated[str, typer.Option(help="what the clients share: 'columns' or 'rows' of their blocks")]
Penalty = Annotated[float | None, typer.Option(help="λ of the convex program; a default rule when not given")]
Tolerance = Annotated[
    float, typer.Option(help="tolerated off-subspace norm of a benign client, on the scale of the estimates")
]
DropMissing = Annotated[
    bool, typer.Option("--drop-missing", help="set clients aside whose estimates cannot be used, and name them")
]
