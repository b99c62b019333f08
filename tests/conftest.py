"""What every test gets: no network, no home directory, a cache of its own, the shared inputs."""

import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from support.paths import ROOT

if TYPE_CHECKING:
    from support.azurite import Azurite
    from support.runs import Small
    from support.stores import Store

# Benchmarks and training are no part of what is installed; they are run from here.
sys.path.append(str(ROOT))

_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
_FOLDERS = ("HF_HOME",)
_real_socket_init = socket.socket.__init__
_scratch = Path(tempfile.mkdtemp(prefix="stylebatch-tests-"))


def pytest_configure() -> None:
    """Set the environment before any test module, and what it imports, can read it."""
    _take_own_cores()
    home = _scratch / "the-home-directory-is-off-limits-in-tests"
    home.touch()  # a file: whatever is looked for or made below it raises
    os.environ["HOME"] = str(home)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TORCH_HOME"):
        os.environ.pop(name, None)
    # Whoever starts tests, or starts several processes of them, may set a terminal's size here:
    # those that tests open have their own.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    os.environ.update(_OFFLINE)
    os.environ.update({name: str(_scratch / name.lower()) for name in _FOLDERS})
    _let_ctrl_c_reach_what_is_started()
    # How long an example takes says how busy the machine is.
    slow_is_fine = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("any", deadline=None, suppress_health_check=slow_is_fine)
    hypothesis.settings.load_profile("any")
    socket.socket.__init__ = _init_local_socket  # type: ignore[assignment, method-assign]
    socket.getaddrinfo = _refuse


def _take_own_cores() -> None:
    """Of several processes that test at once, keep to cores that no other one uses.

    Threads of two that share cores wait for each other, and several times as long.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        count = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[int(worker[2:]) :: count] or cores)


def _let_ctrl_c_reach_what_is_started() -> None:
    """Go on ignoring Ctrl-C and hang-ups where that was inherited, as with `&` in a script, nohup.

    A handler, unlike SIG_IGN, is not handed down: what tests start can be interrupted.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)


def pytest_unconfigure() -> None:
    shutil.rmtree(_scratch, ignore_errors=True)


def _init_local_socket(
    self: socket.socket,
    family: int = -1,
    kind: int = -1,
    proto: int = -1,
    fileno: int | None = None,
) -> None:
    if fileno is None and family != socket.AF_UNIX:
        _refuse()
    _real_socket_init(self, family, kind, proto, fileno)


def _refuse(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("the network is off limits in tests")


@pytest.fixture
def on_one_core() -> Iterator[None]:
    """Let a test, and what it starts, use one core and so one thread."""
    # Here and not above: it brings stylebatch, which reads the environment that is set above.
    from support.runs import one_core

    with one_core():
        yield


@pytest.fixture
def small(tmp_path: Path) -> "Small":
    """A project of two photographs and two styles that is not begun; see `runs.Small`."""
    from support.runs import small_project

    return small_project(tmp_path)


@pytest.fixture
def local_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test talk to a server of its own: to 127.0.0.1, by number, and to nothing else."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] != "127.0.0.1":
            _refuse()
        real(self, address)

    def resolve(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host != "127.0.0.1":
            _refuse()
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]

    monkeypatch.setattr(socket.socket, "__init__", _real_socket_init)
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def moto_port() -> Iterator[int]:
    """Serve moto's S3 for all tests that ask for a store."""
    from support.stores import serve_moto

    with serve_moto() as port:
        yield port


@pytest.fixture
def store(
    moto_port: int, local_network: None, monkeypatch: pytest.MonkeyPatch
) -> "Iterator[Store]":
    """An S3 of the test's own, behind a proxy, that this process and what it starts reach."""
    from support.stores import serve_store

    with serve_store(moto_port) as served, _reached(served, monkeypatch):
        yield served


@pytest.fixture
def azure(
    local_network: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> "Iterator[Azurite]":
    """Azure's emulator with an empty container, where it is installed."""
    pytest.importorskip("obstore")
    from support.azurite import serve_azurite

    (tmp_path / "azure").mkdir()
    with serve_azurite(tmp_path / "azure") as served, _reached(served, monkeypatch):
        yield served


@contextmanager
def _reached(served: "Store | Azurite", monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from stylebatch.system import object_stores

    for name, value in served.environment.items():
        monkeypatch.setenv(name, value)
    object_stores.opened.cache_clear()
    yield
    object_stores.opened.cache_clear()


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("STYLEBATCH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real photographs, paintings and weights."""
    told = os.environ.get("STYLEBATCH_SHARED")
    folder = Path(told) if told else ROOT.parent / "shared"
    if not (folder / "weights").is_dir():
        pytest.skip(f"needs the shared inputs, and there are none at {folder}")
    return folder
