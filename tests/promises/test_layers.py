"""The house: who may import whom, who brings torch, and how long things may be."""

import ast
import importlib.util
import re
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from support.house import (
    MODULES,
    PACKAGE,
    SCRIPTS,
    Import,
    all_imports,
    arrows,
    brought_by,
    cycles,
    imports,
    is_ours,
    longest_chain,
    room,
)
from support.paths import ROOT
from support.runs import run_process, small_project

# Bottom up: an entry of `stylebatch/` imports only from rows above its own. A row's names don't
# import each other.
TABLE = """
    errors records system
    pictures extractors output demo data
    recipes transfer annotations library
    manifest device
    plan worker
    ledger api
    run export report
    preview verify
    cli
""".strip()
ROWS = {name: row for row, names in enumerate(TABLE.split("\n"), 1) for name in names.split()}
MAX_ROWS, MAX_ENTRIES = 9, 24
# The package's doors for Python itself, which are no rooms: only what they open is theirs.
DOORS = {"stylebatch": {"api"}, "__main__": {"cli"}}

# What a room does without although it stands above.
WITHOUT = {
    "plan": {"device", "transfer"},
    "worker": {"manifest"},
    "ledger": {"device", "worker", "transfer"},
    "api": {"manifest", "worker"},
    "run": {"api", "transfer", "demo"},
    "verify": {"api", "demo", "device", "manifest", "plan", "transfer", "worker"},
    "export": {
        *("api", "demo", "device", "extractors", "manifest", "pictures", "plan", "recipes"),
        *("transfer", "worker"),
    },
    "report": {
        *("annotations", "api", "data", "demo", "device", "extractors", "manifest", "plan"),
        *("recipes", "transfer", "worker"),
    },
}
# Rooms that are entered by their `__init__` only.
FRONT_DOORS = {
    *("demo", "export", "extractors.weights", "ledger", "manifest", "plan", "recipes", "report"),
    *("run", "verify"),
}
# Rooms whose `__init__` brings nothing, as something in them brings torch, or takes long.
EMPTY = {
    "annotations",
    "device",
    "extractors",
    "library",
    "output",
    "pictures",
    "preview",
    "system",
    "transfer",
    "worker",
}

# Imports inside functions, each with its reason.
BRINGS_TORCH = "--help, plan, status and a run with nothing to do start without torch"
ONLY_AT_AN_ERROR = "`--version` needs nothing of it"
WITHOUT_NETWORK = "a worker that only transfers colours starts without torch"
AN_EXTRA = "Ray is an extra"
ALLOWED_LATE = {
    ("stylebatch.cli.main", "stylebatch.ledger"): ONLY_AT_AN_ERROR,
    ("stylebatch", "stylebatch.api"): BRINGS_TORCH,
    ("stylebatch.cli.checks", "stylebatch.device.choice"): BRINGS_TORCH,
    ("stylebatch.cli.recipes", "stylebatch.preview.comparison"): BRINGS_TORCH,
    ("stylebatch.cli.single", "stylebatch.api"): BRINGS_TORCH,
    ("stylebatch.preview.estimate", "stylebatch.preview.speed_probe"): BRINGS_TORCH,
    ("stylebatch.run.executors", "stylebatch.run.executors.inline"): BRINGS_TORCH,
    ("stylebatch.run.executors", "stylebatch.run.executors.local"): BRINGS_TORCH,
    ("stylebatch.run.executors", "stylebatch.run.executors.on_ray"): AN_EXTRA,
    ("stylebatch.run.judge", "stylebatch.device.choice"): BRINGS_TORCH,
    ("stylebatch.run.judge", "stylebatch.device.judge"): BRINGS_TORCH,
    ("stylebatch.run.start", "stylebatch.device.choice"): BRINGS_TORCH,
    ("stylebatch.run.targets", "stylebatch.device.device"): BRINGS_TORCH,
    ("stylebatch.run.targets", "stylebatch.device.errors"): BRINGS_TORCH,
    ("stylebatch.worker.process", "stylebatch.device.errors"): WITHOUT_NETWORK,
    ("stylebatch.worker.process", "stylebatch.worker.worker"): WITHOUT_NETWORK,
}
# Rooms and modules that import torch, or what does, when they are loaded.
BRING_TORCH = (
    "stylebatch.api",
    "stylebatch.data",
    "stylebatch.device",
    "stylebatch.preview.comparison",
    "stylebatch.preview.speed_probe",
    "stylebatch.transfer",
    "stylebatch.worker.ending",
    "stylebatch.worker.running",
    "stylebatch.worker.saved_images",
    "stylebatch.worker.scoring",
    "stylebatch.worker.worker",
)
BUT = {
    *("stylebatch.device", "stylebatch.transfer"),
    *(f"stylebatch.device.{name}" for name in ("canvas", "content", "originals", "planned_file")),
    *(f"stylebatch.device.{name}" for name in ("pixel_scores", "recolor", "style_images")),
    *(f"stylebatch.device.{name}" for name in ("cpu_memory", "requests", "style_export")),
    *(f"stylebatch.transfer.{name}" for name in ("sizes", "terms", "tiles")),
}
MAY_IMPORT_TORCH = {"api", "data", "device", "preview", "transfer", "worker"}
MAY_IMPORT_TORCH_LATE = {"cli", "extractors"}
TORCH = ("torch", "torchvision", "safetensors.torch")

