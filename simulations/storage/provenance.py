"""Where results come from: version, commit, packages, BLAS, threads, design.

Records hold no time, no path and no number of workers, because none of these changes a result: two runs of the same
code in the same environment give the same record, and a run resumed after a kill gives tables with the same bytes.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import threadpoolctl

from simulations.design import Study, canonical_json
from simulations.storage.store import Store

__all__ = ["environment", "header_lines", "record_run"]

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


def record_run(store: Store) -> None:
    """Write the present environment and design into the store."""
    text = canonical_json({**environment(), "config": store.study.config_hash})
    store.add_provenance(hashlib.sha256(text.encode()).hexdigest(), text)


def header_lines(study: Study, store_path: str | os.PathLike[str]) -> list[str]:
    """Lines for the head of a generated table, without comment sign, timestamps, paths or worker counts.

    One line for the design and one for each environment that wrote rows into the store.
    """
    lines = [
        f"study {study.name}, {len(study.cells)} cells x {study.replications} replications, "
        f"root seed {study.root_seed}, config {study.config_hash[:16]}"
    ]
    with Store(store_path, study) as store:
        records = [json.loads(text) for text in store.provenance()]
    for record in records:
        packages = ", ".join(f"{name} {version}" for name, version in record["packages"].items())
        commit = "unknown" if record["commit"] is None else record["commit"][:12]
        line = (
            f"commit {commit}{' with local changes' if record['dirty'] else ''}, Python {record['python']}, "
            f"{record['machine']}, {packages}, BLAS {'; '.join(record['blas'])}, {record['blas_threads']} thread"
        )
        if line not in lines:
            lines.append(line)
    return lines
