"""Confirmatory studies: their plan in the registry, the study of each try, and the decision at the try's level."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clair_stats.laws import holm
from simulations.criterion import CriterionResult, RegisteredCriterion
from simulations.design import Study, content_hash, describe
from simulations.registration import (
    REGISTRY,
    Entry,
    Plan,
    conclude,
    outcome_of,
    read_registry,
    registered,
    told,
    tries_of,
)
from simulations.storage.sources import source_digest
from simulations.storage.store import Store, load_rows
from simulations.streams import CONFIRMATORY

__all__ = ["Decided", "decide", "design_hash", "judged", "plan_of", "refuse_unregistered", "tries"]


def design_hash(study: Study) -> str:
    """Hash of cells and replications; the seed is no part of it, since it comes from the registry."""
    return content_hash({"replications": study.replications, "cells": [cell.hash for cell in study.cells]})


def _row_sources(study: Study) -> set[str]:
    return {source_digest(cell.regime, cell.method) for cell in study.cells}


def plan_of(study: Study) -> Plan:
    """What is registered of a study.

    Raises
    ------
    ValueError
        The study does not say that it is confirmatory.
    """
    if not study.confirmatory:
        raise ValueError(f"study {study.name} is exploratory; give it confirmatory={study.name!r} and criteria first")
    rules = [{"kind": type(criterion).__name__, **describe(criterion)} for criterion in study.criteria]
    sources = _row_sources(study) | {source_digest(criterion) for criterion in study.criteria}
    return Plan(
        name=study.confirmatory,
        design=design_hash(study),
        rules=content_hash(rules),
        sources=content_hash(sorted(sources)),
        command=f"python -m simulations register {study.confirmatory}",
    )


def tries(study: Study, *, path: Path = REGISTRY) -> list[Study]:
    """The study with the seed of every try that had this design; from the second on the name says which it is."""
    own = design_hash(study)
    return [
        replace(study, root_seed=entry.root_seed, name=_name(study.confirmatory, entry.attempt))
        for entry in tries_of(study.confirmatory, read_registry(path))
        if entry.design == own
    ]


def _name(name: str, attempt: int) -> str:
    return name if attempt == 1 else f"{name}-try{attempt}"


def _entry_of(study: Study, path: Path) -> Entry:
    """The latest try of a study; an error where it is not registered as it is, or has another seed."""
    entry = registered(plan_of(study), path=path)
    if entry.root_seed != study.root_seed:
        raise ValueError(f"{entry.label} has root seed {entry.root_seed}, not {study.root_seed}; ask for it by name")
    return entry


def refuse_unregistered(study: Study, *, path: Path = REGISTRY) -> list[str]:
    """Lines on all tries of a confirmatory study, oldest first; nothing for other studies.

    Raises
    ------
    ValueError
        It is not registered with this design, these rules and these sources, or not with this seed; or it is
        exploratory with a seed of the registry's.
    """
    if not study.confirmatory:
        if study.root_seed >= CONFIRMATORY:
            raise ValueError(f"study {study.name}: root seeds from 2**64 on belong to the registry; give a smaller one")
        return []
    _entry_of(study, path)
    return told(study.confirmatory, read_registry(path))


@dataclass(frozen=True)
class Decided:
    """One criterion with its test and its decision."""

    criterion: RegisteredCriterion
    result: CriterionResult
    adjusted_p_value: float
    shown: bool

    @property
    def line(self) -> str:
        """The decision in words."""
        item = self.result
        lost = f", {item.lost} rows lost" if item.lost else ""
        return (
            f"{'shown' if self.shown else 'not shown'}: {self.criterion.statement} ({item.estimate:.4f} ± "
            f"{item.standard_error:.4f}, n {item.n}{lost}, adjusted p {self.adjusted_p_value:.2g})"
        )


def judged(study: Study, store: str | os.PathLike[str], level: float) -> list[Decided]:
    """Test every criterion of a study on its rows, Holm's procedure at ``level`` over the criteria.

    Raises
    ------
    ValueError
        Rows are missing.
    StoreError
        The store cannot be read.
    """
    with Store(store, study) as opened:
        missing = sum(status.missing for status in opened.status())
    if missing:
        raise ValueError(f"study {study.name}: {missing} rows are missing; it is decided when all of them are there")
    rows = load_rows(store, study)
    regimes = {cell.hash: cell.regime_hash for cell in study.cells}
    rows = rows.assign(design=rows["cell"].map(regimes))
    found = [criterion.test(rows) for criterion in study.criteria]
    adjusted = holm([item.p_value for item in found])
    return [
        Decided(criterion, item, float(p_value), bool(p_value <= level))
        for criterion, item, p_value in zip(study.criteria, found, adjusted, strict=True)
    ]


def _refuse_other_sources(study: Study, store: Path) -> None:
    """Rows that other sources made than the registered ones decide nothing."""
    known = _row_sources(study)
    with Store(store, study) as opened:
        records: Sequence[tuple[str, int]] = opened.provenance()
        rows = sum(status.ok + status.failed for status in opened.status())
    good = sum(count for record, count in records if json.loads(record).get("sources") in known)
    if good != rows:
        raise ValueError(f"study {study.name}: {rows - good} rows were made by other sources than the registered ones")


def decide(study: Study, store: Path, *, path: Path = REGISTRY) -> list[str]:
    """Decide a registered try at its level and enter the outcome; a try with an outcome is only shown.

    Raises
    ------
    ValueError
        It is exploratory, not registered as it is, rows are missing, or other sources made some of them.
    """
    entries = read_registry(path)
    asked = [e for e in tries_of(study.confirmatory, entries) if e.root_seed == study.root_seed]
    if asked and outcome_of(asked[-1], entries):
        return [f"{asked[-1].label}: {outcome_of(asked[-1], entries)}"]
    entry = _entry_of(study, path)
    _refuse_other_sources(study, store)
    decided = judged(study, store, entry.level)
    lines = [item.line for item in decided]
    conclude(entry, "; ".join(lines), path=path)
    return [f"{entry.label}, level {entry.level:g}, Holm over {len(lines)} criteria", *lines]
