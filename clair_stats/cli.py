"""The command line for people with files in hand: ``clair inspect | refine | certify``.

Exit status: 0 done, nobody flagged (``certify``: certified) · 2 bad input or usage · 3 somebody flagged (``certify``:
not certified) · 4 no collaborative majority, so no answer is given.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, cast

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clair_stats.clair import CLAIR
from clair_stats.decomposition.verify import verify_solution
from clair_stats.estimates import ClientEstimates
from clair_stats.files import check_output, read_estimates, write_arrays
from clair_stats.linalg import project_on
from clair_stats.records import FloatArray
from clair_stats.report.reasons import explain_clients
from clair_stats.theory import instance_certificate, recovery_condition

__all__ = ["app", "main"]

EXIT_OK, EXIT_BAD_INPUT, EXIT_FLAGGED, EXIT_NO_MAJORITY = 0, 2, 3, 4
PICTURES = (".png", ".pdf", ".svg")

app = typer.Typer(
    name="clair",
    help="Who among the clients is contaminated, why, and what the others gain from each other.",
    epilog="Exit status: 0 nobody flagged; 2 bad input; 3 somebody flagged; 4 no collaborative majority.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE.npz",
        help="array 'estimates' (K × p × q), optional 'client_names', 'noise_scales', 'sample_sizes'",
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


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Bad input becomes one line on standard error and exit status 2; a bug still shows its traceback."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        typer.echo(f"clair: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from error


def _load(path: Path) -> ClientEstimates:
    estimates = read_estimates(path)
    if estimates.n_clients < 3:
        raise ValueError(
            f"{path}: estimates holds {estimates.n_clients} clients; a majority needs at least 3, add clients"
        )
    return estimates


def _fit(estimates: ClientEstimates, model: CLAIR) -> CLAIR:
    """Fit, with the library's warnings as plain lines on standard error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(estimates)
    for warning in caught:
        typer.echo(f"clair: note: {' '.join(str(warning.message).split())}", err=True)
    return model


def _model(rank: int | None, level: float, common: bool, shared: str, penalty: float | None, tolerance: float) -> CLAIR:
    return CLAIR(
        rank,
        block_penalty=penalty,
        common_component=common,
        shared=cast(Literal["columns", "rows"], shared),
        level=level,
        heterogeneity=tolerance,
    )


def _turned(model: CLAIR, array: FloatArray) -> FloatArray:
    """The orientation in which the subspace is a column space."""
    return array if model.shared == "columns" else np.swapaxes(array, -1, -2)


def _exit_status(model: CLAIR) -> int:
    if not model.majority_:
        return EXIT_NO_MAJORITY
    return EXIT_OK if model.collaborative_set_.all() else EXIT_FLAGGED