# What stands beside each other in the repository, from below: what may be imported comes first. Of
# the folders of benchmarks one is the others' setting.
TOPS = ("stylebatch", "training", "benchmarks")
SHARED = "setting"

EVERY = MODULES | SCRIPTS
MAX_LINES, MAX_FUNCTION_LINES, MAX_MEDIAN_LINES = 350, 60, 12


def upward(found: Iterable[Import]) -> list[str]:
    """Return the imports of stylebatch's own modules that don't go up the table's rows."""
    return [
        f"{each.importer} imports {each.imported}"
        for each in found
        if is_ours(each.imported)
        and room(each.importer) != room(each.imported)
        and not {room(each.importer), room(each.imported)} & DOORS.keys()
        and ROWS[room(each.imported)] >= ROWS[room(each.importer)]
    ]


def is_torch(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in TORCH)


def brings_torch(module: str) -> bool:
    below = any(module == name or module.startswith(f"{name}.") for name in BRING_TORCH)
    return below and module not in BUT


def pairs(found: Iterable[Import]) -> list[tuple[str, str]]:
    return [(each.importer, each.imported) for each in found if is_ours(each.imported)]


@pytest.fixture(scope="module")
def found() -> list[Import]:
    """Return every import of the package."""
    return all_imports()


def test_every_entry_stands_in_the_table_and_nothing_else_does() -> None:
    assert {room(module) for module in MODULES} == ROWS.keys() | DOORS.keys()
    assert len(TABLE.split()) == len(ROWS)


def test_the_doors_for_python_open_one_room_each_and_nothing_needs_them(
    found: list[Import],
) -> None:
    known = arrows(found)
    opened = {door: {other for one, other in known if one == door} for door in DOORS}
    assert opened == DOORS
    used = {(one, other) for one, other in known if other in DOORS}
    assert used == {("cli", "stylebatch")}, "its version"


def test_the_table_fits_in_the_head() -> None:
    assert max(ROWS.values()) <= MAX_ROWS
    told = {"__init__.py", "__main__.py", "py.typed"}
    # A folder that git has emptied may still hold what Python compiled there.
    there = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    entries = {path.relative_to(PACKAGE).parts[0] for path in there} - told
    assert len(entries) <= MAX_ENTRIES


def test_a_module_imports_only_from_rows_above_its_own(found: list[Import]) -> None:
    assert upward(found) == []


def test_rooms_do_without_what_they_need_not(found: list[Import]) -> None:
    known = arrows(found)
    unwanted = {(one, other) for one, others in WITHOUT.items() for other in others}
    assert known & unwanted == set()


def test_no_modules_and_no_rooms_import_each_other(found: list[Import]) -> None:
    assert cycles(pairs(found)) == []
    assert cycles(arrows(found)) == []


def test_the_optimisation_knows_of_nothing_but_architectures(found: list[Import]) -> None:
    known = {each.imported for each in found if room(each.importer) == "transfer"}
    ours = {name for name in known if is_ours(name) and room(name) != "transfer"}
    assert ours == {"stylebatch.extractors.architectures"}


