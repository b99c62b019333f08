"""The tests that are marked `cuda`, by pytest, from the files that have some."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.gpu.task import Task

ROOT = Path(__file__).parents[3]
NEEDED = ("pytest", "pytest_timeout", "hypothesis")


def measure(task: Task) -> None:
    """Note how many have passed, and which have not."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        task.notes.leave_out("All of them", f"not installed here: {', '.join(missing)}")
        return
    files = sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if "pytest.mark.cuda" in path.read_text(encoding="utf-8")
    )
    report = task.folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider"]
    command += [f"--junitxml={report}", f"--basetemp={task.folder / 'tmp'}", *files]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if not report.exists():
        raise SystemExit(f"pytest has left no report: exit code {done.returncode}")
    num = {"passed": 0, "failed": 0, "skipped": 0}
    why_skipped: set[str] = set()
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        wrong = [each for each in case if each.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if wrong:
            num["failed"] += 1
            said = (wrong[0].get("message") or "").splitlines()
            task.notes.row("Failed", test=name, said=said[0][:200] if said else "")
        elif skipped is not None:
            num["skipped"] += 1
            why_skipped.add(skipped.get("message") or "")
        else:
            num["passed"] += 1
    told = ", ".join(f"{count} {how}" for how, count in num.items())
    task.notes.row("Tests", **num)
    is_sound = not num["failed"] and done.returncode in (0, 5)
    # On a GPU some have to have run.
    is_sound = is_sound and bool(num["passed"] or not task.is_cuda)
    task.notes.check("No test has failed", is_sound, told)
    if num["skipped"]:
        task.notes.leave_out(f"{num['skipped']} tests", "; ".join(sorted(why_skipped)))
