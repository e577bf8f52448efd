"""Regime studies -> verdicts and tables: ``python -m theory_checks.regimes.verdicts [--effort quick|standard]``.

Every question of one regime belongs to one family under Holm's procedure.  :func:`regime_tables` and
:func:`regime_summary` only read the verdict file, so a report can show them without any store.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from simulations.storage.store import load_rows
from theory_checks.judge.complete import UnfinishedError, run_to_the_end
from theory_checks.judge.verdict import FAMILY_LEVEL, Verdict, decide, read_verdicts, write_verdicts
from theory_checks.regimes.questions import CLAIM_TITLES, DESIGNS, Question, questions
from theory_checks.rules.evidence import Evidence
from theory_checks.rules.rates import SlopeRule

__all__ = [
    "VERDICT_FILE",
    "UnfinishedError",
    "assess_regime",
    "checked_regimes",
    "merged",
    "regime_summary",
    "regime_tables",
    "run_regimes",
]

VERDICT_FILE = "regime_verdicts.json"  # in the results folder

_LONG = ("separated", "not_converged")  # clients counted in the rows of the local law


def _evidence(question: Question, rows: pd.DataFrame) -> Evidence:
    own = rows[rows["cell"].isin(question.section.hashes(question.method))]
    good = own[own["status"] == "ok"]
    failed = len(own) - len(good)
    if good.empty:
        nan = math.nan
        return Evidence(0, nan, nan, nan, nan, 1.0, False, "no replication", failed=failed)
    found = question.rule.assess(good)
    counts = {name: float(good[name].sum()) for name in _LONG if name in good and good[name].notna().any()}
    return dataclasses.replace(found, failed=failed, extra={**found.extra, **counts})


def assess_regime(name: str, rows: pd.DataFrame, effort: str) -> list[Verdict]:
    """Verdicts of one regime from its rows (:func:`simulations.storage.store.load_rows`)."""
    asked = questions(DESIGNS[name])
    evidence = [_evidence(question, rows) for question in asked]
    planned = DESIGNS[name].replications_at(effort)
    verdicts = []
    for question, item, (status, adjusted) in zip(asked, evidence, decide(evidence), strict=True):
        # Slopes count replications per point; for the others what was there decides, when there was anything.
        n = planned if isinstance(question.rule, SlopeRule) or item.n == 0 else item.n
        verdicts.append(
            Verdict(
                claim=question.identifier,
                theorem=question.theorem,
                title=CLAIM_TITLES[question.claim],
                status=status,
                effort=effort,
                sabotage="control" if question.control else "",
                evidence=item,
                adjusted_p_value=adjusted,
                rule=question.rule.describe(n),
                smallest_violation=question.rule.smallest_violation(n, FAMILY_LEVEL / len(asked)),
            )
        )
    return verdicts


def run_regimes(
    names: Sequence[str],
    effort: str,
    folder: Path,
    **options: Any,  # noqa: ANN401 - handed on to run_study
) -> list[Verdict]:
    """Run what is missing of every study, and judge it; ``options`` go to ``run_study``.

    Raises
    ------
    UnfinishedError
        A run was interrupted.
    """
    verdicts: list[Verdict] = []
    for name in names:
        study = DESIGNS[name].study(effort)
        store = folder / f"{study.name}.sqlite"
        run_to_the_end(study, store, **options)
        verdicts += assess_regime(name, load_rows(store, study), effort)
    return verdicts


def _parts(verdict: Verdict) -> tuple[str, str, str, str]:
    """Study, variant, setting and claim of a verdict on a regime."""
    parts = verdict.claim.split("/")
    if len(parts) != 4 or parts[0] not in DESIGNS or parts[3] not in CLAIM_TITLES:
        raise ValueError(
            f"{verdict.claim!r} is no claim on a regime known here; remove the file and run "
            "`python -m theory_checks.regimes.verdicts` again"
        )
    return parts[0], parts[1], parts[2], parts[3]


def checked_regimes(path: Path) -> list[Verdict]:
    """The verdict file of the regimes.

    Raises
    ------
    ValueError
        Not a verdict file, or one on regimes and claims that are not known here; the message names it.
    """
    verdicts = read_verdicts(path)
    try:
        for verdict in verdicts:
            _parts(verdict)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return verdicts


def merged(earlier: Sequence[Verdict], new: Sequence[Verdict]) -> list[Verdict]:
    """The new verdicts, and the earlier ones of regimes that were not judged again, in the order of the designs."""
    judged = {_parts(verdict)[0] for verdict in new}
    kept = [verdict for verdict in earlier if _parts(verdict)[0] not in judged]
    order = list(DESIGNS)
    return sorted([*kept, *new], key=lambda verdict: order.index(_parts(verdict)[0]))


def regime_tables(verdicts: Sequence[Verdict]) -> dict[str, pd.DataFrame]:
    """One table per regime: every claim × setting with its verdict, value and Monte Carlo standard error."""
    claimed = {question.claim: question.claimed for design in DESIGNS.values() for question in questions(design)}
    lines: dict[str, list[dict[str, object]]] = {}
    for verdict in verdicts:
        study, variant, setting, claim = _parts(verdict)
        item = verdict.evidence
        lines.setdefault(study, []).append(
            {
                "variant": variant,
                "setting": setting,
                "claim": CLAIM_TITLES[claim],
                "claimed": claimed[claim],
                "verdict": verdict.status,
                "expected": "violated" if verdict.sabotage else "",
                "value": item.estimate,
                "mcse": item.standard_error,
                "low": item.low,
                "high": item.high,
                "n": item.n,
                "failed": item.failed,
                "separated": item.extra.get("separated", math.nan),
                "not_converged": item.extra.get("not_converged", math.nan),
                "detail": item.detail,
            }
        )
    return {study: pd.DataFrame(table) for study, table in lines.items()}


def regime_summary(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Regime × claim: the verdict of the sweeps, one row per variant; departures are in the regime's own table.

    The last two columns count the departures' questions that are violated, and the controls that are, of all controls.
    """
    departures = {name: set(design.departures) for name, design in DESIGNS.items()}
    table: dict[tuple[str, str], dict[str, object]] = {}
    for verdict in verdicts:
        study, variant, setting, claim = _parts(verdict)
        line = table.setdefault((study, variant), {"departures violated": 0, "controls caught": "0 of 0"})
        if setting not in departures[study]:
            line[CLAIM_TITLES[claim]] = verdict.status
        elif verdict.sabotage:
            caught, total = (int(part) for part in str(line["controls caught"]).split(" of "))
            line["controls caught"] = f"{caught + (verdict.status == 'violated')} of {total + 1}"
        elif verdict.status == "violated":
            line["departures violated"] = int(str(line["departures violated"])) + 1
    frame = pd.DataFrame.from_dict(table, orient="index")
    frame.index = pd.MultiIndex.from_tuples(list(table), names=["regime", "variant"])
    ordered = [title for title in CLAIM_TITLES.values() if title in frame.columns]
    return frame[[*ordered, "departures violated", "controls caught"]].reset_index()


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def main(
    regimes: Annotated[list[str] | None, typer.Argument(help=f"Among {', '.join(DESIGNS)}; all when none.")] = None,
    effort: Annotated[str, typer.Option(help="quick or standard.")] = "standard",
    folder: Annotated[Path, typer.Option(help="Where stores and the verdict file lie.")] = Path("results"),
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    only_read: Annotated[bool, typer.Option("--only-read", help="Judge nothing; show the verdict file.")] = False,
) -> None:
    """Run the regime studies, write ``regime_verdicts.json`` and show both tables.

    Verdicts of regimes that are not named stay in the file as they are.
    """
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    names = regimes or list(DESIGNS)
    unknown = [name for name in names if name not in DESIGNS]
    if unknown or effort not in ("quick", "standard"):
        console.print(
            f"unknown: {', '.join(unknown) or effort}; regimes are {', '.join(DESIGNS)}, efforts quick, standard"
        )
        raise typer.Exit(2)
    target = folder / VERDICT_FILE
    if only_read and not target.is_file():
        console.print(f"{target}: no such file; run `python -m theory_checks.regimes.verdicts` without --only-read")
        raise typer.Exit(2)
    try:  # before any work: a file that cannot be read must not cost a run
        verdicts = checked_regimes(target) if target.is_file() else []
    except ValueError as error:
        console.print(f"error: {error}")
        raise typer.Exit(2) from error
    if not only_read:
        try:
            verdicts = merged(verdicts, run_regimes(names, effort, folder, n_jobs=jobs))
        except UnfinishedError as error:
            console.print(str(error))
            raise typer.Exit(error.report.exit_status) from error
        write_verdicts(target, verdicts)
    with pd.option_context("display.width", 250, "display.max_columns", None, "display.max_rows", None):
        for study, table in regime_tables(verdicts).items():
            shown = table.drop(columns=["detail", "low", "high"]).to_string(index=False, float_format="{:.3f}".format)
            console.print(f"\n{study}\n{shown}")
        console.print(regime_summary(verdicts).T.to_string(header=False))
    raise typer.Exit(1 if any(v.sabotage and v.status != "violated" for v in verdicts) else 0)


if __name__ == "__main__":
    app()
