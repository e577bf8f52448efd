"""Words on the command line: one of the four exit statuses, one line on standard error, no traceback, no half file."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from clair_stats.cli.app import app
from tests.fuzz.oracle import draws, told
from tests.hardening.cases import K, shared

NUMBERS = st.one_of(
    st.integers(-3, 9).map(str), st.floats().map(repr), st.sampled_from(["", "x", "1e400", "nan", "0x10", "½", "-0"])
)
OPTIONS = st.lists(
    st.one_of(
        st.sampled_from(["--json", "--csv", "--no-common", "--drop-missing", "--help", "--nothing", "--"]).map(
            lambda w: [w]
        ),
        st.tuples(
            st.sampled_from(
                ["--rank", "--level", "--block-penalty", "--heterogeneity", "--top", "--shared", "--output"]
            ),
            NUMBERS,
        ).map(list),
        st.sampled_from(["rows", "columns", "both"]).map(lambda w: ["--shared", w]),
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    blocks = shared()[0]
    names = ["[/8]", "$\\write18{x}$", "\x1b[31m", "=1+1", "a" * 300, "\u202e", *(f"c{k}" for k in range(K - 6))]
    np.savez(folder / "whole.npz", estimates=blocks, client_names=names)
    np.savez(folder / "missing.npz", estimates=np.where(np.arange(K)[:, None, None] == 3, np.nan, blocks))
    np.savez(folder / "few.npz", estimates=blocks[:2])
    (folder / "empty.npz").write_bytes(b"")
    (folder / "text.csv").write_text("client,row,column,value\na,0,0,x\n")
    (folder / "nothing").mkdir()
    return folder


@settings(max_examples=draws(60))
@given(
    command=st.sampled_from(["inspect", "refine", "certify", "adapters", "other"]),
    source=st.sampled_from(["whole.npz", "missing.npz", "few.npz", "empty.npz", "text.csv", "nothing", "no such file"]),
    options=OPTIONS,
)
@example(command="inspect", source="whole.npz", options=[["--heterogeneity", "2"]])  # an escape in the nearest name
def test_any_words_end_in_a_known_status(files, command, source, options):
    words = [command, str(files / source), *(word for option in options for word in option)]
    before = sorted(path.name for path in files.iterdir())
    done = CliRunner().invoke(app, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), (words, done.exception)
    assert done.exit_code in (0, 2, 3, 4), words
    if done.exit_code == 2:
        assert done.stderr.strip(), words
        assert "Traceback" not in done.output
    assert "\x1b[31m" not in done.stdout
    assert sorted(path.name for path in files.iterdir()) == before
    told(f"clair {command}", done.exit_code == 2)
