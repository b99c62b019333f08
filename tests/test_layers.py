"""The house: who may import whom, who brings torch, and how long things may be."""

import ast
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from runs import run_process, small_project

PACKAGE = Path(__file__).parents[1] / "stylebatch"

# Bottom up: a module or package imports only from rows above its own. A row's names don't import
# each other. `stylebatch` is the package's own `__init__`.
TABLE = """
    errors crash_points cores run_log
    files reading
    records
    architectures
    images loss_log
    colors
    weights
    transfer
    recipes
    manifest
    naming assignment fingerprint inputs shard
    plan_summary
    plan
    ledger_schema
    ledger_absorb ledger_sizes ledger_names
    ledger_plan
    ledger
    dataset
    lock
    shards
    finishing specs
    contents
    targets memory_probe
    device
    scheduler pace
    commit
    worker orphans
    executors limits retries watchdog forecast tally
    feed
    launch run_session
    pipeline
    sheets paintings probe disk_space
    preview merge demo doctor estimate
    api
    comparison
    stylebatch
    cli
    __main__
"""
ROWS = {name: row for row, names in enumerate(TABLE.split("\n")) for name in names.split()}

# Imports inside functions, each with its reason.
BRINGS_TORCH = "--help, plan, status and a run with nothing to do start without torch"
LIGHT_HELP = "--help and --version load nothing that they have no use for"
ALLOWED_LATE = {
    ("stylebatch.cli.main", "stylebatch.feed"): LIGHT_HELP,
    ("stylebatch", "stylebatch.api"): BRINGS_TORCH,
    ("stylebatch.cli.single", "stylebatch.api"): BRINGS_TORCH,
    ("stylebatch.cli.recipes", "stylebatch.comparison"): BRINGS_TORCH,
    ("stylebatch.doctor", "stylebatch.device"): BRINGS_TORCH,
    ("stylebatch.estimate", "stylebatch.probe"): BRINGS_TORCH,
    ("stylebatch.executors", "stylebatch.executors.inline"): BRINGS_TORCH,
    ("stylebatch.executors", "stylebatch.executors.local"): BRINGS_TORCH,
    ("stylebatch.launch", "stylebatch.device"): BRINGS_TORCH,
    ("stylebatch.launch", "stylebatch.worker"): BRINGS_TORCH,
}
MAY_IMPORT_TORCH = {
    "api",
    "comparison",
    "device",
    "memory_probe",
    "probe",
    "specs",
    "targets",
    "transfer",
    "worker",
}
MAY_IMPORT_TORCH_LATE = {"doctor", "weights"}
TORCH = ("torch", "torchvision", "safetensors.torch")

MAX_LINES, MAX_FUNCTION_LINES, MAX_MEDIAN_LINES = 350, 60, 12


class Import(NamedTuple):
    """One module that another imports: when it is loaded, or late, inside a function."""

    importer: str
    imported: str
    is_late: bool
    is_for_types: bool


