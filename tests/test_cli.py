"""The ``clair`` command in processes of its own: exit statuses, one-line refusals, no file half written."""

import csv
import io
import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from clair_stats import CLAIR, read_estimates
from clair_stats.cli.app import app, with_default_plot
from clair_stats.cli.clients import as_table, client_rows
from clair_stats.report.printable import printable

RUNNER = CliRunner()


def clients(folder, *, contaminated=3, name="clients.npz", n_clients=20, **arrays):
    """A file with ``contaminated`` bad clients in front."""
    rng = np.random.default_rng(11)
    basis, _ = np.linalg.qr(rng.standard_normal((8, 2)))
    estimates = np.stack([basis @ rng.standard_normal((2, 6)) for _ in range(n_clients)])
    estimates += 0.05 * rng.standard_normal(estimates.shape)
    estimates[:contaminated] += rng.standard_normal((contaminated, 8, 6))
    path = folder / name
    np.savez(path, **{"estimates": estimates, **arrays})
    return path


def run(*words):
    return RUNNER.invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def test_flagged_clients_are_named_and_the_status_is_3(tmp_path):
    path = clients(tmp_path, client_names=[f"bank {k}" for k in range(20)])
    done = run("inspect", path)
    assert done.exit_code == 3, done.output
    flagged = {line.split("  ")[0].strip() for line in done.stdout.splitlines() if "CONTAMINATED" in line}
    assert flagged == {"bank 0", "bank 1", "bank 2"}
    assert done.stdout.splitlines()[0].startswith("3 of 20 clients flagged")


def test_nobody_flagged_is_0(tmp_path):
    done = run("inspect", clients(tmp_path, contaminated=0), "--level", "1e-6")
    assert done.exit_code == 0, done.output
    assert "CONTAMINATED" not in done.stdout


def test_no_majority_is_4_and_says_so(tmp_path):
    rng = np.random.default_rng(3)
    # Every client has its own subspace and its own size: no two agree.
    estimates = rng.standard_normal((9, 12, 12)) * np.geomspace(1, 1e4, 9)[:, None, None]
    path = tmp_path / "strangers.npz"
    np.savez(path, estimates=estimates, noise_scales=np.full(9, 1e-3))
    done = run("inspect", path)
    assert done.exit_code == 4, done.output
    assert "no collaborative majority" in done.stdout
    assert "CONTAMINATED" not in done.stdout


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_plot_is_written_whole(tmp_path, suffix):
    picture = tmp_path / f"scores{suffix}"
    assert run("inspect", clients(tmp_path), "--plot", picture).exit_code == 3
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert picture.read_bytes().startswith(start)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clients.npz", picture.name]


def test_plot_without_a_name_goes_beside_the_file():
    assert with_default_plot(["inspect", "a/b.npz", "--plot"])[-1].endswith("b-scores.png")
    assert with_default_plot(["inspect", "--plot", "a/b.npz"])[2].endswith("b-scores.png")
    assert with_default_plot(["inspect", "b.npz", "--plot", "--rank", "2"])[3] == "b-scores.png"
    assert with_default_plot(["inspect", "b.npz", "--plot", "c.pdf"]) == ["inspect", "b.npz", "--plot", "c.pdf"]


def test_refine_writes_what_the_library_computes(tmp_path):
    path, output = clients(tmp_path), tmp_path / "out.npz"
    assert run("refine", path, "--output", output).exit_code == 0
    estimates = np.load(path)["estimates"]
    written = np.load(output)
    model = CLAIR().fit(estimates)
    np.testing.assert_array_equal(written["refined"], model.refined_)
    np.testing.assert_array_equal(written["collaborative_set"], np.arange(20) >= 3)
    np.testing.assert_array_equal(written["refined"][:3], estimates[:3])
    assert stat.S_IMODE(os.stat(output).st_mode) & 0o400
    for settings in ({"flagged": "inform"}, {"refinement": "average"}):
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        assert run("refine", path, "--output", output, *options).exit_code == 0
        np.testing.assert_array_equal(np.load(output)["refined"], CLAIR(**settings).fit(estimates).refined_)


def test_certify_recomputes_the_gap_and_judges_the_instance(tmp_path):
    done = run("certify", clients(tmp_path, contaminated=1, n_clients=40))
    assert "duality gap" in done.stdout
    assert "instance certificate" in done.stdout
    assert done.exit_code == (0 if "exact recovery certified" in done.stdout else 3)


def test_certify_rigorous_proves_the_same_or_says_what_is_missing(tmp_path, monkeypatch):
    path = clients(tmp_path, contaminated=1, n_clients=40)
    pytest.importorskip("flint")
    plain, done = run("certify", path), run("certify", path, "--rigorous")
    assert "ball arithmetic" not in plain.stdout
    assert "ball arithmetic: η in [" in done.stdout
    assert "smallest value lies in [" in done.stdout
    assert "smallest value lies in [" not in plain.stdout
    assert ("exact recovery is proved" in done.stdout) == ("exact recovery certified" in plain.stdout)
    assert done.exit_code == plain.exit_code
    monkeypatch.setitem(sys.modules, "flint", None)
    without = run("certify", path, "--rigorous")
    assert without.exit_code == 2
    assert "clair-stats[proofs]" in without.stderr


def changes(kind, good):
    """Arrays that a good file has instead, or beside its own."""
    with_nan = good.copy()
    with_nan[4, 0, 0] = np.nan
    return {
        "nan": {"estimates": with_nan, "client_names": [f"bank {k}" for k in range(20)]},
        "two clients": {"estimates": good[:2]},
        "flat": {"estimates": good[:, :, 0]},
        "empty": {"estimates": good[:, :0]},
        "names": {"client_names": ["a", "b"]},
        "noise": {"noise_scales": np.r_[np.ones(19), -1.0]},
        "misspelt": {"noise_scale": np.ones(20)},
        "covariances alone": {"column_covariances": np.stack([np.eye(6)] * 20)},
    }[kind]


