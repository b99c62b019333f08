"""Downloads from a real server on this machine: whole, wrong, cut, silent, absent, twice."""

import socket
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from support.runs import Small, command, small_project
from torch import Tensor

from stylebatch.extractors.weights import (
    NAMED_WEIGHTS,
    WeightsError,
    fetch,
    find_named,
    find_weights,
    is_fetched,
    load_tensors,
)
from stylebatch.extractors.weights import downloads as of_downloads
from stylebatch.extractors.weights.names import NamedWeights

KEY = ("vgg19", "of-a-test")


class Server:
    """Serves one file under any name, in a way that a test chooses."""

    def __init__(self) -> None:
        self.data, self.answer = b"", self.whole
        self.asked: list[str] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.asked.append(self.path)
                served.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def whole(self, request: BaseHTTPRequestHandler) -> None:
        self._send(request, self.data)

    def half(self, request: BaseHTTPRequestHandler) -> None:
        """Promise all, send half and hang up."""
        self._send(request, self.data[: len(self.data) // 2])
        request.close_connection = True

    def another(self, request: BaseHTTPRequestHandler) -> None:
        self._send(request, bytes(len(self.data)))

    def missing(self, request: BaseHTTPRequestHandler) -> None:
        request.send_error(404)

    def nothing(self, request: BaseHTTPRequestHandler) -> None:
        """Hang up without an answer."""
        request.connection.shutdown(socket.SHUT_RDWR)
        request.close_connection = True

    def _send(self, request: BaseHTTPRequestHandler, data: bytes) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(self.data)))
        request.end_headers()
        request.wfile.write(data)


@pytest.fixture
def server(local_network: None) -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch/hub/checkpoints"