def module_name(path: Path) -> str:
    parts = ("stylebatch", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


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


def place(module: str) -> str:
    """Return the name in the table under which a module stands."""
    return module.split(".")[1] if "." in module else module


def upward(found: Iterable[Import]) -> list[str]:
    """Return the imports of stylebatch's own modules that don't go up the table's rows."""
    return [
        f"{each.importer} imports {each.imported}"
        for each in found
        if is_ours(each.imported)
        and place(each.importer) != place(each.imported)
        and ROWS[place(each.imported)] >= ROWS[place(each.importer)]
    ]


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "stylebatch"


def is_torch(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in TORCH)


def cycles(found: Iterable[Import]) -> list[str]:
    """Return modules that can't be put in order because they import each other."""
    wanted: dict[str, set[str]] = {}
    for each in found:
        if is_ours(each.imported):
            wanted.setdefault(each.importer, set()).add(each.imported)
    while free := [name for name, names in wanted.items() if not names & wanted.keys()]:
        for name in free:
            del wanted[name]
    return sorted(wanted)


@pytest.fixture(scope="module")
def found() -> list[Import]:
    """Return every import of the package."""
    return [
        each
        for module, path in MODULES.items()
        for each in imports(module, path.read_text(encoding="utf-8"))
    ]


def test_every_module_stands_in_the_table_and_nothing_else_does() -> None:
    assert {place(module) for module in MODULES} == ROWS.keys()
    assert len(TABLE.split()) == len(ROWS)


def test_a_module_imports_only_from_rows_above_its_own(found) -> None:
    assert upward(found) == []


def test_no_modules_import_each_other(found) -> None:
    assert cycles(found) == []


def test_the_optimisation_knows_of_nothing_but_architectures(found) -> None:
    known = {place(each.imported) for each in found if place(each.importer) == "transfer"}
    assert known & ROWS.keys() == {"transfer", "architectures"}


def test_imports_inside_functions_are_those_that_have_a_reason(found) -> None:
    late = {
        (each.importer, each.imported) for each in found if each.is_late and is_ours(each.imported)
    }
    assert late == ALLOWED_LATE.keys()


def test_only_the_modules_that_compute_import_torch(found) -> None:
    brings = [each for each in found if is_torch(each.imported) and not each.is_for_types]
    assert {place(each.importer) for each in brings if not each.is_late} <= MAY_IMPORT_TORCH
    assert {place(each.importer) for each in brings if each.is_late} <= MAY_IMPORT_TORCH_LATE


@pytest.mark.parametrize(
    "source",
    [
        "from stylebatch.pipeline import run",
        "from stylebatch import pipeline",
        "import stylebatch.pipeline as house",
        "def late():\n    from stylebatch.pipeline import run",
        "if TYPE_CHECKING:\n    from stylebatch.pipeline import run",
        "try:\n    import stylebatch.pipeline\nexcept ImportError:\n    pass",
    ],
)
def test_an_upward_import_is_found_however_it_is_written(source: str) -> None:
    found = imports("stylebatch.files", source)
    assert upward(found) == ["stylebatch.files imports stylebatch.pipeline"]
    assert upward(imports("stylebatch.preview", source)) == []


def test_imports_along_a_row_and_within_a_package_are_told_apart() -> None:
    along = imports("stylebatch.loss_log", "from stylebatch.images import decode")
    assert upward(along) == ["stylebatch.loss_log imports stylebatch.images"]
    within = imports("stylebatch.transfer.losses", "from stylebatch.transfer import engine")
    assert [each.imported for each in within] == ["stylebatch.transfer.engine"]
    assert upward(within) == []


def test_a_cycle_is_found() -> None:
    there = imports("stylebatch.transfer.losses", "import stylebatch.transfer.engine")
    back = imports("stylebatch.transfer.engine", "def late():\n import stylebatch.transfer.losses")
    assert cycles([*there, *back]) == ["stylebatch.transfer.engine", "stylebatch.transfer.losses"]
    assert cycles(there) == cycles(back) == []


def test_imports_are_told_by_when_they_happen() -> None:
    source = "if TYPE_CHECKING:\n    import torch\ndef late():\n    import torch"
    first, second = imports("stylebatch.files", source)
    assert (first.is_for_types, first.is_late) == (True, False)
    assert (second.is_for_types, second.is_late) == (False, True)


TELL_TORCH = 'print(sorted({"torch", "torchvision"} & sys.modules.keys()))'


def test_no_module_but_those_brings_torch_when_it_is_imported() -> None:
    executors = {"stylebatch.executors.inline", "stylebatch.executors.local"}
    light = [name for name in MODULES if place(name) not in MAY_IMPORT_TORCH]
    light = [name for name in light if name not in executors]
    assert {"stylebatch.cli.main", "stylebatch.pipeline", "stylebatch.weights"} <= set(light)
    code = f"import sys, {', '.join(light)}\n{TELL_TORCH}"
    assert run_process(code) == (0, "[]\n", "")


COMMANDS = """
import contextlib, io, sys
from stylebatch.cli import main
for arguments in (["--help"], ["run", "--help"], ["recipes"], ["plan", sys.argv[-1]]):
    sys.argv = ["stylebatch", *arguments]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main()
"""


def test_help_recipes_and_plan_do_without_torch(tmp_path) -> None:
    manifest = small_project(tmp_path).manifest
    code = COMMANDS.replace("sys.argv[-1]", repr(str(manifest))) + TELL_TORCH
    assert run_process(code) == (0, "[]\n", "")


def _functions() -> Iterator[tuple[str, int]]:
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{module}.{node.name}", node.end_lineno - node.lineno + 1


def test_no_function_is_long_and_most_are_short() -> None:
    lengths = list(_functions())
    assert [each for each in lengths if each[1] > MAX_FUNCTION_LINES] == []
    assert statistics.median(length for _, length in lengths) < MAX_MEDIAN_LINES


def test_no_file_is_long() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_no_module_is_called_for_what_did_not_find_a_place() -> None:
    vague = {"utils", "util", "helpers", "misc", "common"}
    assert {name for name in MODULES if vague & set(name.split("."))} == set()