def broken(folder, kind):
    """Files that must be refused, with the words the refusal must contain."""
    path = folder / "broken.npz"
    good = np.load(clients(folder, name="good.npz"))["estimates"]
    if kind == "missing":
        return folder / "nowhere.npz"
    if kind == "truncated":
        path.write_bytes((folder / "good.npz").read_bytes()[:400])
    elif kind == "text":
        path.write_text("client,score\n")
    elif kind == "no array":
        np.savez(path, weights=good)
    elif kind == "pickled":
        np.savez(path, estimates=np.array([{"a": 1}], dtype=object))
    elif kind == "single array":
        with path.open("wb") as stream:
            np.save(stream, good)
    else:
        np.savez(path, **{"estimates": good, **changes(kind, good)})
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "no such file"),
        ("truncated", "truncated"),
        ("text", "not a readable .npz"),
        ("no array", "no array 'estimates'"),
        ("pickled", "holds Python objects"),
        ("single array", "np.savez"),
        ("nan", "bank 4: values has 1 entries that are NaN or infinite"),
        ("two clients", "at least 3"),
        ("flat", "one p × q block per client"),
        ("empty", "at least 1"),
        ("names", "2 names for 20 clients"),
        ("noise", "client 19: noise_scales is -1.0"),
        ("misspelt", "unknown array 'noise_scale'; did you mean 'noise_scales'?"),
        ("covariances alone", "row_covariances: missing"),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "refine", "certify"])
def test_bad_files_are_refused_in_one_line(tmp_path, kind, words, command):
    path = broken(tmp_path, kind)
    output = tmp_path / "out.npz"
    done = run(command, path, *(["--output", output] if command == "refine" else []))
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert path.name in done.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--level", "2"], "level"),
        (["--rank", "99"], "rank"),
        (["--block-penalty", "-1"], "block_penalty"),
        (["--heterogeneity", "-1"], "heterogeneity"),
        (["--shared", "diagonals"], "shared"),
        (["--plot", "scores.doc"], "unknown kind of output"),
        (["--plot", "no/such/folder/a.png"], "does not exist"),
    ],
)
def test_bad_options_are_refused_in_one_line(tmp_path, words, message):
    done = run("inspect", clients(tmp_path), *words)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_failed_write_leaves_nothing_and_keeps_the_old_file(tmp_path, monkeypatch):
    path, output = clients(tmp_path), tmp_path / "out.npz"
    output.write_bytes(b"old result")

    def full_disk(stream, **arrays):
        stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    done = run("refine", path, "--output", output)
    assert done.exit_code == 2
    assert "No space left" in done.stderr
    assert output.read_bytes() == b"old result"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clients.npz", "out.npz"]


def test_json_says_what_the_table_says(tmp_path):
    path = clients(tmp_path, client_names=[f"bank {k}" for k in range(20)])
    done = run("inspect", path, "--json")
    assert done.exit_code == 3
    document = json.loads(done.stdout)
    assert document["verdict"] == "somebody flagged"
    flagged = {client["name"] for client in document["clients"] if client["verdict"] == "flagged"}
    assert flagged == {"bank 0", "bank 1", "bank 2"}
    assert all(set(client) >= {"name", "verdict", "score", "p_value", "reason"} for client in document["clients"])


def test_csv_and_top(tmp_path):
    done = run("inspect", clients(tmp_path), "--csv", "--top", "3")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["verdict"] for row in rows] == ["flagged"] * 3
    assert run("inspect", clients(tmp_path), "--csv", "--json").exit_code == 2


def test_a_spreadsheet_does_not_run_a_name(tmp_path):
    names = ["=cmd|' /C calc'!A0", *(f"bank {k}" for k in range(19))]
    rows = list(csv.DictReader(io.StringIO(run("inspect", clients(tmp_path, client_names=names), "--csv").stdout)))
    assert any(row["name"].startswith("'=cmd") for row in rows)


@pytest.mark.parametrize("name", ["[/8]", "[link=http://x]y[/link]", "\x1b[31mred", "a" * 20_000, "line\nbreak"])
def test_hostile_names_are_printed_as_text(tmp_path, name):
    done = run("inspect", clients(tmp_path, client_names=[name, *(f"bank {k}" for k in range(19))]))
    assert done.exit_code == 3, done.output
    assert "\x1b" not in done.stdout
    assert printable(name)[:5] in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 1000


def test_standard_input(tmp_path):
    content = clients(tmp_path).read_bytes()
    done = RUNNER.invoke(app, ["inspect", "-"], input=content)
    assert done.exit_code == 3, done.output


def test_an_input_is_never_overwritten(tmp_path):
    path = clients(tmp_path)
    before = path.read_bytes()
    done = run("refine", path, "--output", path)
    assert done.exit_code == 2
    assert "would be overwritten" in done.stderr
    assert path.read_bytes() == before


def test_version_and_names_at_sixty_columns(tmp_path):
    assert run("--version").stdout.startswith("clair-stats ")
    path = clients(tmp_path, client_names=[f"hospital of the county {k}" for k in range(20)])
    console = Console(width=60, file=io.StringIO())
    estimates = read_estimates(path)
    console.print(as_table(client_rows(estimates, CLAIR().fit(estimates)), 60))
    assert "hospital of the county 0" in console.file.getvalue()


def test_help_needs_no_numerical_library():
    code = "import sys, clair_stats.cli.app; print(sorted({'numpy', 'scipy', 'pandas', 'cvxpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
