"""What the pages name exists: commands with their options, studies, claims, files, links, tests, names of the code."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import typer

import reports.cli
import simulations.cli
import theory_checks.cli
from clair_stats.cli.app import app
from tests.docs.test_prose import ROOT, tracked

APPS = {
    "clair": app,
    "simulations": simulations.cli.app,
    "theory_checks": theory_checks.cli.app,
    "reports": reports.cli.app,
}
# The changelog tells what happened under the names of its time; pages of the tests quote what a fuzzer found.
PAGES = [name for name in tracked(".md") if name != "CHANGELOG.md" and not name.startswith("tests/")]
# Written by programs, or for them, and in no repository.
MADE = {"adapter_config.json", "evidence.json", "report.html", "report.json", "report.pdf", "verdicts.json"}
# Names of other packages and their files, and of what was withdrawn.
FOREIGN = {"DESCRIPTION", "LICENSE", "copyright", "byzfl", "combined_", "prosodic", "normalized_cov_params", "results"}
COMMAND = re.compile(r"(?:\.venv/bin/)?((?:python -m|clair|make|pytest) [^`#]+)")


@cache
def group(program):
    return typer.main.get_command(APPS[program])


@cache
def source():
    """All code of the tree, this test aside."""
    names = [*tracked(".py", ".jinja"), "pyproject.toml", "Makefile"]
    here = Path(__file__).relative_to(ROOT).as_posix()
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names if name != here)


@cache
def words():
    return set(re.findall(r"\w+", source()))


def inline(text):
    """What stands between single backticks outside code blocks, lines joined."""
    outside = re.sub(r"^```.*?^```", " ", text, flags=re.M | re.S)
    return [" ".join(found.split()) for found in re.findall(r"(?<!`)`([^`]+)`(?!`)", outside)]


def commands(text):
    """Commands between backticks and on lines of code."""
    lines = [line.strip() for line in text.splitlines() if line.startswith(("    ", ".venv")) or "```" not in line]
    found = [COMMAND.fullmatch(piece.split("  #")[0].strip()) for piece in [*inline(text), *lines]]
    return [match.group(1).strip() for match in found if match]


@cache
def tree():
    return tracked("")


def wrong_command(command):
    """What does not exist of a command; an empty text when everything does."""
    head, *rest = command.replace("python -m ", "").split()
    if head == "make":
        return "" if re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M) else rest[0]
    if head == "pytest":
        return next((word for word in rest if "/" in word and not (ROOT / word.split("::")[0]).exists()), "")
    if head not in APPS:
        known = find_spec(head) is not None
        return "" if known and all(word in source() for word in rest if word.startswith("--")) else command
    return _wrong_subcommand(head, [word for word in rest if word not in ("|", "…")])


def _wrong_subcommand(program, rest):
    if not rest or rest[0].startswith("-"):
        return ""
    known = group(program).commands
    if rest[0] not in known:
        return rest[0]
    options = {option for parameter in known[rest[0]].params for option in parameter.opts} | {"--help"}
    unknown = [word for word in rest[1:] if word.startswith("--") and word not in options]
    asked = rest[1] if len(rest) > 1 else ""
    if program in ("simulations", "theory_checks") and re.fullmatch(r"[a-z][a-z_]*(-[a-z]+)*(-try\d)?", asked):
        name = re.sub(r"-try\d$", "", asked)
        unknown += [] if re.search(rf'"{name}"', source()) else [asked]
    return " ".join(unknown)


def wrong_name(piece):
    """A file, a test or a name of the code that does not exist; an empty text otherwise."""
    if re.fullmatch(r"[\w./-]*\w\.(py|md|toml|png|jsonl?|cff|html|pdf)", piece):
        exists = Path(piece).name in MADE or any(("/" + name).endswith("/" + piece) for name in tree())
        return "" if exists else piece
    if re.fullmatch(r"[A-Za-z_][\w.]*(\(.*\))?", piece):
        parts = re.findall(r"\w+", piece.split("(")[0])
        return next((part for part in parts if part not in words() | FOREIGN and not part.isdigit()), "")
    return ""


def lost_links(page, text):
    """Relative links of a page that lead to no file or folder; templates lie elsewhere than what is made of them."""
    here = (ROOT / page).parent if not page.startswith("reports/templates/") else ROOT / "docs" / "gallery"
    found = re.findall(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)", re.sub(r"```.*?```|`[^`\n]*`", " ", text, flags=re.S))
    return [link for link in found if not (here / link).exists()]


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_a_page_exist(name):
    found = commands((ROOT / name).read_text(encoding="utf-8"))
    assert [command for command in found if wrong_command(command)] == []


@pytest.mark.parametrize("name", PAGES)
def test_names_of_a_page_exist(name):
    found = inline((ROOT / name).read_text(encoding="utf-8"))
    assert sorted({wrong_name(piece) for piece in found} - {""}) == []


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_page_lead_somewhere(name):
    assert lost_links(name, (ROOT / name).read_text(encoding="utf-8")) == []


def test_a_link_that_leads_nowhere_is_seen():
    text = "[a](notation.md) [b](gone.md#x) [c](https://arxiv.org) [d](#here)"
    assert lost_links("docs/theory.md", text) == ["gone.md"]


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("clair inspect clients.npz --plot scores.png", ""),
        ("clair inspekt clients.npz", "inspekt"),
        ("python -m simulations register NAME --rules 'held'", "--rules"),
        ("python -m simulations run digits --jobs 2", ""),
        ("python -m simulations run digit_s", "digit_s"),
        ("python -m simulations run rivals-try2", ""),
        ("python -m theory_checks run claim-of-no-name", "claim-of-no-name"),
        ("python -m benchmarks.no_such", "python -m benchmarks.no_such"),
        ("make tea", "tea"),
        ("pytest tests/no_such.py", "tests/no_such.py"),
    ],
)
def test_a_command_that_does_not_exist_is_seen(command, wrong):
    assert wrong_command(command) == wrong


@pytest.mark.parametrize(
    ("piece", "wrong"),
    [
        ("clair_stats/laws.py", ""),
        ("aws.py", "aws.py"),
        ("ClientEstimates(halves=…)", ""),
        ("no_such_field", "no_such_field"),
        ("a − b", ""),
    ],
)
def test_a_name_that_does_not_exist_is_seen(piece, wrong):
    assert wrong_name(piece) == wrong


def test_commands_are_read_from_text_and_from_code():
    text = "Run `python -m simulations\nlist`.\n\n    python -m x run  # why\n\n```sh\nmake verify  # all\n```\n"
    assert commands(text) == ["python -m simulations list", "python -m x run", "make verify"]
    assert isinstance(group("clair"), click.Group)