def test_what_trains_on_an_output_needs_nothing_of_what_makes_it(found: list[Import]) -> None:
    known = {each.imported for each in found if room(each.importer) == "data"}
    assert {name for name in known if is_ours(name)} == {"stylebatch.errors"}
    assert {room(name) for name in brought_by("stylebatch.data")} <= {"data", "errors", *DOORS}
    assert "torchvision" not in {name.partition(".")[0] for name in known}


def test_a_room_with_a_front_door_is_entered_by_it(found: list[Import]) -> None:
    doors = {f"stylebatch.{name}" for name in FRONT_DOORS}
    past = [
        (importer, imported)
        for importer, imported in pairs(found)
        for door in doors
        if imported.startswith(f"{door}.") and not f"{importer}.".startswith(f"{door}.")
    ]
    assert past == []
    for name in EMPTY:
        assert imports(name, MODULES[f"stylebatch.{name}"].read_text()) == []
    assert FRONT_DOORS - {"extractors.weights"} | EMPTY <= ROWS.keys()


@pytest.mark.slow
def test_a_worker_needs_neither_ledger_nor_plan_nor_manifest() -> None:
    known = {room(name) for name in brought_by("stylebatch.worker.worker")}
    assert known & {"cli", "ledger", "manifest", "plan", "preview", "run"} == set()
    assert {"device", "output", "transfer"} <= known


def test_imports_inside_functions_are_those_that_have_a_reason(found: list[Import]) -> None:
    late = {
        (each.importer, each.imported) for each in found if each.is_late and is_ours(each.imported)
    }
    assert late == ALLOWED_LATE.keys()


def test_only_the_modules_that_compute_import_torch(found: list[Import]) -> None:
    brings = [each for each in found if is_torch(each.imported) and not each.is_for_types]
    assert {room(each.importer) for each in brings if not each.is_late} <= MAY_IMPORT_TORCH
    assert {room(each.importer) for each in brings if each.is_late} <= MAY_IMPORT_TORCH_LATE
    assert [each for each in brings if not each.is_late and not brings_torch(each.importer)] == []


@pytest.mark.parametrize(
    "source",
    [
        "from stylebatch.run import run",
        "from stylebatch import run",
        "import stylebatch.run.pipeline as house",
        "def late():\n    from stylebatch.run.pipeline import run",
        "if TYPE_CHECKING:\n    from stylebatch.run.pipeline import run",
        "try:\n    import stylebatch.run.pipeline\nexcept ImportError:\n    pass",
    ],
)
def test_an_upward_import_is_found_however_it_is_written(source: str) -> None:
    (one,) = upward(imports("stylebatch.system.files", source))
    assert one.startswith("stylebatch.system.files imports stylebatch.run")
    assert upward(imports("stylebatch.preview", source)) == []


def test_imports_along_a_row_and_within_a_room_are_told_apart() -> None:
    along = imports("stylebatch.output.loss_log", "from stylebatch.pictures.images import decode")
    assert upward(along) == ["stylebatch.output.loss_log imports stylebatch.pictures.images"]
    within = imports("stylebatch.transfer.losses", "from stylebatch.transfer import engine")
    assert [each.imported for each in within] == ["stylebatch.transfer.engine"]
    assert upward(within) == []


def test_a_cycle_and_a_chain_are_found() -> None:
    there = imports("stylebatch.transfer.losses", "import stylebatch.transfer.engine")
    back = imports("stylebatch.transfer.engine", "def late():\n import stylebatch.transfer.losses")
    both = ["stylebatch.transfer.engine", "stylebatch.transfer.losses"]
    assert cycles(pairs([*there, *back])) == both
    assert cycles(pairs(there)) == cycles(pairs(back)) == []
    assert longest_chain([*there, *back]) == both[::-1]


def test_imports_are_told_by_when_they_happen() -> None:
    source = "if TYPE_CHECKING:\n    import torch\ndef late():\n    import torch"
    first, second = imports("stylebatch.system.files", source)
    assert (first.is_for_types, first.is_late) == (True, False)
    assert (second.is_for_types, second.is_late) == (False, True)


TELL_TORCH = 'print(sorted({"torch", "torchvision"} & sys.modules.keys()))'


