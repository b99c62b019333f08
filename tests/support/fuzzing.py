"""The tests of `promises/test_fuzzed.py`, led by coverage: `cd tests && python -m support.fuzzing`.

Needs atheris (`pip install atheris`), which no test does. Each test has a process and so many
seconds of its own; whatever is no error of ours ends it with the bytes that led there.
"""

import argparse
import importlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from support.encoded import encode

_DONE = re.compile(r"Done (\d+) runs in (\d+) second")


def main() -> None:
    """Run each test for some seconds; print how many inputs that were, and how it ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="*", help="as they are called there; all, if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _fuzz(options.tests[0], options.seconds)
        return
    failed = 0
    for name in options.tests or _names():
        asked = [sys.executable, "-m", "support.fuzzing", "--child", name]
        asked += ["--seconds", str(options.seconds)]
        ended = subprocess.run(asked, capture_output=True, text=True)
        done = _DONE.search(ended.stderr)
        told = f"{int(done[1]):,} inputs in {done[2]} s" if done else "ended before its time"
        print(f"{name}: {told}{'' if ended.returncode == 0 else ', FAILED'}", flush=True)
        if ended.returncode:
            failed += 1
            print(ended.stdout[-4000:], ended.stderr[-4000:], file=sys.stderr)
    sys.exit(failed > 0)


def _names() -> list[str]:
    return list(_seeds(_Fixtures(Path(tempfile.mkdtemp(prefix="fuzzing-")))))


def _seeds(fixtures: "_Fixtures") -> dict[str, bytes]:
    """Return what each test begins with: a sound file."""
    import promises.test_fuzzed as module

    mask = encode(Image.new("LA", (24, 16)))
    return {
        "test_a_manifest": yaml.safe_dump(module.MANIFEST, sort_keys=False).encode(),
        "test_a_map": b"content,style,variant\ncats/a.png,s,1\n",
        "test_a_list_of_a_split": b"cats/a.png\n./dogs/b.png\n# more\n",
        **{"test_a_mask": mask, "test_a_palette_mask": module.palette_mask()},
        **{"test_yolo": module.YOLO, "test_voc": module.VOC, "test_csv": module.CSV},
        "test_coco": json.dumps(module.COCO).encode(),
        "test_segmentation": module.palette_mask(),
        **{f"test_{name}": _bytes(fixtures.get(name)) for name in ("metadata", "weights")},
        "test_cached_targets": _bytes(fixtures.get("targets")),
    }


def _bytes(made: object) -> bytes:
    return made.read_bytes() if isinstance(made, Path) else made  # type: ignore[return-value]


class _Drawn:
    """In the place of what `hypothesis` draws from: whatever is asked for, the input itself."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def draw(self, strategy: object) -> bytes:
        return self._data


def _fuzz(name: str, seconds: int) -> None:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["stylebatch"]):
        import promises.test_fuzzed as module
    fixtures = _Fixtures(Path(tempfile.mkdtemp(prefix="fuzzing-")))
    corpus = fixtures.mktemp("corpus")
    (corpus / "sound").write_bytes(_seeds(fixtures)[name])
    test = getattr(module, name).hypothesis.inner_test
    drawn: dict[str, Callable[[bytes], object]]
    drawn = {"data": bytes, "choice": _Drawn, "geometry": lambda _: module.GEOMETRY}
    asked = _arguments(test)
    given = {each: fixtures.get(each) for each in asked if each not in drawn}

    def take(data: bytes) -> None:
        test(**given, **{each: drawn[each](data) for each in asked if each in drawn})

    limits = [f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=8192"]
    limits.append(f"-artifact_prefix={corpus.parent}/")
    atheris.Setup([sys.argv[0], str(corpus), *limits], take)
    atheris.Fuzz()


class _Fixtures:
    """The tests' fixtures, each made once, in folders below one."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, dict[str, Any]()

    def mktemp(self, prefix: str) -> Path:
        """Make a folder, as pytest's own factory does."""
        return Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=self._folder))

    def get(self, name: str) -> Any:
        """Return a fixture by its name."""
        import promises.test_fuzzed as module

        if name not in self._made:
            if name == "tmp_path_factory":
                return self
            if name == "tmp_path":
                self._made[name] = self.mktemp("tmp")
            else:
                make = getattr(module, name).__wrapped__
                self._made[name] = make(**{each: self.get(each) for each in _arguments(make)})
        return self._made[name]


def _arguments(function: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = function.__code__.co_varnames
    return names[: function.__code__.co_argcount]


if __name__ == "__main__":
    main()
