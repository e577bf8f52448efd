"""The import graph, read from the sources: every import counts, wherever in a file it stands."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("clair_stats", "simulations", "theory_checks", "reports", "benchmarks")


def modules(packages=PACKAGES):
    """Dotted name -> file of every module of the project."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def nodes(source):
    """All nodes of a source; kept, since several tests look at every file."""
    return tuple(ast.walk(ast.parse(source)))


@cache
def imports_of(source, module, *, is_package=False):
    """(base, name) of every import of house code; name is None for a plain ``import base``."""
    found = set()
    for node in nodes(source):
        if isinstance(node, ast.Import):
            found.update((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = module.split(".")[: len(module.split(".")) - node.level + (1 if is_package else 0)]
                base = ".".join([*parent, base] if base else parent)
            found.update((base, alias.name) for alias in node.names)
    return frozenset((base, name) for base, name in found if base.split(".")[0] in (*PACKAGES, "tests"))


def module_graph(sources):
    """Module -> modules it imports, from module -> (source, is_package)."""
    graph = {}
    for module, (source, is_package) in sources.items():
        targets = set()
        for base, name in imports_of(source, module, is_package=is_package):
            whole = f"{base}.{name}"
            targets.add(whole if whole in sources else base)
        graph[module] = {target for target in targets if target in sources} - {module}
    return graph


def cycles(graph):
    """Strongly connected components with more than one member, each sorted (Tarjan 1972)."""
    index, lowest, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = lowest[node] = len(index)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in index:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], index[target])
        if lowest[node] == index[node]:
            place = stack.index(node)
            component = stack[place:]
            del stack[place:]
            if len(component) > 1:
                found.append(tuple(sorted(component)))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def house_sources():
    """Module -> (source, is_package) of the whole house."""
    return {
        module: (path.read_text(encoding="utf-8"), path.name == "__init__.py") for module, path in modules().items()
    }
