"""Every snippet of the README runs, in order, in an empty folder, and does what the text says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from clair_stats.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
MARK = "----- next snippet -----"


def snippets():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)


def run_python(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """A folder after the README's Python snippets, and what each of them printed."""
    folder = tmp_path_factory.mktemp("newcomer")
    python = [code for language, code in snippets() if language == "python"]
    said = run_python(f"\nprint({MARK!r})\n".join(python), folder).split(f"{MARK}\n")
    return folder, said


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {"verify", "docs"} <= named
    assert [target for target in sorted(named) if not re.search(rf"^{target}:", makefile, re.M)] == []


def test_python_snippets_find_the_six_contaminated_clients(newcomer):
    _, (_, summary, solution) = newcomer
    assert "contaminated: [0 1 2 3 4 5]" in summary
    assert "basis (20, 2)" in summary
    assert solution.startswith("optimal")
    assert "[0 1 2 3 4 5]" in solution


def test_command_snippets(newcomer, monkeypatch):
    folder, _ = newcomer
    shell = "".join(code for language, code in snippets() if language == "sh" and "clair inspect" in code)
    commands = [line.split("#")[0].strip() for line in shell.splitlines() if line.strip()]
    assert [c.split()[1] for c in commands] == ["inspect", "refine", "certify"]
    status = {}
    for command in commands:
        name, *rest = command.split()[1:]
        if name == "inspect":  # one process of its own shows that the command is installed
            words = [str(Path(sys.executable).parent / "clair"), name, *rest]
            environment = {**os.environ, "COLUMNS": "140"}
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment, check=False)
            status[name] = (done.returncode, done.stdout)
        else:
            monkeypatch.chdir(folder)
            result = CliRunner().invoke(app, [name, *rest])
            status[name] = (result.exit_code, result.output)
    assert status["inspect"][0] == 3, status["inspect"]
    assert all(f"hospital {k} " in status["inspect"][1] for k in range(6))
    assert (folder / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert status["refine"][0] == 0, status["refine"]
    assert np.load(folder / "refined.npz")["refined"].shape == (30, 20, 10)
    assert status["certify"][0] in (0, 3), status["certify"]


def test_the_readme_is_short_and_its_picture_small():
    """Half of the 154 lines that it had; the picture is what its own first command draws."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 77
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    content = (ROOT / picture).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert 10_000 < len(content) < 150_000


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http", "mailto")):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
