"""Every case that a fuzzer or a walk has found, kept as a file: refused with a remedy or its place, or answered."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from clair_stats import CLAIR
from clair_stats.adapters import read_adapter
from clair_stats.federation import ClientEvidence
from clair_stats.readers import read_estimates
from simulations.toml_design import read_toml
from tests.fuzz.oracle import not_finite, refusals
from tests.hardening.test_nothing_undefined_is_benign import DATA, verdict_of

CASES = Path(__file__).parent / "cases"
READERS = {
    ".evidence.json": ClientEvidence.load,
    ".design.toml": read_toml,
    ".npz": read_estimates,
    ".csv": read_estimates,
    ".adapter": read_adapter,
}
FILES = sorted(path for path in CASES.iterdir() if path.name.endswith(tuple(READERS)))
FITS = sorted(CASES.glob("*.fit.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files(path):
    reader = next(reader for suffix, reader in READERS.items() if path.name.endswith(suffix))
    with refusals(path) as refused:
        reader(path)
    assert refused, "these files are damaged"


@pytest.mark.parametrize("path", FITS, ids=lambda path: path.name)
def test_fits(path):
    case = json.loads(path.read_text())
    blocks = DATA[case["recipe"]] if "recipe" in case else np.array(case["estimates"])
    options = case.get("options", {})
    given = {"noise_scales": np.full(len(blocks), case["noise"])} if "noise" in case else {}
    estimates = blocks if "beside" not in case else {"a": blocks, "b": DATA[case["beside"]]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "overflow encountered in matmul", RuntimeWarning)
        model = CLAIR(**options).fit(estimates, **given)
    assert verdict_of(model) == []
    refined = list(model.refined_.values()) if "beside" in case else [model.refined_]
    assert not_finite(**{str(k): block for k, block in enumerate(refined)}) == []


def test_there_are_cases():
    assert len(FILES) >= 3
    assert len(FITS) >= 10
