"""Commands ``inspect``, ``refine``, ``certify`` and ``adapters``.

Exit status: 0 done, nobody flagged (``certify``: certified) · 2 bad input or usage · 3 somebody flagged (``certify``:
not certified) · 4 no collaborative majority, so no answer is given.

The library is imported inside the commands: ``--help`` and a wrong option need none of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from clair_stats.cli.adapters import adapters_command
from clair_stats.cli.console import clear_errors, plain_console
from clair_stats.cli.options import (
    EXIT_FLAGGED,
    EXIT_NO_MAJORITY,
    EXIT_OK,
    Common,
    DropMissing,
    Level,
    Penalty,
    Rank,
    Shared,
    Source,
    Tolerance,
)

if TYPE_CHECKING:
    from clair_stats.clair import CLAIR
    from clair_stats.estimates import ClientEstimates

__all__ = ["app", "run"]

PICTURES = (".png", ".pdf", ".svg")

app = typer.Typer(
    name="clair",
    help="Who among the clients is contaminated, why, and what the others gain from each other.",
    epilog="Exit status: 0 nobody flagged; 2 bad input; 3 somebody flagged (certify: not certified); "
    "4 no collaborative majority.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"clair-stats {version('clair-stats')}")
        raise typer.Exit(EXIT_OK)


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version and leave")
    ] = False,
) -> None:
    """Options of the command itself."""


def _load(path: Path, drop_missing: bool = False) -> tuple[ClientEstimates, dict[str, str]]:
    """The estimates, and the clients that were set aside where that is asked for."""
    from clair_stats.readers import read_estimates, read_usable
    from clair_stats.report.printable import printable

    estimates, aside = read_usable(path) if drop_missing else (read_estimates(path), {})
    if estimates.n_clients < 3:
        raise ValueError(
            f"{path}: estimates holds {estimates.n_clients} clients; a majority needs at least 3, add clients"
        )
    for name, reason in aside.items():
        typer.echo(f"clair: note: {printable(f'{name} is set aside: {reason}', longest=400)}", err=True)
    return estimates, aside


def _fit(
    estimates: ClientEstimates,
    rank: int | None,
    level: float,
    common: bool,
    shared: str,
    penalty: float | None,
    tolerance: float,
    *,
    refinement: str = "shrinkage",
    flagged: str = "ignore",
) -> CLAIR:
    """Fit, with the library's warnings as plain lines on standard error."""
    from clair_stats.clair import CLAIR

    model = CLAIR(
        rank,
        block_penalty=penalty,
        common_component=common,
        shared=cast(Literal["columns", "rows"], shared),
        level=level,
        heterogeneity=tolerance,
        refinement=cast(Literal["shrinkage", "average"], refinement),
        flagged=cast(Literal["ignore", "inform"], flagged),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(estimates)
    for warning in caught:
        typer.echo(f"clair: note: {' '.join(str(warning.message).split())}", err=True)
    return model


def _exit_status(model: CLAIR) -> int:
    if not model.majority_:
        return EXIT_NO_MAJORITY
    return EXIT_OK if model.collaborative_set_.all() else EXIT_FLAGGED


@app.command()
def inspect(
    source: Source,
    plot: Annotated[
        Path | None,
        typer.Option(help="draw the scores (.png, .pdf or .svg); without a name beside INPUT", metavar="PATH"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON and nothing else")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print one CSV line per client and nothing else")] = False,
    top: Annotated[int | None, typer.Option(min=1, help="show only the N most suspicious clients", metavar="N")] = None,
    rank: Rank = None,
    level: Level = 0.05,
    common: Common = True,
    shared: Shared = "columns",
    block_penalty: Penalty = None,
    heterogeneity: Tolerance = 0.0,
    drop_missing: DropMissing = False,
) -> None:
    """Report who is contaminated: score, p-value and why.  Exits 3 when somebody is flagged."""
    with clear_errors():
        from clair_stats.cli import clients
        from clair_stats.cli.alternatives import tried
        from clair_stats.files import check_output

        if as_json and as_csv:
            raise ValueError("--json and --csv are both given; choose one")
        estimates, aside = _load(source, drop_missing)
        if plot is not None:
            check_output(plot, PICTURES, inputs=[source])
        model = _fit(estimates, rank, level, common, shared, block_penalty, heterogeneity)
        rows = [*clients.client_rows(estimates, model)[:top], *clients.quarantined_rows(aside)]
        if as_json or as_csv:
            typer.echo(clients.as_json(rows, model) if as_json else clients.as_csv(rows), nl=as_json)
        else:
            console = plain_console()
            console.print(model.summary(), soft_wrap=True)
            for line in [] if model.majority_ else tried(estimates, model):
                console.print(line, soft_wrap=True)
            console.print(clients.as_table(rows, console.width))
        if plot is not None:
            model.plot(plot)
            typer.echo(f"scores drawn in {plot}", err=as_json or as_csv)
    raise typer.Exit(_exit_status(model))


@app.command()
def refine(
    source: Source,
    output: Annotated[Path, typer.Option(help="where the refined estimates go", metavar="OUT.npz")],
    refinement: Annotated[
        str, typer.Option(help="shrinkage (never worse than a client's own where errors are known) or average")
    ] = "shrinkage",
    flagged: Annotated[str, typer.Option(help="ignore flagged clients, or let them inform the others")] = "ignore",
    rank: Rank = None,
    level: Level = 0.05,
    common: Common = True,
    shared: Shared = "columns",
    block_penalty: Penalty = None,
    heterogeneity: Tolerance = 0.0,
    drop_missing: DropMissing = False,
) -> None:
    """Write refined estimates: benign clients drawn towards the others, contaminated ones as they were."""
    with clear_errors():
        import numpy as np

        from clair_stats.files import check_output, write_arrays

        check_output(output, (".npz",), inputs=[source])
        estimates, aside = _load(source, drop_missing)
        model = _fit(
            estimates, rank, level, common, shared, block_penalty, heterogeneity, refinement=refinement, flagged=flagged
        )
        arrays = {
            "refined": model.refined_,
            "collaborative_set": model.collaborative_set_,
            "basis": model.basis_,
            "common": model.common_,
            "scores": model.scores_,
            "p_values": model.p_values_,
            "client_names": np.array(estimates.names),
        }
        if aside:
            arrays["quarantined"] = np.array(list(aside))
        write_arrays(output, arrays)
        refined = int(model.refinement_.members.sum())
        typer.echo(
            f"{output}: {refined} of {estimates.n_clients} clients refined at rank {model.refinement_.basis.shape[1]}, "
            f"{estimates.n_clients - refined} kept as they were; arrays {', '.join(arrays)}"
        )
    raise typer.Exit(EXIT_OK if model.majority_ else EXIT_NO_MAJORITY)


@app.command()
def certify(
    source: Source,
    rank: Rank = None,
    level: Level = 0.05,
    common: Common = True,
    shared: Shared = "columns",
    block_penalty: Penalty = None,
    heterogeneity: Tolerance = 0.0,
    rigorous: Annotated[
        bool, typer.Option("--rigorous", help="Prove the certificate in ball arithmetic (needs python-flint).")
    ] = False,
    drop_missing: DropMissing = False,
) -> None:
    """Check the convex solution from scratch and say how far the recovery theorems reach here.

    The theorems speak of estimates without error; they are evaluated on the fitted instance: benign clients replaced by
    their part inside the estimated structure, contaminated clients as they are.  With --rigorous the certificate is a
    proof about that instance, its numbers taken as exact.
    """
    with clear_errors():
        from clair_stats.cli.certificates import print_certificates

        estimates, _ = _load(source, drop_missing)
        model = _fit(estimates, rank, level, common, shared, block_penalty, heterogeneity)
        certified = print_certificates(estimates, model, plain_console(), rigorous=rigorous)
    if not model.majority_:
        raise typer.Exit(EXIT_NO_MAJORITY)
    raise typer.Exit(EXIT_OK if certified else EXIT_FLAGGED)


app.command("adapters")(adapters_command)


def with_default_plot(arguments: Sequence[str]) -> list[str]:
    """Let ``--plot`` stand without a value: the picture then lies beside the input file."""
    words = list(arguments)
    if "--plot" not in words:
        return words
    at = words.index("--plot")
    following = words[at + 1] if at + 1 < len(words) else "--"
    if following.startswith("-") or _may_be_input(following):
        inputs = [Path(word) for word in words if _may_be_input(word)]
        source = inputs[0] if inputs else Path("clients")
        words.insert(at + 1, str(source.with_name(f"{source.stem}-scores.png")))
    return words


def _may_be_input(word: str) -> bool:
    return word.lower().endswith((".npz", ".csv")) or (not word.startswith("-") and Path(word).is_dir())


def run(arguments: Sequence[str]) -> None:
    """Run the command with these words."""
    app(args=with_default_plot(arguments), prog_name="clair")
