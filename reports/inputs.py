"""What there is to report: verdicts, finished or half-finished studies, maps; and plain lines for what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from simulations.design import Study
from simulations.measures.summarise import summarise
from simulations.storage.provenance import header_lines
from simulations.storage.store import Store, StoreError, load_rows
from simulations.studies import studies
from theory_checks.claim import Claim
from theory_checks.judge.verdict import Verdict, read_verdicts
from theory_checks.regimes.questions import DESIGNS
from theory_checks.regimes.verdicts import VERDICT_FILE, checked_regimes
from theory_checks.registry import all_claims

__all__ = ["ClaimInput", "Inputs", "RegimeInput", "StudyInput", "read_inputs"]


@dataclass(frozen=True, eq=False)
class StudyInput:
    """A study whose store holds rows."""

    study: Study
    summary: pd.DataFrame
    provenance: tuple[str, ...]
    missing: int  # rows that are not there yet
    failed: int

    @property
    def set_aside(self) -> tuple[str, ...]:
        """What no value holds, a sentence each, for the notes of every table of the study."""
        notes = []
        if self.failed:
            notes.append(f"{self.failed} replications failed; they are counted, not drawn again, and enter no value.")
        if self.missing:
            notes.append(f"{self.missing} rows are not there yet.")
        return tuple(notes)


@dataclass(frozen=True, eq=False)
class ClaimInput:
    """A claim with its verdict, its sabotage's verdict where it was run, and the rows where the store is there."""

    claim: Claim
    verdict: Verdict
    sabotage: Verdict | None
    rows: pd.DataFrame | None
    provenance: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class RegimeInput:
    """The verdicts on one regime, and where its rows come from when its store is there."""

    study: Study
    verdicts: tuple[Verdict, ...]
    provenance: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything found under one results folder."""

    claims: tuple[ClaimInput, ...]
    studies: tuple[StudyInput, ...]
    maps: tuple[Path, ...]
    regimes: tuple[RegimeInput, ...] = ()
    missing: tuple[str, ...] = field(default=())  # one plain line each: what is left out and the command that makes it


def _study_input(study: Study, path: Path) -> StudyInput:
    with Store(path, study) as store:
        damage = store.integrity()
        if damage != "ok":
            raise StoreError(f"{path}: damaged ({damage}); restore it from a copy or delete it and run the study again")
        status = store.status()
    return StudyInput(
        study=study,
        summary=summarise(path, study),
        provenance=tuple(header_lines(study, path)),
        missing=sum(line.missing for line in status),
        failed=sum(line.failed for line in status),
    )


def _claim_inputs(results: Path) -> tuple[ClaimInput, ...]:
    verdicts = read_verdicts(results / "verdicts.json")
    known = all_claims()
    found = []
    for verdict in verdicts:
        if verdict.sabotage:
            continue
        if verdict.claim not in known:
            raise ValueError(
                f"{results / 'verdicts.json'}: claim {verdict.claim!r} is not registered; "
                "run `python -m theory_checks run` again"
            )
        claim = known[verdict.claim]
        study = claim.study(verdict.effort)  # type: ignore[arg-type]
        path = results / "claims" / f"{study.name}.sqlite"
        present = path.is_file()
        found.append(
            ClaimInput(
                claim=claim,
                verdict=verdict,
                sabotage=next((v for v in verdicts if v.claim == verdict.claim and v.sabotage), None),
                rows=load_rows(path, study) if present else None,
                provenance=tuple(header_lines(study, path)) if present else (),
            )
        )
    return tuple(found)


def _regime_inputs(results: Path) -> tuple[RegimeInput, ...]:
    path = results / VERDICT_FILE
    verdicts = checked_regimes(path)
    found = []
    for name, design in DESIGNS.items():
        own = tuple(verdict for verdict in verdicts if verdict.claim.split("/")[0] == name)
        if not own:
            continue
        study = design.study(own[0].effort)
        store = results / f"{study.name}.sqlite"
        found.append(RegimeInput(study, own, tuple(header_lines(study, store)) if store.is_file() else ()))
    return tuple(found)


def read_inputs(results: Path) -> Inputs:
    """Read everything under ``results``; what is not there is told, what is broken is an error.

    Raises
    ------
    FileNotFoundError
        The folder is not there.
    ValueError, StoreError
        A verdict file or store that cannot be read; the message names it and the remedy.
    """
    if not results.is_dir():
        raise FileNotFoundError(f"{results}: no such folder; run `make verify` or give --results")
    missing: list[str] = []
    claims: tuple[ClaimInput, ...] = ()
    if (results / "verdicts.json").is_file():
        claims = _claim_inputs(results)
    else:
        missing.append("verdicts of the claims: left out; run `python -m theory_checks run`")
    regimes: tuple[RegimeInput, ...] = ()
    if (results / VERDICT_FILE).is_file():
        regimes = _regime_inputs(results)
    judged = {item.verdicts[0].claim.split("/")[0] for item in regimes}
    missing += [
        f"regime {name.removeprefix('regime_')}: left out; run `python -m theory_checks.regimes.verdicts {name}`"
        for name in DESIGNS
        if name not in judged
    ]
    found = []
    for name, study in studies().items():
        if name in DESIGNS:  # shown by its verdicts
            continue
        path = results / f"{name}.sqlite"
        if not path.is_file():
            missing.append(f"study {name}: left out; run `python -m simulations run {name}`")
            continue
        item = _study_input(study, path)
        if item.summary.empty:
            missing.append(f"study {name}: no rows yet, left out; run `python -m simulations run {name}`")
            continue
        if item.missing:
            missing.append(
                f"study {name}: {item.missing} rows are missing; complete it by `python -m simulations run {name}`"
            )
        found.append(item)
    maps = tuple(sorted((results / "maps").glob("*.pdf")))
    if not maps:
        missing.append("maps of theorem, certificate and recovery: left out; run `python -m theory_checks maps`")
    return Inputs(claims, tuple(found), maps, regimes, tuple(missing))