def _print_clients(estimates: ClientEstimates, model: CLAIR, console: Console) -> None:
    """One line per client, the suspicious ones first."""
    detection = model.detection_
    reasons = explain_clients(
        _turned(model, estimates.dense()),
        detection,
        basis=model.basis_,
        common=_turned(model, model.common_),
        names=estimates.names,
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("client", overflow="fold")
    for heading in ("score", "threshold", "p-value"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("why", overflow="fold")
    undecided = not model.majority_
    for k in _most_suspicious_first(detection.scores, detection.threshold):
        verdict = Text("benign")
        if undecided:
            verdict = Text("undecided", style="yellow")
        elif not detection.collaborative_set[k]:
            verdict = Text("CONTAMINATED", style="bold red")
        p_value = detection.p_values[k]
        table.add_row(
            Text(estimates.names[k]),
            f"{detection.scores[k]:.4g}",
            f"{detection.threshold[k]:.4g}",
            _p_text(float(p_value)),
            verdict,
            Text(reasons[k]),
        )
    console.print(table)


def _p_text(p_value: float) -> str:
    """A p-value that underflowed is small, not zero."""
    if np.isnan(p_value):
        return "–"
    return f"{p_value:.2g}" if p_value > 0 else "<1e-300"


def _console() -> Console:
    """Full width on a terminal; 120 columns in a pipe, where 80 would fold every sentence."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, 120))


def _most_suspicious_first(scores: FloatArray, thresholds: FloatArray) -> Sequence[int]:
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.where(thresholds > 0, scores / thresholds, np.where(scores > 0, np.inf, 0.0))
    return [int(k) for k in np.argsort(-excess, kind="stable")]


@app.command()
def inspect(
    file: File,
    plot: Annotated[
        Path | None,
        typer.Option(help="draw the scores (.png, .pdf or .svg); without a name beside FILE", metavar="PATH"),
    ] = None,
    rank: Rank = None,
    level: Level = 0.05,
    common: Common = True,
    shared: Shared = "columns",
    block_penalty: Penalty = None,
    heterogeneity: Tolerance = 0.0,
) -> None:
    """Report who is contaminated: score, p-value and why.  Exits 3 when somebody is flagged."""
    console = _console()
    with _clear_errors():
        estimates = _load(file)
        if plot is not None:
            check_output(plot, PICTURES)
        model = _fit(estimates, _model(rank, level, common, shared, block_penalty, heterogeneity))
        console.print(model.summary(), soft_wrap=True)
        _print_clients(estimates, model, console)
        if plot is not None:
            model.plot(plot)
            console.print(f"scores drawn in {plot}", soft_wrap=True)
    raise typer.Exit(_exit_status(model))


@app.command()
def refine(
    file: File,
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
) -> None:
    """Write refined estimates: benign clients drawn towards the others, contaminated ones as they were."""
    with _clear_errors():
        estimates = _load(file)
        check_output(output, (".npz",))
        model = _model(rank, level, common, shared, block_penalty, heterogeneity)
        model.refinement = cast(Literal["shrinkage", "average"], refinement)
        model.flagged = cast(Literal["ignore", "inform"], flagged)
        _fit(estimates, model)
        write_arrays(
            output,
            {
                "refined": model.refined_,
                "collaborative_set": model.collaborative_set_,
                "basis": model.basis_,
                "common": model.common_,
                "scores": model.scores_,
                "p_values": model.p_values_,
                "client_names": np.array(estimates.names),
            },
        )
        refined = int(model.refinement_.members.sum())
        typer.echo(
            f"{output}: {refined} of {estimates.n_clients} clients refined at rank {model.refinement_.basis.shape[1]}, "
            f"{estimates.n_clients - refined} kept as they were; arrays refined, collaborative_set, basis, common, "
            "scores, p_values, client_names"
        )
    raise typer.Exit(EXIT_OK if model.majority_ else EXIT_NO_MAJORITY)


@app.command()
def certify(
    file: File,
    rank: Rank = None,
    level: Level = 0.05,
    common: Common = True,
    shared: Shared = "columns",
    block_penalty: Penalty = None,
    heterogeneity: Tolerance = 0.0,
) -> None:
    """Check the convex solution from scratch and say how far the recovery theorems reach here.

    The theorems speak of estimates without error; they are evaluated on the fitted instance: benign clients replaced by
    their part inside the estimated structure, contaminated clients as they are.
    """
    console = _console()
    with _clear_errors():
        estimates = _load(file)
        model = _fit(estimates, _model(rank, level, common, shared, block_penalty, heterogeneity))
        certified = _print_certificates(estimates, model, console)
    if not model.majority_:
        raise typer.Exit(EXIT_NO_MAJORITY)
    raise typer.Exit(EXIT_OK if certified else EXIT_FLAGGED)


def _print_certificates(estimates: ClientEstimates, model: CLAIR, console: Console) -> bool:
    blocks = _turned(model, estimates.dense())
    solution = model.decomposition_
    check = verify_solution(blocks, solution)
    console.print(
        f"convex program ({solution.program}), λ = {solution.block_penalty:.4g}, τ = {solution.noise_penalty:.4g}: "
        f"{solution.status}; objective {solution.objective:.8g}, duality gap {check.duality_gap:.2g} recomputed from "
        f"scratch",
        soft_wrap=True,
    )
    if not model.majority_:
        console.print("no collaborative majority: the recovery theorems have nothing to say about this input")
        return False
    members = model.collaborative_set_
    common = _turned(model, model.common_)
    fitted = blocks.copy()
    inside = project_on(model.basis_, blocks[members] - common)
    fitted[members] = common + inside
    if model.rank_ == 0:
        console.print("rank 0: benign clients share everything; the recovery theorems need a subspace (r ≥ 1)")
        return False
    certificate = instance_certificate(
        fitted,
        basis=model.basis_,
        collaborative_set=members,
        block_penalty=solution.block_penalty,
        common_component=model.common_component,
    )
    coefficients = np.swapaxes(model.basis_.T @ (blocks[members] - common), 1, 2)
    condition = recovery_condition(
        coefficients,
        n_contaminated=int((~members).sum()),
        block_penalty=solution.block_penalty,
        common_component=model.common_component,
    )
    word = "certified" if certificate.certified else "NOT certified"
    console.print(
        f"instance certificate: η = {certificate.eta:.4g}, κ = {certificate.kappa:.4g}: exact recovery {word} "
        "(both must be below 1)",
        soft_wrap=True,
    )
    console.print(
        f"theorem (worst case over contamination): bounds η ≤ {condition.eta_bound:.4g}, "
        f"κ ≤ {condition.kappa_bound:.4g}: {'holds' if condition.holds else 'does not hold'}",
        soft_wrap=True,
    )
    return bool(certificate.certified)


def _with_default_plot(arguments: Sequence[str]) -> list[str]:
    """Let ``--plot`` stand without a value: the picture then lies beside the input file."""
    words = list(arguments)
    if "--plot" not in words:
        return words
    at = words.index("--plot")
    following = words[at + 1] if at + 1 < len(words) else "--"
    if following.startswith("-") or following.lower().endswith(".npz"):
        inputs = [word for word in words if word.lower().endswith(".npz")]
        stem = Path(inputs[0]) if inputs else Path("clients.npz")
        words.insert(at + 1, str(stem.with_name(f"{stem.stem}-scores.png")))
    return words


def main() -> None:
    """Entry point of the ``clair`` command."""
    app(args=_with_default_plot(sys.argv[1:]))
