"""The house as its imports are; `python -m support.house`, in tests/, prints its figures."""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from support.paths import ROOT

PACKAGE = ROOT / "stylebatch"


class Import(NamedTuple):
    """One module that another imports: when it is loaded, or late, inside a function."""

    importer: str
    imported: str
    is_late: bool
    is_for_types: bool


def module_name(path: Path) -> str:
    """Return a module's dotted name; a package's own is that of its `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_below(folder: Path) -> dict[str, Path]:
    """Return the modules of a package by their names."""
    return {module_name(path): path for path in sorted(folder.rglob("*.py"))}


MODULES = modules_below(PACKAGE)
# What stands beside the package and is run as modules.
SCRIPTS = modules_below(ROOT / "training") | modules_below(ROOT / "benchmarks")


def imports(module: str, source: str, known: Iterable[str] = MODULES) -> list[Import]:
    """Return all that a module's source imports, `from package import module` resolved."""
    return list(_imports_below(ast.parse(source), module, frozenset(known), False, False))


def _imports_below(
    node: ast.AST, module: str, known: frozenset[str], is_late: bool, is_for_types: bool
) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for name in _names(child, module, known):
            yield Import(module, name, is_late, is_for_types)
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        is_guard = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from _imports_below(
            child, module, known, is_late or is_function, is_for_types or is_guard
        )


def _names(node: ast.AST, module: str, known: frozenset[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, f"{module}: imports are written in full"
    assert node.module is not None
    names = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name if name in known else node.module for name in names]


def all_imports(modules: Mapping[str, Path] = MODULES) -> list[Import]:
    """Return every import of some modules, those of the package if nothing else is said."""
    return [
        each
        for module, path in modules.items()
        for each in imports(module, path.read_text(encoding="utf-8"), modules)
    ]


def is_ours(module: str) -> bool:
    """Whether a module is stylebatch's."""
    return module.partition(".")[0] == "stylebatch"


def room(module: str) -> str:
    """Return the entry of `stylebatch/` in which a module stands."""
    return module.split(".")[1] if "." in module else module


def arrows(found: Iterable[Import]) -> set[tuple[str, str]]:
    """Return which rooms import which others, late imports included."""
    pairs = {(room(each.importer), room(each.imported)) for each in found if is_ours(each.imported)}
    return {(one, other) for one, other in pairs if one != other}


def cycles(found: Iterable[tuple[str, str]]) -> list[str]:
    """Return what can't be put in order because it imports itself by way of others."""
    wanted: dict[str, set[str]] = {}
    for importer, imported in found:
        wanted.setdefault(importer, set()).add(imported)
    while free := [name for name, names in wanted.items() if not names & wanted.keys()]:
        for name in free:
            del wanted[name]
    return sorted(wanted)


def longest_chain(found: Iterable[Import]) -> list[str]:
    """Return the longest chain of modules, each of which imports the next when it is loaded."""
    graph: dict[str, set[str]] = {}
    for each in found:
        is_loaded = not (each.is_late or each.is_for_types)
        if is_loaded and is_ours(each.imported) and each.imported != each.importer:
            graph.setdefault(each.importer, set()).add(each.imported)

    @functools.cache
    def chain(module: str) -> tuple[str, ...]:
        below = max((chain(each) for each in graph.get(module, ())), key=len, default=())
        return (module, *below)

    longest = max(map(chain, graph), key=len)
    return list(longest)


def brought_by(module: str) -> list[str]:
    """Return which of stylebatch's modules Python has loaded once it has imported one of them."""
    code = f"import sys, {module}; print(*(m for m in sys.modules if m.startswith('stylebatch')))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return sorted(done.stdout.split())


def main() -> None:
    """Print what a stranger has to carry in the head."""
    found = all_imports()
    chain, brought = longest_chain(found), brought_by("stylebatch.worker.worker")
    print(f"{len(MODULES)} modules, {len({room(name) for name in MODULES})} entries")
    print(f"{len(arrows(found))} arrows between entries")
    print(f"longest chain of imports at loading: {len(chain)}\n  {' -> '.join(chain)}")
    print(f"modules that a worker brings: {len(brought)} of {len(MODULES)}")


if __name__ == "__main__":
    main()
