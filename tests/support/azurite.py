"""Azure's own emulator of its store, where it is installed: `npm install azurite`."""

import base64
import hashlib
import hmac
import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from pathlib import Path

import pytest
from support.paths import ROOT

# Azurite's account, as its documentation has it.
ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CONTAINER = "container"
_VERSION = "2021-08-06"
_PATIENCE_S = 120


def find_azurite() -> str | None:
    """Return the program: $STYLEBATCH_AZURITE, of node_modules here, or on the path."""
    here = ROOT / "node_modules/.bin/azurite-blob"
    told = os.environ.get("STYLEBATCH_AZURITE")
    return told or (str(here) if here.exists() else shutil.which("azurite-blob"))


class Azurite:
    """A store with an empty container; to be written to by plain requests, signed here."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{ACCOUNT}",
            "AZURE_ALLOW_HTTP": "true",
        }

    def make_container(self) -> None:
        """Make the container."""
        self._put(f"/{ACCOUNT}/{CONTAINER}", b"", {}, "restype:container", "?restype=container")

    def put(self, key: str, data: bytes) -> None:
        """Write an object, whose key is of letters that URLs have as they are."""
        self._put(f"/{ACCOUNT}/{CONTAINER}/{key}", data, {"x-ms-blob-type": "BlockBlob"})

    def _put(
        self, path: str, data: bytes, more: dict[str, str], told: str = "", query: str = ""
    ) -> None:
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION, **more}
        signed = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        resource = f"/{ACCOUNT}{path}" + (f"\n{told}" if told else "")
        length = str(len(data)) if data else ""
        # Of the fields between only the length is not empty.
        text = f"PUT\n\n\n{length}\n\n\n\n\n\n\n\n\n{signed}{resource}"
        key = hmac.new(base64.b64decode(_KEY), text.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(key).decode()}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        connection.request("PUT", path + query, data, headers)
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
        connection.close()


@contextmanager
def serve_azurite(folder: Path) -> Iterator[Azurite]:
    """Serve a store from a folder; the test's `local_network` has to be there."""
    if not (program := find_azurite()):
        pytest.skip("needs azurite (`npm install azurite`, or $STYLEBATCH_AZURITE)")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    asked = [program, "--blobPort", str(port), "--location", str(folder), "--silent"]
    process = subprocess.Popen(
        [*asked, "--skipApiVersionCheck", "--disableTelemetry"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + _PATIENCE_S
        while True:
            with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, "azurite ended"
            assert time.monotonic() < until, "azurite does not answer"
            time.sleep(0.05)
        made = Azurite(port)
        made.make_container()
        yield made
    finally:
        process.terminate()
        process.wait(60)
