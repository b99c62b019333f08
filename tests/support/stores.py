"""Object stores to try: moto's S3 in a process of its own, behind a proxy that makes faults."""

import http.client
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

# Loads moto; its own log of requests would fill the pipe.
_SERVE = """
import logging, sys
logging.getLogger("werkzeug").disabled = True
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""
BUCKET = "bucket"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
_STANDS_STILL_S = 600


class Request(NamedTuple):
    """A request that came to the proxy: its method, its path with its query, as they came."""

    method: str
    path: str

    @property
    def is_list(self) -> bool:
        """Whether it asks what is below a prefix."""
        return self.method == "GET" and "list-type=2" in self.path

    @property
    def is_read(self) -> bool:
        """Whether it asks for an object's bytes."""
        return self.method == "GET" and not self.is_list


@dataclass
class Fault:
    """What happens to requests instead of an answer.

    Attributes:
        kind: a status instead of it; nothing at all; half the body, or half of what is sent up
            taken, and the connection closed; the connection closed at once, or when all is done.
        pattern: of `METHOD PATH?QUERY`, found anywhere in it.
        times: how many requests it happens to; None: every one.
        status: of `status`.
    """

    kind: Literal["status", "silence", "cut", "cut upload", "reset", "lost"]
    pattern: str = ""
    times: int | None = 1
    status: int = 503
    happened: int = 0

    def takes(self, told: str) -> bool:
        """Whether it happens to this request."""
        if not re.search(self.pattern, told) or self.happened == self.times:
            return False
        self.happened += 1
        return True


@dataclass
class Store:
    """An S3 that tests look into and write to past the proxy, by boto3.

    Attributes:
        environment: what a program needs to reach it through the proxy.
        delay_s: that the proxy waits before each answer.
        watch: is told of each request before it is answered.
    """

    upstream: int
    port: int
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    delay_s: float = 0.0
    most_at_once: int = 0
    watch: Callable[[Request], object] | None = None

    def __post_init__(self) -> None:
        import boto3

        self._lock = threading.Lock()
        self._num_open = 0
        self._names = {
            "aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"],
            "region_name": KEYS["AWS_REGION"],
        }
        self.client: Any = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{self.upstream}", **self._names
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            **KEYS,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
        }

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def put_folder(self, folder: Path, prefix: str = "") -> None:
        """Write all files below a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(prefix + path.relative_to(folder).as_posix(), path.read_bytes())

    def remove(self, key: str) -> None:
        """Remove an object."""
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def objects(self) -> dict[str, bytes]:
        """Return all that is in the bucket, by key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        read = self.client.get_object
        return {key: read(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def counts(self) -> Counter[str]:
        """Return how often the proxy was asked, by `list`, `read` and other methods."""
        kinds = (
            "list" if each.is_list else "read" if each.is_read else each.method
            for each in self.requests
        )
        return Counter(kinds)

    def fault(self, kind: Any, pattern: str = "", **how: Any) -> Fault:
        """Let something happen to the next requests of a pattern, and return it."""
        self.faults.append(Fault(kind, pattern, **how))
        return self.faults[-1]

    def forget(self) -> None:
        """Count from here, without faults and delays."""
        self.requests.clear()
        self.faults.clear()
        self.delay_s, self.most_at_once = 0.0, 0

    @contextmanager
    def noted(self, request: Request) -> Iterator[Fault | None]:
        """Count a request while it is answered, and give what is to happen to it."""
        with self._lock:
            self.requests.append(request)
            told = f"{request.method} {request.path}"
            fault = next((each for each in self.faults if each.takes(told)), None)
            self._num_open += 1
            self.most_at_once = max(self.most_at_once, self._num_open)
            if self.watch:
                self.watch(request)
        try:
            yield fault
        finally:
            with self._lock:
                self._num_open -= 1


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body are two writes, which Nagle's algorithm would hold apart for 40 ms.
    disable_nagle_algorithm = True
    store: Store
    ended: threading.Event

    def _answer(self) -> None:
        with self.store.noted(Request(self.command, self.path)) as fault:
            size = int(self.headers.get("Content-Length") or 0)
            if fault and fault.kind == "cut upload":
                self.rfile.read(size // 2)
                self.close_connection = True
                return
            body = self.rfile.read(size)
            self._delayed(fault, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

    def _delayed(self, fault: Fault | None, body: bytes) -> None:
        if self.store.delay_s:
            time.sleep(self.store.delay_s)
        if fault and fault.kind == "silence":
            self.ended.wait(_STANDS_STILL_S)
        if fault and fault.kind in ("silence", "reset"):
            self.close_connection = True
            return
        if fault and fault.kind == "status":
            self._send(fault.status, {}, b"<Error><Code>AsAsked</Code></Error>")
            return
        is_lost = fault is not None and fault.kind == "lost"
        self._forward(body, is_cut=fault is not None, is_lost=is_lost)

    def _forward(self, body: bytes, *, is_cut: bool, is_lost: bool) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", self.store.upstream, timeout=60)
        try:
            told = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            upstream.request(self.command, self.path, body, told)
            answer = upstream.getresponse()
            data = answer.read()
            headers = dict(answer.getheaders())
        finally:
            upstream.close()
        if is_lost:
            self.close_connection = True
            return
        self._send(answer.status, headers, data, is_cut=is_cut)

    def _send(
        self, status: int, headers: Mapping[str, str], data: bytes, *, is_cut: bool = False
    ) -> None:
        self.send_response_only(status)
        kept = {name.lower(): value for name, value in headers.items()}
        is_head = self.command == "HEAD"
        size = kept.get("content-length", "0") if is_head else str(len(data))
        for name in ("connection", "transfer-encoding", "content-length"):
            kept.pop(name, None)
        for name, value in {**kept, "content-length": size}.items():
            self.send_header(name, value)
        self.end_headers()
        if not is_head:
            self.wfile.write(data[: len(data) // 2] if is_cut else data)
        self.close_connection = self.close_connection or is_cut

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle(self) -> None:
        # Whoever asked may have gone.
        with suppress(ConnectionError):
            super().handle()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def serve_moto() -> Iterator[int]:
    """Serve moto's S3 on a port of 127.0.0.1 that is given."""
    pytest.importorskip("moto", reason="needs moto's server")
    pytest.importorskip("obstore", reason="needs obstore")
    environment = {**os.environ, **KEYS, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    moto = subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    assert moto.stdin
    assert moto.stdout
    try:
        yield int(next(line for line in moto.stdout if line.strip().isdigit()))
    finally:
        moto.stdin.close()
        moto.wait(60)
        moto.stdout.close()


@contextmanager
def serve_store(upstream: int) -> Iterator[Store]:
    """Put a proxy before moto, with one empty bucket; the test's `local_network` is there."""
    ended = threading.Event()
    proxy = _Server(("127.0.0.1", 0), _Proxy)
    store = Store(upstream, proxy.server_address[1])
    proxy.RequestHandlerClass = type("Proxy", (_Proxy,), {"store": store, "ended": ended})
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        _reset(upstream)
        store.client.create_bucket(Bucket=BUCKET)
        yield store
    finally:
        ended.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join()
        store.client.close()


def _reset(upstream: int) -> None:
    """Let moto forget what earlier tests have written."""
    connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=60)
    connection.request("POST", "/moto-api/reset")
    assert connection.getresponse().status == 200
    connection.close()
