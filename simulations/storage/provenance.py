"""Where rows come from: commit, sources, packages, BLAS, threads, design.

Every row points to the record of what made it.  Records hold no time, no path and no number of workers, because none of
these changes a result: two runs of the same code in the same environment give the same record, and a run resumed after
a kill gives tables with the same bytes.

A record's *version* is what decides the bits: the digest of the sources that the row depends on
(:mod:`simulations.storage.sources`), packages, Python, machine and BLAS.  The commit is recorded, but two commits that
change no such source are one version.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import threadpoolctl

from simulations.design import Study, canonical_json, content_hash
from simulations.storage.rows import Origin
from simulations.storage.sources import source_digest
from simulations.storage.store import Store, StoreError

__all__ = ["environment", "foreign_rows", "header_lines", "origins", "refuse_mixture", "version_of"]

_PACKAGES = ("clair-stats", "numpy", "scipy", "cvxpy", "statsmodels", "scikit-learn", "joblib", "torch")
_SOURCES = ("clair_stats", "simulations", "theory_checks", "pyproject.toml")
_ROOT = Path(__file__).resolve().parents[2]


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Version, commit, dirty flag, Python, packages, processor type, BLAS, and BLAS threads per worker.

    ``dirty`` is about the sources that can change a result, not about tables and pages; it and ``commit`` are None
    outside a git checkout.
    """
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", *_SOURCES) if commit else None
    # What is loaded depends on what was imported so far; the BLAS of NumPy and SciPy is what computes the results.
    importlib.import_module("scipy.linalg")
    loaded = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    own = [info for info in loaded if "numpy" in info["filepath"] or "scipy" in info["filepath"]]
    libraries = {
        f"{info['internal_api']} {info.get('version')} {info.get('architecture', '')}".strip() for info in own or loaded
    }
    return {
        "commit": commit,
        "dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": {name: version for name in _PACKAGES if (version := _version(name)) is not None},
        "blas": sorted(libraries),
        "blas_threads": 1,
    }


# What a row's version consists of: with all of it equal, the same streams give the same bits.
_VERSION = ("python", "machine", "packages", "blas", "sources")


def version_of(sources: str) -> str:
    """What decides the bits of a result: the digest of its sources, packages, Python, machine and BLAS, as one hash."""
    record = {**environment(), "sources": sources}
    return content_hash({key: record[key] for key in _VERSION})


def origins(study: Study) -> dict[str, Origin]:
    """Cell hash -> what would make a row of the cell now: this environment and the sources the cell depends on."""
    found: dict[str, Origin] = {}
    made: dict[str, Origin] = {}
    for cell in study.cells:
        digest = source_digest(cell.regime, cell.method)
        if digest not in made:
            record = {**environment(), "config": study.config_hash, "sources": digest}
            text = canonical_json(record)
            made[digest] = Origin(hashlib.sha256(text.encode()).hexdigest(), version_of(digest), text)
        found[cell.hash] = made[digest]
    return found


def foreign_rows(store: Store, present: Mapping[str, Origin]) -> int:
    """Rows of the study that another version made than the one that would make them now."""
    return sum(
        count
        for cell in store.study.cells
        for version, count in store.versions(cell).items()
        if version != present[cell.hash].version
    )


def refuse_mixture(store: Store, present: Mapping[str, Origin], missing: int) -> None:
    """Rows of two versions in one store are compared as if one code had made them; refuse to add the second.

    Raises
    ------
    StoreError
        The store holds rows of another version; the message says what to do.
    """
    foreign = foreign_rows(store, present)
    if foreign:
        raise StoreError(
            f"{store.path}: {foreign} rows were made by other sources, packages or another machine than those that "
            f"would make the {missing} missing ones; compute all of them into another store (--store, --stores), or "
            "add --accept-mixed: tables then say how many rows each version made"
        )


def header_lines(study: Study, store_path: str | os.PathLike[str]) -> list[str]:
    """Lines for the head of a generated table, without comment sign, timestamps, paths or worker counts.

    One line for the design and one for each environment that wrote rows into the store; with rows of several versions
    every line says how many.
    """
    lines = [
        f"study {study.name}, {len(study.cells)} cells x {study.replications} replications, "
        f"root seed {study.root_seed}, config {study.config_hash[:16]}"
    ]
    counted: dict[str, int] = {}
    with Store(store_path, study) as store:
        mixed = any(len(store.versions(cell)) > 1 for cell in study.cells)
        for text, rows in store.provenance():
            line = _environment_line(json.loads(text))
            counted[line] = counted.get(line, 0) + rows
    return lines + [f"{line}; {rows} rows" if mixed else line for line, rows in counted.items()]


def _environment_line(record: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in record["packages"].items())
    commit = "unknown" if record["commit"] is None else record["commit"][:12]
    return (
        f"commit {commit}{' with local changes' if record['dirty'] else ''}, Python {record['python']}, "
        f"{record['machine']}, {packages}, BLAS {'; '.join(record['blas'])}, {record['blas_threads']} thread"
    )
