"""Commands: list, explain, run, sabotages, register, agreement, proofs, region, null, maps.

Exit status 0, 1 (violated), 2 (usage), 3 (open).
"""

from __future__ import annotations

import typer

from theory_checks.commands.claims import explain, list_claims
from theory_checks.commands.large_runs import agreement, maps, null, proofs, region
from theory_checks.commands.registering import register
from theory_checks.commands.run import run
from theory_checks.commands.sabotages import sabotages

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The theorems of CLAIR as checks that can fail.")
app.command("list")(list_claims)
for command in (explain, run, sabotages, register, agreement, proofs, region, null, maps):
    app.command()(command)


def main() -> None:
    """Entry point."""
    app()