@pytest.fixture
def named(
    server: Server, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> NamedWeights:
    """Add a named set of two layers, whose file carries its own sha256's start in its name."""
    drawn = load_tensors(find_weights("vgg19", "random", Path()), ["conv2_1"])
    names = zip(("features.0", "features.2", "features.5"), drawn.values(), strict=True)
    tensors: dict[str, Tensor] = {}
    for prefix, (weight, bias) in names:
        tensors |= {f"{prefix}.weight": weight, f"{prefix}.bias": bias}
    torch.save(tensors, tmp_path / "served.pth")
    server.data = (tmp_path / "served.pth").read_bytes()
    url = f"{server.url}/small-{sha256(server.data).hexdigest()[:8]}.pth"
    named = NamedWeights("Small_Weights.OF_A_TEST", url, "imagenet", 0.4)
    monkeypatch.setitem(NAMED_WEIGHTS, KEY, named)
    return named


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(WeightsError) as caught:
        act()
    return str(caught.value)


def left_in(hub: Path) -> list[str]:
    return sorted(path.name for path in hub.iterdir()) if hub.exists() else []


def test_a_set_is_fetched_once_and_then_left_alone(
    server: Server, named: NamedWeights, hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_fetched(named)
    assert fetch(named)
    assert is_fetched(named)
    assert named.place.read_bytes() == server.data
    assert not fetch(named)
    assert len(server.asked) == 1
    assert left_in(hub) == [named.file_name]
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_drawn_on_stderr_where_it_is_asked_for(
    named: NamedWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(named, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "100%" in err


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("half", "cut short, or another file: invalid hash value"),
        ("another", "cut short, or another file: invalid hash value"),
        ("missing", "HTTP Error 404"),
        ("nothing", "Remote end closed connection"),
    ],
)
def test_what_goes_wrong_leaves_nothing_behind_and_is_told(
    server: Server, named: NamedWeights, hub: Path, how: str, reason: str
) -> None:
    server.answer = getattr(server, how)
    message = refused(lambda: fetch(named))
    assert f"could not be downloaded from {named.url} (" in message
    assert reason in message
    assert f"a copy of {named.file_name} (sha256 {named.sha256_start}…) in {hub}" in message
    assert "--weights PATH" in message
    assert "extractor" not in message
    assert "weights convert" in message
    assert left_in(hub) == []
    server.answer = server.whole
    assert fetch(named)


def test_without_a_server_the_error_says_what_to_put_where(
    server: Server, named: NamedWeights, hub: Path
) -> None:
    server.stop()
    message = refused(lambda: fetch(named))
    assert "Connection refused" in message
    assert f"a copy of {named.file_name}" in message
    assert left_in(hub) == []


def test_a_server_that_falls_silent_is_given_up(
    server: Server, named: NamedWeights, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def silent(request: BaseHTTPRequestHandler) -> None:
        goes_on.wait(60)

    server.answer = silent
    monkeypatch.setattr(of_downloads, "SILENCE_S", 0.2)
    assert "timed out" in refused(lambda: fetch(named))
    goes_on.set()
    assert socket.getdefaulttimeout() is None
    assert left_in(hub) == []


def test_what_an_interrupted_download_left_is_not_taken_for_the_file(
    server: Server, named: NamedWeights, hub: Path
) -> None:
    hub.mkdir(parents=True)
    left = f"{named.file_name}.0123.partial"  # as torch.hub calls what it has not finished
    (hub / left).write_bytes(server.data[:100])
    assert not is_fetched(named)
    assert fetch(named)
    assert left_in(hub) == [named.file_name, left]


def test_two_at_once_end_with_one_good_file(server: Server, named: NamedWeights, hub: Path) -> None:
    both = threading.Barrier(2, timeout=60)

    def together(request: BaseHTTPRequestHandler) -> None:
        both.wait()
        server.whole(request)

    server.answer = together
    threads = [threading.Thread(target=fetch, args=(named,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 2
    assert is_fetched(named)
    assert left_in(hub) == [named.file_name]


def test_names_are_told_with_the_known_ones(named: NamedWeights) -> None:
    assert find_named("vgg19/imagenet") == ("vgg19", "imagenet")
    assert find_named("vgg19/of-a-test") == KEY
    assert "vgg19: means any of vgg19/imagenet, " in refused(lambda: find_named("vgg19"))
    message = refused(lambda: find_named("vgg99"))
    assert message.startswith("vgg99: no such named weights; one of vgg19/imagenet, ")


def test_an_architecture_alone_means_its_only_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in [key for key in NAMED_WEIGHTS if key[0] == "vgg19" and key[1] != "imagenet"]:
        monkeypatch.delitem(NAMED_WEIGHTS, key)
    assert find_named("vgg19") == ("vgg19", "imagenet")


# --- as commands -----------------------------------------------------------------------------


def test_weights_are_fetched_by_name(server: Server, named: NamedWeights) -> None:
    name = "/".join(KEY)
    assert "not fetched" in command("weights", "list").out
    ended = command("weights", "fetch", name)
    assert ended == (0, f"{name}: fetched: {named.place}\n", "")
    ended = command("weights", "fetch", name)
    assert ended == (0, f"{name}: is there already: {named.place}\n", "")
    (row,) = (row for row in command("weights", "list").out.splitlines() if name in row)
    assert row.split() == [name, "0.4", "MiB", str(named.place)]


def test_an_unknown_name_fetches_nothing(server: Server, named: NamedWeights) -> None:
    ended = command("weights", "fetch", "/".join(KEY), "vgg99/imagenet")
    assert (ended.code, ended.out) == (2, "")
    assert "vgg19/imagenet" in ended.err
    assert server.asked == []


def test_a_failed_fetch_is_exit_code_2(server: Server, named: NamedWeights) -> None:
    server.answer = server.another
    ended = command("weights", "fetch", "/".join(KEY))
    assert (ended.code, ended.out) == (2, "")
    assert "could not be downloaded" in ended.err


def test_a_run_fetches_what_it_needs_and_says_so(
    server: Server, named: NamedWeights, tmp_path: Path
) -> None:
    small = project(tmp_path)
    ended = small.run()
    assert ended.code == 0, ended.err
    assert f"downloading {named.url} (0.4 MiB) to {named.place}" in small.log()
    assert len(ended.out.splitlines()) == 1
    assert small.run().err == ""
    assert len(server.asked) == 1


def project(root: Path) -> Small:
    small = small_project(root / "project")
    small.document["extractor"] = {"weights": KEY[1]}
    return small


def test_a_run_that_only_carries_photographs_over_needs_no_weights(
    server: Server, named: NamedWeights, tmp_path: Path
) -> None:
    small = project(tmp_path)
    assert small.run().code == 0
    made = small.images().keys()
    named.place.unlink()
    server.answer = server.missing
    small.pair["originals"] = "copy"
    assert "download" not in command("plan", str(small.write())).out
    ended = small.run()
    assert ended.code == 0, ended
    assert small.images().keys() == made | {"cats/a.png", "dogs/b.png"}
    assert (len(server.asked), left_in(named.place.parent)) == (1, [])
    # With one more to be stylised they are.
    small.photo("cats/more.png", 9)
    assert f"downloads first: {named.url}" in command("plan", str(small.write())).out
    assert small.run().code == 2
    assert len(server.asked) == 2


def test_a_run_that_can_not_fetch_starts_nothing(
    server: Server, named: NamedWeights, tmp_path: Path
) -> None:
    server.answer = server.half
    small = project(tmp_path)
    ended = small.run()
    assert (ended.code, ended.out) == (2, "")
    assert "could not be downloaded" in ended.err
    assert small.images() == {}


def test_the_doctor_tells_sets_that_are_there_absent_or_damaged(
    server: Server, named: NamedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")

    def told() -> str:
        rows = command("doctor").out.splitlines()
        (row,) = (row for row in rows if "weights vgg19 of-a-test" in row)
        return row

    assert f"`stylebatch weights fetch`, to {named.place}" in told()
    fetch(named)
    assert told().startswith("ok")
    assert f"checked: {named.place}" in told()
    named.place.write_bytes(server.data[:-1])
    assert told().startswith("!!")
    assert f"damaged: {named.place}: is not Small_Weights.OF_A_TEST" in told()
    ended = command("weights", "fetch", "/".join(KEY))
    assert ended.code == 2
    assert "delete it" in ended.err