def test_no_module_but_those_brings_torch_when_it_is_imported() -> None:
    without = ("__main__", *(() if importlib.util.find_spec("ray") else ("on_ray", "ray_cluster")))
    light = [name for name in MODULES if not (brings_torch(name) or name.endswith(without))]
    assert {"stylebatch.cli.main", "stylebatch.run", "stylebatch.worker.spec"} <= set(light)
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


def test_help_recipes_and_plan_do_without_torch(tmp_path: Path) -> None:
    manifest = small_project(tmp_path).manifest
    code = COMMANDS.replace("sys.argv[-1]", repr(str(manifest))) + TELL_TORCH
    assert run_process(code) == (0, "[]\n", "")


def test_contributing_shows_this_table() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| ([^|]*) \|", text, re.MULTILINE)
    told = {name: int(row) for row, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert told == ROWS


def outward(found: Iterable[Import]) -> list[str]:
    """Return the imports that don't go up: from the package to the scripts, or between folders."""
    return [
        f"{each.importer} imports {each.imported}"
        for each in found
        if top(each.imported) in TOPS
        and (
            TOPS.index(top(each.imported)) > TOPS.index(top(each.importer))
            or (
                top(each.importer) == top(each.imported) == "benchmarks"
                and room(each.imported) not in {room(each.importer), SHARED}
            )
        )
    ]


def top(module: str) -> str:
    return module.partition(".")[0]


def test_the_package_needs_no_script_and_scripts_share_only_their_setting(
    found: list[Import],
) -> None:
    of_scripts = all_imports(SCRIPTS)
    assert outward([*found, *of_scripts]) == []
    assert len([each for each in of_scripts if each.imported in SCRIPTS]) > 20


def test_scripts_import_each_other_in_no_circle() -> None:
    known = [(each.importer, each.imported) for each in all_imports(SCRIPTS)]
    assert cycles([(one, other) for one, other in known if other in SCRIPTS]) == []


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("stylebatch.api", "from benchmarks.setting.machine import describe_machine"),
        ("stylebatch.transfer.engine", "def late():\n    import training.crops"),
        ("training.crops", "from benchmarks import setting"),
        ("benchmarks.speed.limit", "from benchmarks.solver.methods import METHODS"),
        ("benchmarks.setting.pairs", "if TYPE_CHECKING:\n    from benchmarks.solver import ways"),
        ("benchmarks.setting.pairs", "import benchmarks.gpu.steps"),
    ],
)
def test_an_import_of_a_script_where_none_belongs_is_found(importer: str, source: str) -> None:
    (one,) = outward(imports(importer, source, SCRIPTS))
    assert one.startswith(f"{importer} imports ")


def test_what_scripts_may_import_is_let_through() -> None:
    source = (
        "from benchmarks.setting.machine import describe_machine\n"
        "from benchmarks.solver.ways import Way\n"
        "from training.holdout import HOLDOUT\n"
        "from stylebatch.run import run"
    )
    assert outward(imports("benchmarks.solver.report", source, SCRIPTS)) == []


def test_a_circle_of_scripts_is_found() -> None:
    there = imports("benchmarks.solver.ways", "import benchmarks.solver.report", SCRIPTS)
    source = "if TYPE_CHECKING:\n    from benchmarks.solver.ways import Way"
    back = imports("benchmarks.solver.report", source, SCRIPTS)
    known = [(each.importer, each.imported) for each in [*there, *back]]
    assert cycles(known) == ["benchmarks.solver.report", "benchmarks.solver.ways"]


def _functions() -> Iterator[tuple[str, int]]:
    for module, path in EVERY.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{module}.{node.name}", node.end_lineno - node.lineno + 1


def test_no_function_is_long_and_most_are_short() -> None:
    lengths = list(_functions())
    assert [each for each in lengths if each[1] > MAX_FUNCTION_LINES] == []
    assert statistics.median(length for _, length in lengths) < MAX_MEDIAN_LINES


def test_no_file_is_long() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in EVERY.items()}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_no_module_is_called_for_what_did_not_find_a_place() -> None:
    vague = {"utils", "util", "helpers", "misc", "common"}
    assert {name for name in EVERY if vague & set(name.split("."))} == set()
