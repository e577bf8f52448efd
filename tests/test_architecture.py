"""Rules of the source tree: permitted imports, file sizes, no printing and no global random numbers in the library."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.import_graph import PACKAGES, ROOT, cycles, house_sources, imports_of, module_graph, modules, nodes

MAX_LINES = 400

# What each room may import from the house, besides itself: a room is a module or folder named here, with all it holds.
# records ← linalg, laws ← stages ← clair.py ← cli; clair_stats ← simulations ← theory_checks ← reports ← benchmarks.
_BASE = {
    *("clair_stats.records", "clair_stats.estimates", "clair_stats.linalg", "clair_stats.laws"),
    "clair_stats.products",
}
_STAGES = {f"clair_stats.{stage}" for stage in ("decomposition", "detection", "refinement", "theory", "local_fits")}
_DRAWN = {"simulations.design", "simulations.streams", "simulations.regimes"}
LAW = {
    "clair_stats": {"clair_stats.clair", "clair_stats.readers", *_BASE, *_STAGES},  # the front page collects names
    "clair_stats.records": set(),
    "clair_stats.containers": set(),
    "clair_stats.majority": set(),
    "clair_stats.estimates": {"clair_stats.records", "clair_stats.containers"},
    "clair_stats.linalg": {"clair_stats.records"},
    "clair_stats.laws": {"clair_stats.records", "clair_stats.linalg"},
    "clair_stats.products": {"clair_stats.records", "clair_stats.linalg"},
    "clair_stats.files": set(),
    "clair_stats.parallel": set(),
    "clair_stats.decomposition": _BASE,
    # The program proposes candidate sets, so detection may ask for its path; never the other way round.
    "clair_stats.detection": {*_BASE, "clair_stats.decomposition", "clair_stats.parallel"},
    "clair_stats.refinement": _BASE,
    "clair_stats.theory": _BASE,
    "clair_stats.local_fits": _BASE,
    # Outlier pursuit is program (E) on clients of one column.
    "clair_stats.baselines": {*_BASE, "clair_stats.decomposition"},
    "clair_stats.report": {*_BASE, *_STAGES, "clair_stats.files"},
    "clair_stats.units": {*_BASE, *_STAGES},
    "clair_stats.orientation": {*_BASE, "clair_stats.decomposition", "clair_stats.units"},
    "clair_stats.several_modules": {*_BASE, *_STAGES, "clair_stats.orientation", "clair_stats.units"},
    "clair_stats.quarantine": {*_BASE, "clair_stats.containers", "clair_stats.several_modules"},
    "clair_stats.fitted_parts": {*_BASE, *_STAGES, "clair_stats.several_modules"},
    "clair_stats.refining": {*_BASE, *_STAGES},
    "clair_stats.convex_solution": {*_BASE, *_STAGES, "clair_stats.units"},
    "clair_stats.inference": {
        *(
            *_BASE,
            *_STAGES,
            "clair_stats.refining",
            "clair_stats.fitted_parts",
            "clair_stats.several_modules",
            "clair_stats.units",
        ),
    },
    "clair_stats.conventions": {"clair_stats.records", "clair_stats.report"},
    "clair_stats.clair": {
        *(*_BASE, *_STAGES, "clair_stats.conventions", "clair_stats.majority"),
        *("clair_stats.inference", "clair_stats.orientation", "clair_stats.refining", "clair_stats.report"),
        *("clair_stats.convex_solution", "clair_stats.fitted_parts", "clair_stats.quarantine"),
        *("clair_stats.several_modules", "clair_stats.units"),
    },
    "clair_stats.readers": {"clair_stats.estimates", "clair_stats.quarantine"},
    # A practitioner's rooms: they fit the model, and nothing below knows of them.
    "clair_stats.adapters": {*_BASE, "clair_stats.clair", "clair_stats.parallel", "clair_stats.report"},
    "clair_stats.federation": {
        *(*_BASE, "clair_stats.adapters", "clair_stats.clair"),
        *("clair_stats.detection", "clair_stats.files"),
    },
    "clair_stats.cli": {
        "clair_stats.adapters",
        *(*_BASE, *_STAGES),
        *("clair_stats.clair", "clair_stats.files", "clair_stats.readers", "clair_stats.report"),
    },
    "simulations": set(),
    "simulations.streams": set(),
    "simulations.measure": set(),
    "simulations.presentation": set(),
    "simulations.criterion": set(),
    "simulations.design": {
        *("simulations.criterion", "simulations.measure", "simulations.presentation", "simulations.streams"),
    },
    "simulations.regimes": {"clair_stats", "simulations.design", "simulations.streams"},
    "simulations.storage": {"clair_stats.files", "simulations.design"},
    "simulations.measures": {
        *("clair_stats", *_DRAWN),
        *("simulations.criterion", "simulations.measure", "simulations.storage"),
    },
    "simulations.methods": {"clair_stats", *_DRAWN, "simulations.measures"},
    "simulations.copying": {"clair_stats", *_DRAWN, "simulations.measures", "simulations.methods"},
    "simulations.verse": {"clair_stats", *_DRAWN, "simulations.copying", "simulations.measures"},
    "simulations.vision": {"clair_stats", *_DRAWN, "simulations.copying", "simulations.measures"},
    "simulations.tweets": {
        *("clair_stats", *_DRAWN),
        *("simulations.copying", "simulations.measures", "simulations.methods"),
    },
    "simulations.engine": {
        *("clair_stats.parallel", "simulations.design", "simulations.streams"),  # Ctrl-C while processes start
        *("simulations.measure", "simulations.measures", "simulations.storage"),
    },
    "simulations.registration": {"simulations.design", "simulations.streams"},
    "simulations.confirmation": {
        *("simulations.criterion", "simulations.design", "simulations.registration", "simulations.storage"),
        *("clair_stats.laws", "simulations.streams"),
    },
    "simulations.toml_design": {
        *("simulations.design", "simulations.measure", "simulations.measures", "simulations.presentation"),
    },
    "simulations.studies": {
        *_DRAWN,
        *("simulations.copying", "simulations.measures", "simulations.methods", "simulations.verse"),
        *("simulations.tweets", "simulations.vision"),
        *("simulations.confirmation", "simulations.presentation", "simulations.toml_design"),
    },
    "simulations.ademp": {"simulations.design", "simulations.measure"},
    "simulations.commands": {
        *("clair_stats.files", "clair_stats.laws", "simulations.ademp"),
        *("simulations.confirmation", "simulations.design"),
        *("simulations.engine", "simulations.measure", "simulations.presentation"),
        *("simulations.measures", "simulations.registration", "simulations.storage", "simulations.studies"),
        *("simulations.methods", "simulations.regimes"),  # names of metrics and of clients, for pages
    },
    "simulations.cli": {"simulations.commands", "simulations.engine", "simulations.storage"},
    "simulations.__main__": {"clair_stats.cli", "simulations.cli"},
    "theory_checks": set(),
    "theory_checks.rules": set(),
    "theory_checks.instances": {"clair_stats", *_DRAWN},
    "theory_checks.methods": {"clair_stats", "theory_checks.instances", *_DRAWN},
    "theory_checks.claim": {"simulations.design", "simulations.streams", "theory_checks.rules"},
    "theory_checks.claims": {
        *("clair_stats", "simulations"),
        *("theory_checks.claim", "theory_checks.instances", "theory_checks.methods", "theory_checks.regimes"),
        "theory_checks.rules",
    },
    "theory_checks.regimes": {"simulations.studies", "theory_checks.rules"},
    "theory_checks.registry": {"theory_checks.claim", "theory_checks.claims"},
    "theory_checks.judge": {
        *("clair_stats.files", "clair_stats.laws"),
        *("simulations.design", "simulations.engine", "simulations.registration"),
        *("simulations.storage", "theory_checks.claim", "theory_checks.registry", "theory_checks.rules"),
    },
    "theory_checks.maps": {
        *("clair_stats", "simulations", "theory_checks.claim", "theory_checks.instances", "theory_checks.methods"),
        *("theory_checks.judge", "theory_checks.rules"),
    },
    "theory_checks.commands": {
        "clair_stats.files",
        *("simulations.engine", "simulations.registration", "simulations.storage", "simulations.streams"),
        *("theory_checks.claim", "theory_checks.judge", "theory_checks.maps", "theory_checks.registry"),
        "theory_checks.rules",
    },
    "theory_checks.cli": {"theory_checks.commands"},
    "theory_checks.__main__": {"clair_stats.cli", "theory_checks.cli"},
    "reports": {"clair_stats", "simulations", "theory_checks"},
    "benchmarks": {"clair_stats", "simulations", "theory_checks", "reports"},
}

# Known and named; a cycle that is not here fails, and so does one that is here and is gone.
KNOWN_CYCLES: set[tuple[str, ...]] = set()


def room_of(module):
    """The longest name in the law that is the module or holds it; None for a forgotten module.

    A package that has rooms of its own holds nothing but its ``__init__``: a new file in it is a new room.
    """
    names = [room for room in LAW if module == room or module.startswith(room + ".")]
    room = max(names, key=len, default=None)
    has_rooms = any(other.startswith(f"{room}.") for other in LAW)
    return None if room is None or (has_rooms and module != room) else room


def broken_arrows(module, imports):
    """Imports of ``module`` that the law forbids; the module itself where no room in the law holds it."""
    room = room_of(module)
    if room is None:
        return [f"{module} is in no room of the law"]
    broken = set()
    for base, name in imports:
        whole = base if name is None else f"{base}.{name}"
        permitted = {*LAW[room], room}
        if not any(whole == target or whole.startswith(target + ".") for target in permitted):
            broken.add(whole)
    return sorted(broken)


def test_imports_follow_the_law():
    broken = {
        module: broken_arrows(module, imports_of(source, module, is_package=is_package))
        for module, (source, is_package) in house_sources().items()
    }
    assert {module: arrows for module, arrows in broken.items() if arrows} == {}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("clair_stats.decomposition.path", "from clair_stats.detection.detect import x"),
        ("clair_stats.theory.gain", "from ..refinement import refine"),
        ("clair_stats.refinement.refine", "import clair_stats.clair"),
        ("clair_stats.detection.detect", "from clair_stats import CLAIR"),
        ("clair_stats.report.summary", "from clair_stats.clair import CLAIR"),
        ("clair_stats.clair", "import simulations.measures.metrics"),
        ("simulations.storage.store", "from simulations.engine.replicate import x"),
        ("simulations.regimes.gaussian", "def late():\n    from simulations.methods import x"),
        ("simulations.storage.store", "from theory_checks import claim"),
        ("theory_checks.rules.means", "from theory_checks.judge import verdict"),
        ("theory_checks.claim", "from reports.tables import x"),
        ("reports.cli", "from tests import conftest"),
        ("benchmarks.fit", "import tests.conftest"),
    ],
)
def test_a_forbidden_arrow_is_found(module, line):
    assert broken_arrows(module, imports_of(line, module)) != []


@pytest.mark.parametrize(
    "module", ["simulations.shelf", "theory_checks.judges.run", "clair_stats.stages", "clair_stats.x.y"]
)
def test_a_forgotten_module_is_found(module):
    assert broken_arrows(module, set()) == [f"{module} is in no room of the law"]


def room_graph(graph):
    """Room -> rooms that its modules import."""
    rooms = {}
    for module, targets in graph.items():
        rooms.setdefault(room_of(module), set()).update(room_of(target) for target in targets)
    return {room: targets - {room} for room, targets in rooms.items()}


def test_no_module_imports_itself_through_others():
    assert set(cycles(module_graph(house_sources()))) == KNOWN_CYCLES


def test_no_room_imports_itself_through_others():
    assert cycles(room_graph(module_graph(house_sources()))) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("clair_stats.linalg", "if TYPE_CHECKING:\n    from clair_stats.clair import CLAIR"),
        ("simulations.design", "def late():\n    from simulations.storage.store import Store"),
        ("theory_checks.rules.power", "import theory_checks.rules.means\n"),
    ],
)
def test_an_injected_cycle_is_found(module, line):
    sources = house_sources()
    if module == "theory_checks.rules.power":
        source, kind = sources["theory_checks.rules.means"]
        sources["theory_checks.rules.means"] = (source + "\nfrom theory_checks.rules import power\n", kind)
    source, kind = sources[module]
    sources[module] = (source + "\n" + line, kind)
    found = [cycle for cycle in cycles(module_graph(sources)) if module in cycle]
    assert len(found) == 1
    if module == "simulations.design":
        assert any("simulations.storage" in cycle for cycle in cycles(room_graph(module_graph(sources))))


def test_no_file_outgrows_its_room():
    too_long = {
        str(path.relative_to(ROOT)): n
        for package in [*PACKAGES, "tests"]
        for path in (ROOT / package).rglob("*.py")
        if (n := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert too_long == {}


# Longer than a function should be, each because of one sequence of steps that shares its names.
LONG_FUNCTIONS = set()


def long_functions(source, limit=60):
    """Names of functions with more lines than the limit, their docstring left out."""
    for node in nodes(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            words = node.body[0] if ast.get_docstring(node) else None
            told = words.end_lineno - words.lineno + 1 if words else 0
            if node.end_lineno - node.lineno + 1 - told > limit:
                yield node.name


def test_functions_are_short():
    found = {(module, name) for module, (source, _) in house_sources().items() for name in long_functions(source)}
    assert found <= LONG_FUNCTIONS
    body = "\n".join(["    x = 1"] * 60)
    assert list(long_functions(f"def f():\n{body}\n")) == ["f"]
    assert list(long_functions(f'def f():\n    """Words."""\n{body[10:]}\n')) == []


def test_library_has_no_global_random_state_and_does_not_print():
    offenders = []
    for module, path in modules().items():
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


@cache
def public_classes(source):
    """Names of the classes that a file defines, wherever in it."""
    classes = (node.name for node in nodes(source) if isinstance(node, ast.ClassDef))
    return tuple(name for name in classes if not name.startswith("_"))


def shared_class_names(sources):
    """Public class name -> modules, for names of more than one class."""
    homes = {}
    for module, (source, _) in sources.items():
        for name in public_classes(source):
            homes.setdefault(name, []).append(module)
    return {name: found for name, found in homes.items() if len(found) > 1}


def test_no_two_classes_have_one_name():
    assert shared_class_names(house_sources()) == {}


def test_a_second_class_of_one_name_is_found():
    twin = {"clair_stats.twin": ("class CLAIR:\n    pass\n", False)}
    assert set(shared_class_names({**house_sources(), **twin})) == {"CLAIR"}
