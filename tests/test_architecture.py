"""House rules a reader can rely on: the import law, file sizes, a library that neither prints nor draws luck."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("decomposition", "detection", "refinement", "theory", "local_fits", "baselines")
MAX_LINES = 400

# What each room may import from the house, besides itself (design: records ← stages ← clair.py ← simulations ← …).
BASE = {"clair_stats.records", "clair_stats.estimates", "clair_stats.linalg", "clair_stats.laws"}
ALLOWED = {
    "clair_stats.records": set(),
    "clair_stats.containers": set(),
    "clair_stats.estimates": {"clair_stats.records", "clair_stats.containers"},
    "clair_stats.linalg": {"clair_stats.records"},
    "clair_stats.laws": {"clair_stats.records", "clair_stats.linalg"},
    **{f"clair_stats.{stage}": BASE for stage in STAGES},
}
ABOVE = {
    "clair_stats": {"simulations", "theory_checks", "reports", "benchmarks", "tests"},
    "simulations": {"theory_checks", "reports", "benchmarks", "tests"},
    "theory_checks": {"reports", "benchmarks", "tests"},
    "reports": {"benchmarks", "tests"},
    "benchmarks": {"tests"},
}


def modules():
    for package in ABOVE:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def house_imports(source, module, *, is_package=False):
    """Every import of house code in a file, as absolute dotted names, wherever in the file it stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = module.split(".")[: len(module.split(".")) - node.level + (1 if is_package else 0)]
                base = ".".join([*parent, base] if base else parent)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return {name for name in found if name.split(".")[0] in ABOVE}


def broken_arrows(module, imports):
    """Imports of ``module`` that the law forbids."""
    top = module.split(".")[0]
    broken = [name for name in imports if name.split(".")[0] in ABOVE[top]]
    room = next((r for r in ALLOWED if module == r or module.startswith(r + ".")), None)
    if room is not None:
        permitted = ALLOWED[room] | {room}
        broken += [
            n for n in imports if n != "clair_stats" and not any(n == p or n.startswith(p + ".") for p in permitted)
        ]
        broken += [n for n in imports if n == "clair_stats"]
    if module == "clair_stats.clair":
        broken += [n for n in imports if n.startswith("clair_stats.cli")]
    return sorted(set(broken))


@pytest.mark.parametrize(("path", "module"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_follow_the_law(path, module):
    imports = house_imports(path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py")
    assert broken_arrows(module, imports) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("clair_stats.detection.detect", "from clair_stats.decomposition.solvers.prox import x"),
        ("clair_stats.theory.gain", "from ..refinement import refine"),
        ("clair_stats.refinement.refine", "import clair_stats.clair"),
        ("clair_stats.clair", "import simulations.measures.metrics"),
        ("simulations.storage.store", "from theory_checks import claim"),
        ("theory_checks.claim", "from reports.tables import x"),
    ],
)
def test_the_law_can_be_broken(module, line):
    assert broken_arrows(module, house_imports(line, module)) != []


def test_no_file_outgrows_its_room():
    too_long = {
        str(path.relative_to(ROOT)): n
        for package in [*ABOVE, "tests"]
        for path in (ROOT / package).rglob("*.py")
        if (n := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert too_long == {}


def test_library_has_no_global_random_state_and_does_not_print():
    offenders = []
    for path, module in modules():
        text = path.read_text(encoding="utf-8")
        if re.search(r"np\.random\.(seed|rand|randn|normal|random|choice|shuffle|permutation)\b|RandomState", text):
            offenders.append(f"{module}: global random state")
        if module.startswith("clair_stats") and re.search(r"^\s*print\(", text, re.M):
            offenders.append(f"{module}: print")
    assert offenders == []


def test_public_names_are_all_documented_and_importable():
    import clair_stats

    undocumented = [name for name in clair_stats.__all__ if not (getattr(clair_stats, name).__doc__ or "").strip()]
    assert undocumented == []
    assert {"CLAIR", "ClientEstimates", "decompose", "detect", "refine"} <= set(clair_stats.__all__)


def test_the_tree_names_no_machine():
    """Paths and hosts of one machine mean nothing to a reader."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = [ROOT / name for name in listed.stdout.splitlines()] if listed.returncode == 0 else []
    pattern = re.compile(r"(?<![\w.])/(?:work|farm|root|opt)/|https?://[^ ]*/simple/")
    offenders = [
        f"{path.name}: {line.strip()[:80]}"
        for path in files
        if path.suffix in {".py", ".md", ".toml", ".txt", ".tex", ".yaml", ".cff"}
        and path.exists()
        and path != Path(__file__)
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if pattern.search(line)
    ]
    assert offenders == []
