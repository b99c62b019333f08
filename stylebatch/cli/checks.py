"""What a machine has: packages, devices, weights, folders."""

import importlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from stylebatch.extractors.weights import (
    NAMED_WEIGHTS,
    SHIPPED_WEIGHTS,
    WeightsError,
    find_weights,
    is_fetched,
)
from stylebatch.system.cores import usable_cores
from stylebatch.system.files import default_cache_folder
from stylebatch.system.words import counted, size_text


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; a fatal one that is not good means that nothing can run."""

    name: str
    is_good: bool
    text: str
    is_fatal: bool = False


def examine() -> list[Check]:
    """Look at everything that a run needs; takes the seconds that torch needs to import."""
    checks: list[Callable[[], Check]] = [_python, _torch, _torchvision]
    found = [check() for check in checks]
    if all(check.is_good for check in found):
        found.append(_devices())
    found.extend([*_weights(), _cache(), _demo()])
    return found


def _python() -> Check:
    is_good = sys.version_info >= (3, 11) and sys.platform != "win32"
    text = f"{platform.python_version()} on {platform.platform(terse=True)}"
    return Check("Python", is_good, text, is_fatal=True)


def _torch() -> Check:
    return _import("torch", "pip install torch torchvision")


def _torchvision() -> Check:
    return _import("torchvision", "install torch and torchvision together: they come in pairs")


def _import(package: str, todo: str) -> Check:
    try:
        importlib.import_module(package)
    except (
        Exception
    ) as error:  # a mismatched pair fails with RuntimeError, a missing library OSError
        return Check(package, False, f"does not import ({error}); {todo}", is_fatal=True)
    return Check(package, True, version(package), is_fatal=True)


def _devices() -> Check:
    # Only when torch is known to import.
    from stylebatch.device.choice import available_devices, precision_name

    names = available_devices()
    text = ", ".join(f"{name} ({precision_name('auto', name)})" for name in names)
    return Check("devices", True, f"{text}; {usable_cores()} usable CPU cores")


def _weights() -> list[Check]:
    checks = []
    todo = "downloaded when needed, or by `stylebatch weights fetch`, to"
    for (arch, name), named in NAMED_WEIGHTS.items():
        try:
            is_there = is_fetched(named)
            text = f"checked: {named.place}" if is_there else f"not there yet: {todo} {named.place}"
        except WeightsError as error:
            is_there, text = False, f"damaged: {error}"
        checks.append(Check(f"weights {arch} {name}", is_there, text))
    for arch, name in SHIPPED_WEIGHTS:
        try:
            shipped = find_weights(arch, name, Path.cwd())
            is_there, text = True, f"checked: {shipped.path}"
        except WeightsError as error:
            is_there, text = False, f"damaged: {error}; install stylebatch again"
        checks.append(Check(f"weights {arch} {name}", is_there, text))
    return checks


def _cache() -> Check:
    folder = default_cache_folder()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    is_good = os.access(existing, os.W_OK)
    files = list(folder.glob("grams/*.safetensors"))
    size = size_text(sum(file.stat().st_size for file in files))
    text = f"{folder}: {counted(len(files), 'style target')}, {size}"
    return Check("cache", is_good, text if is_good else f"{folder} can't be written", is_fatal=True)


def _demo() -> Check:
    is_there = find_spec("skimage") is not None
    try:
        text = f"scikit-image {version('scikit-image')}" if is_there else ""
    except PackageNotFoundError:
        text = "scikit-image"
    return Check("demo extra", is_there, text or "pip install 'stylebatch[demo]'")
