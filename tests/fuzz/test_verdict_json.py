"""Verdict files of strangers: a clear error that names the file and the remedy, or verdicts with a known status."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.oracle import draws, told
from tests.theory_checks.test_verdict_file import VERDICT
from theory_checks.judge.verdict import Status
from theory_checks.judge.verdict_file import read_verdicts, write_verdicts


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("verdicts") / "verdicts.json"
    write_verdicts(path, [VERDICT])
    return path, path.read_bytes()


@settings(max_examples=draws(200))
@given(place=st.floats(0, 1, exclude_max=True), piece=st.binary(max_size=6), cut=st.integers(0, 20))
def test_a_damaged_verdict_file_is_refused_or_read(written, place, piece, cut):
    path, data = written
    start = int(place * len(data))
    path.write_bytes(data[:start] + piece + data[start + cut :])
    try:
        found = read_verdicts(path)
    except ValueError as error:
        message = str(error)
        told("verdicts.json", True)
    else:
        told("verdicts.json", False)
        assert all(verdict.status in get_args(Status) for verdict in found)
        return
    if not (str(path) in message and "run `python -m theory_checks run`" in message):
        pytest.fail(message)
