"""From a results folder to the records of :mod:`reports.inputs`, and plain lines for what is missing."""

from __future__ import annotations

from pathlib import Path

from reports.inputs import ClaimInput, Inputs, RegimeInput, StudyInput
from simulations.design import Study
from simulations.measures.summarise import summarise
from simulations.presentation import RegimeSweeps
from simulations.registration import read_registry
from simulations.storage.database import OtherConfigurationError
from simulations.storage.provenance import header_lines
from simulations.storage.store import Store, StoreError, load_rows
from simulations.studies import find_study, regime_designs, studies
from theory_checks.judge.verdict import Verdict
from theory_checks.judge.verdict_file import read_verdicts
from theory_checks.registry import all_claims, families

__all__ = ["read_inputs", "read_studies", "read_study"]


def _study_input(study: Study, path: Path) -> StudyInput:
    with Store(path, study) as store:
        damage = store.integrity()
        if damage != "ok":
            raise StoreError(f"{path}: damaged ({damage}); restore it from a copy or delete it and run the study again")
        status = store.status()
        known = set(store.metric_names())
    missing = sum(line.missing for line in status)
    present = {line.ok + line.failed for line in status}
    # While rows are missing a measure may have no metric yet; once all are there, a measure without one is an error.
    measures = tuple(m for m in study.measures if not missing or not known or known.issuperset(m.columns))
    return StudyInput(
        study=study,
        summary=summarise(path, study, measures),
        provenance=tuple(header_lines(study, path)),
        missing=missing,
        failed=sum(line.failed for line in status),
        store=path,
        common=present.pop() if len(present) == 1 else None,
    )


def _claim_input(verdict: Verdict, verdicts: list[Verdict], results: Path) -> ClaimInput:
    claim = all_claims()[verdict.claim]
    study = claim.study(verdict.effort)  # type: ignore[arg-type]
    path = results / "claims" / f"{study.name}.sqlite"
    present = path.is_file()
    return ClaimInput(
        claim=claim,
        verdict=verdict,
        sabotage=next((v for v in verdicts if v.claim == verdict.claim and v.sabotage), None),
        rows=load_rows(path, study) if present else None,
        provenance=tuple(header_lines(study, path)) if present else (),
    )


def _verdicts(results: Path) -> list[Verdict]:
    """The verdict file, empty where there is none.

    Raises
    ------
    ValueError
        A verdict on a regime that is not known here.
    """
    path = results / "verdicts.json"
    verdicts = read_verdicts(path) if path.is_file() else []
    unknown = [verdict.regime for verdict in verdicts if verdict.regime not in families()]
    if unknown:
        raise ValueError(
            f"{path}: regime {unknown[0]!r} is not known here; remove the file and run `python -m theory_checks run` "
            "again"
        )
    return verdicts


def _outdated(what: str, error: OtherConfigurationError) -> str:
    return f"{what}: left out, its rows are of another design or root seed ({error}); move the store and run again"


def _claims(results: Path, verdicts: list[Verdict], missing: list[str]) -> tuple[ClaimInput, ...]:
    """Claims with a verdict; what was not run, and verdicts on claims that are gone, are listed in ``missing``."""
    known = all_claims()
    own = [verdict for verdict in verdicts if not verdict.regime]
    gone = sorted({verdict.claim for verdict in own if verdict.claim not in known})
    unrun = sorted(set(known) - {verdict.claim for verdict in own if not verdict.sabotage})
    if not own:
        missing.append("verdicts of the claims: left out; run `python -m theory_checks run`")
    elif unrun:
        command = f"python -m theory_checks run {' '.join(unrun)}"
        missing.append(f"{len(unrun)} of {len(known)} claims not run: {', '.join(unrun)}; run `{command}`")
    missing += [f"claim {name}: its verdict is left out, no such claim is registered" for name in gone]
    found = []
    for verdict in own:
        if verdict.sabotage or verdict.claim not in known:
            continue
        try:
            found.append(_claim_input(verdict, own, results))
        except OtherConfigurationError as error:
            missing.append(_outdated(f"claim {verdict.claim}", error))
    return tuple(found)


def _regimes(results: Path, verdicts: list[Verdict], missing: list[str]) -> tuple[RegimeInput, ...]:
    found = []
    for name, design in regime_designs().items():
        own = tuple(verdict for verdict in verdicts if verdict.regime == name)
        if not own:
            command = f"python -m theory_checks run --regime {name}"
            missing.append(f"regime {name.removeprefix('regime_')}: left out; run `{command}`")
            continue
        study = design.study(own[0].effort)
        store = results / f"{study.name}.sqlite"
        try:
            found.append(RegimeInput(study, own, tuple(header_lines(study, store)) if store.is_file() else ()))
        except OtherConfigurationError as error:
            missing.append(_outdated(f"regime {name.removeprefix('regime_')}", error))
    return tuple(found)


def read_study(results: Path, name: str) -> StudyInput:
    """One study, by its name or its TOML file.

    Raises
    ------
    FileNotFoundError
        It has no store, or one without rows, under ``results``.
    ValueError, StoreError
        An unknown study or a store that cannot be read.
    """
    study = find_study(name)
    path = results / f"{study.name}.sqlite"
    item = _study_input(study, path) if path.is_file() else None
    if item is None or item.summary.empty:
        raise FileNotFoundError(f"{path}: no rows of study {study.name}; run `python -m simulations run {name}`")
    return item


def read_studies(results: Path, missing: list[str]) -> tuple[StudyInput, ...]:
    """Studies with rows; what is not there, not whole or of another design is listed in ``missing``."""
    found = []
    for name, study in studies().items():
        if study.presentation.kind == RegimeSweeps.kind:  # shown by its verdicts
            continue
        path = results / f"{name}.sqlite"
        command = f"python -m simulations run {name}"
        if not path.is_file():
            missing.append(f"study {name}: left out; run `{command}`")
            continue
        try:
            item = _study_input(study, path)
        except OtherConfigurationError as error:
            missing.append(_outdated(f"study {name}", error))
            continue
        if item.summary.empty:
            missing.append(f"study {name}: no rows yet, left out; run `{command}`")
            continue
        if item.shorter:
            missing.append(f"study {name}: {item.common} of its {study.replications} replications; all by `{command}`")
        elif item.missing:
            missing.append(f"study {name}: {item.missing} rows are missing; complete it by `{command}`")
        found.append(item)
    return tuple(found)


def read_inputs(results: Path) -> Inputs:
    """Read everything under ``results``; what is not there is reported, what is broken is an error.

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
    verdicts = _verdicts(results)
    claims = _claims(results, verdicts, missing)
    regimes = _regimes(results, verdicts, missing)
    found = read_studies(results, missing)
    maps = tuple(sorted((results / "maps").glob("*.pdf")))
    if not maps:
        missing.append("maps of theorem, certificate and recovery: left out; run `python -m theory_checks maps`")
    unrun = len(all_claims()) - len(claims) if claims else 0
    return Inputs(claims, found, maps, regimes, tuple(missing), unrun, tuple(read_registry()))
