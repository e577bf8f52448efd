from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simulations.design import Study
from simulations.storage.export import export

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def digest(tmp_path: Path) -> Callable[[Path, Study], str]:
    """SHA-256 of the csv export of a store."""

    def of(store: Path, study: Study) -> str:
        target = tmp_path / "digest.csv"
        export(store, study, target)
        return hashlib.sha256(target.read_bytes()).hexdigest()

    return of


@pytest.fixture
def simulations() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``python -m simulations`` in a process of its own, from the repository root."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "simulations", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment(), timeout=300)

    return run


@pytest.fixture
def in_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same command line without a process of its own, for what needs no real process."""
    from simulations.cli import main

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["simulations", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, errors = capsys.readouterr()
        return subprocess.CompletedProcess(sys.argv, int(ended.value.code or 0), out, errors)

    return run


def environment() -> dict[str, str]:
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


TOY_TOML = """
name = "toy"
title = "A toy study"
replications = {replications}
root_seed = 3
aims = "To see the engine work."
[[grid]]
[[grid.regimes]]
type = "tests.engine.toys:Normal"
fixed = {{ n = 6 }}
crossed = {{ mean = [0.0, 1.0] }}
[[grid.methods]]
type = "tests.engine.toys:SampleMean"
[[grid.methods]]
type = "tests.engine.toys:TrimmedMean"
crossed = {{ trim = [1, 2] }}
fixed = {{ seconds = {seconds} }}
[[measures]]
type = "Bias"
estimate = "estimate"
truth = "truth"
[[measures]]
type = "PairedDifference"
metric = "estimate"
reference = "sample_mean"
"""


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., Path]:
    """A TOML study of 2 regimes × 3 methods."""

    def write(replications: int = 20, seconds: float = 0.0) -> Path:
        path = tmp_path / "toy.toml"
        path.write_text(TOY_TOML.format(replications=replications, seconds=seconds))
        return path

    return write
