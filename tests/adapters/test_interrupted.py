"""``clair adapters`` stopped at any moment: it ends at once, and the output is whole or not there."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.adapters.folders import federation
from tests.adapters.test_jobs import files

RUN = "from clair_stats.cli import main; main()"
SHAPES = {f"layers.{i}.q_proj": (192, 160) for i in range(12)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folders, what a run writes of them, and how long it takes."""
    root = tmp_path_factory.mktemp("interrupted")
    federation(root / "in", n_clients=12, shapes=SHAPES)
    start = time.monotonic()
    assert command(root, root / "whole").wait() == 3
    return root, files(root / "whole"), time.monotonic() - start


def command(root, output):
    words = [
        sys.executable,
        "-c",
        RUN,
        "adapters",
        str(root / "in"),
        "--output",
        str(output),
        "--rank",
        "4",
        "--jobs",
        "2",
    ]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ})


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_stopped_run_ends_within_five_seconds_and_leaves_nothing(whole, number, status, share):
    root, expected, seconds = whole
    output = root / f"stopped-{number}-{share}"
    process = command(root, output)
    time.sleep(share * seconds)
    process.send_signal(number)
    start = time.monotonic()
    code = process.wait(timeout=30)
    assert time.monotonic() - start < 5.0
    assert b"Traceback" not in process.stderr.read()
    if code == 3:  # it was done already
        assert files(output) == expected
    else:
        assert code == status
        assert not output.exists()
        assert not list(root.glob(f".{output.name}-*"))


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_output(whole):
    """Kill −9 at ten moments: the output is whole or not there, and the next run writes the same bytes."""
    root, expected, seconds = whole
    for number in range(10):
        output = root / f"killed-{number}"
        process = command(root, output)
        time.sleep((number + 1) / 10 * seconds)
        process.kill()
        process.wait()
        process.stderr.close()
        if not output.exists():
            assert command(root, output).wait() == 3
        assert files(output) == expected
