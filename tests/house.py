"""Measures the structure of the packages by their own imports: `python tests/house.py` prints a table.

An entry is a file or folder at the top level of a package. An entry stands one floor above the highest entry that it imports, and
on floor 1 where it imports none. A circle is a set of siblings, files or folders at any level, that import each other in a loop.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "fr_data": ROOT / "data" / "fr_data",
    "fr_prep": ROOT / "prep" / "fr_prep",
    "fr_train": ROOT / "train" / "fr_train",
    "fr_eval": ROOT / "evaluate" / "fr_eval",
}
Parts = tuple[str, ...]
Graph = dict[str, set[str]]


def list_files(package: Path) -> list[Path]:
    """Return all Python files of a package, sorted."""
    return sorted(package.rglob("*.py"))


def list_entries(package: Path) -> list[str]:
    """Return the names at a package's top level, sorted; caches do not count."""
    return sorted(path.name for path in package.iterdir() if path.name != "__pycache__")


def find_imports(package: Path) -> dict[Parts, set[Parts]]:
    """Return file → the files of its own package that it imports, each as the parts of its module's name.

    An `__init__.py` that hands names on counts as a file of its folder like any other.
    """
    modules = {_module(path, package): path for path in list_files(package)}
    return {module: set(_imported(path, package.name, modules)) - {module} for module, path in modules.items()}


def _module(path: Path, package: Path) -> Parts:
    return path.relative_to(package).with_suffix("").parts


def _imported(path: Path, package: str, modules: Mapping[Parts, Path]) -> Iterator[Parts]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            root, *parts = name.split(".")
            if root == package:
                yield from (found for found in (tuple(parts), (*parts, "__init__")) if found in modules)


def siblings(imports: Mapping[Parts, set[Parts]], folder: Parts = ()) -> Graph:
    """Return child of a folder → the children that it imports."""
    depth = len(folder)
    graph: Graph = {module[depth]: set() for module in imports if module[:depth] == folder and len(module) > depth}
    for module, targets in imports.items():
        for target in targets:
            if module[:depth] == target[:depth] == folder and module[depth] != target[depth]:
                graph[module[depth]].add(target[depth])
    return graph


def find_circles(graph: Graph) -> list[list[str]]:
    """Return the sets of nodes that reach each other, sorted."""
    reached = {node: _reach(graph, node) for node in graph}
    circles = {tuple(sorted({node, *(other for other in reached[node] if node in reached[other])})) for node in graph}
    return sorted(list(circle) for circle in circles if len(circle) > 1)


def _reach(graph: Graph, node: str) -> set[str]:
    found: set[str] = set()
    waiting = [node]
    while waiting:
        for target in graph[waiting.pop()] - found:
            found.add(target)
            waiting.append(target)
    return found


def count_floors(graph: Graph) -> int:
    """Return the number of floors; what imports each other stands on one floor."""
    circle_of = {node: circle[0] for circle in find_circles(graph) for node in circle}
    below: Graph = {}
    for node, targets in graph.items():
        own = circle_of.get(node, node)
        below.setdefault(own, set()).update({circle_of.get(target, target) for target in targets} - {own})
    floors: dict[str, int] = {}

    def floor(node: str) -> int:
        if node not in floors:
            floors[node] = 1 + max(map(floor, below[node]), default=0)
        return floors[node]

    return max(map(floor, below), default=0)


def all_circles(imports: Mapping[Parts, set[Parts]]) -> list[str]:
    """Return the circles among the siblings of each folder, as text: `folder: a, b`."""
    folders = {module[:depth] for module in imports for depth in range(len(module))}
    return [
        f"{'/'.join(folder) or '.'}: {', '.join(circle)}"
        for folder in sorted(folders)
        for circle in find_circles(siblings(imports, folder))
    ]


def main() -> None:
    """Print the table."""
    print("| package | Python files | entries at the top level | floors | arrows between entries | circles |")
    print("|---|---|---|---|---|---|")
    total = 0
    for name, package in PACKAGES.items():
        imports = find_imports(package)
        graph = siblings(imports)
        arrows = sum(map(len, graph.values()))
        total += len(list_files(package))
        circles = all_circles(imports)
        row = [len(list_files(package)), len(list_entries(package)), count_floors(graph), arrows, len(circles)]
        print(f"| `{name}` | {' | '.join(map(str, row))} |", *circles)
    print(f"| all | {total} | | | | |")


if __name__ == "__main__":
    main()
