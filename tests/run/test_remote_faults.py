"""Stores that fail while photographs are read from them: nothing is lost, nothing taken away."""

import signal
import time
from pathlib import Path

import pytest
from support.runs import PATIENCE_S, Small, command, end, small_project, start, wait_until
from support.stores import BUCKET, Store

from stylebatch.system import object_stores

URL = f"s3://{BUCKET}"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]


@pytest.fixture
def far(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Small:
    """A project that reads from the bucket, not begun; a silent store is given up soon."""
    monkeypatch.setenv("AWS_READ_TIMEOUT", "300ms")
    object_stores.opened.cache_clear()
    made = small_project(tmp_path)
    for name in ("photos", "styles"):
        store.put_folder(tmp_path / name, f"{name}/")
        (tmp_path / name).rename(tmp_path / f"not-{name}")
    made.pair |= {"content": f"{URL}/photos", "styles": [f"{URL}/styles"]}
    store.forget()
    return made


@pytest.mark.parametrize("kind", ["status", "cut", "silence", "reset"])
def test_requests_that_fail_once_or_twice_cost_nothing(far: Small, store: Store, kind: str) -> None:
    faults = [
        store.fault(kind, "list-type=2.*photos", times=2),
        store.fault(kind, "GET .*/photos/cats/a.png", times=2),
        store.fault(kind, "GET .*/styles/s.png", times=1),
    ]
    ended = far.run()
    assert ended.code == 0, ended
    assert [each.happened for each in faults] == [2, 2, 1]
    assert len(far.images()) == 4


def test_a_photograph_that_can_never_be_read_fails_its_own_images(far: Small, store: Store) -> None:
    store.fault("status", "GET .*/photos/cats/a.png", times=None, status=500)
    ended = far.run()
    assert ended.code == 3, ended
    assert {Path(path).parent.name for path in far.images()} == {"dogs"}
    assert far.summary()["failed"] == 2
    assert "can't be read (the store answers 500" in ended.out + ended.err + far.log()
    store.forget()
    assert far.run("--retry-failed").code == 0
    assert len(far.images()) == 4


def test_a_photograph_that_can_not_be_read_now_loses_no_image(far: Small, store: Store) -> None:
    assert far.run().code == 0
    before = far.identities()
    # Changed, and not to be read.
    store.put("photos/cats/a.png", store.objects()["photos/dogs/b.png"] + b"\0")
    store.fault("status", "GET .*/photos/cats/a.png", times=None, status=503)
    assert far.run().code == 3
    assert far.identities() == before
    store.forget()
    assert far.run("--retry-failed").code == 0
    assert len(far.identities().keys() & before.keys()) == 4


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "permission denied (403 AsAsked)"), (503, "the store answers 503 AsAsked")],
)
def test_a_prefix_that_can_not_be_listed_keeps_its_images(
    far: Small, store: Store, status: int, reason: str
) -> None:
    assert far.run().code == 0
    before = far.identities()
    store.fault("status", "prefix=photos%2Fcats%2F", times=None, status=status)
    ended = far.run()
    assert far.identities() == before
    assert far.stale() == set()
    assert far.summary()["unreachable"] == {f"{URL}/photos/cats": reason}
    assert "photos/cats" in ended.out + ended.err


@pytest.mark.parametrize("pattern", ["HEAD", "list-type", "GET .*/photos/cats/a.png"])
def test_a_signal_ends_a_run_that_waits_for_a_silent_store(
    far: Small, store: Store, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    # It would wait until the test has failed.
    monkeypatch.setenv("AWS_READ_TIMEOUT", f"{2 * PATIENCE_S}s")
    monkeypatch.setenv("AWS_TIMEOUT", f"{2 * PATIENCE_S}s")
    fault = store.fault("silence", pattern, times=None)
    process = start("run", str(far.write()))
    wait_until(lambda: fault.happened, "a request that nobody answers")
    # While it plans, the second one ends it.
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    assert end(process).code == 4


def test_what_changes_between_plan_and_worker_is_refused(far: Small, store: Store) -> None:
    other = store.objects()["photos/dogs/b.png"]
    is_read = []

    def change(request: object) -> None:
        if "/photos/cats/a.png" in str(request) and "GET" in str(request):
            is_read.append(request)
            if len(is_read) == 2:
                store.put("photos/cats/a.png", other)

    store.watch = change
    ended = far.run()
    assert ended.code == 3, ended
    assert far.summary()["failed"] >= 1
    assert "has changed since planning" in far.log() + ended.err + ended.out
    store.watch = None
    assert far.run("--retry-failed").code == 0
    assert len(far.images()) == 4


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("s3://no-bucket/photos", "is not there (no such bucket)"),
        (f"{URL}/nothing", "is not there (no object is below it)"),
        (f"{URL}/text", "holds no image"),
        ("s3://", "names no bucket"),
        (f"{URL}/a//b", "has a part that is empty"),
        ("az://container/photos", "Account must be specified"),
    ],
)
def test_content_that_is_not_there_is_refused(
    far: Small, store: Store, content: str, found: str
) -> None:
    store.put("text/readme.md", b"#")
    far.pair["content"] = content
    ended = far.run()
    assert ended.code == 2, ended
    assert content.rstrip("/") in ended.err
    assert found in ended.err
    assert not far.out.exists()


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (f"{URL}/styles/never.png", "is not there (no object is below it)"),
        (f"{URL}/styles/n*.png", "matches no image"),
        (f"{URL}/text/readme.md", "is no image by its suffix"),
        (f"{URL}/text", "holds no image"),
        ("s3://no-bucket/x.png", "no such bucket"),
        ({"name": "dusk", "blend": {f"{URL}/never.png": 1}}, "is no object that exists"),
    ],
)
def test_styles_that_are_not_there_are_refused(
    far: Small, store: Store, entry: object, found: str
) -> None:
    store.put("text/readme.md", b"#")
    far.pair["styles"] = [entry]
    ended = far.run()
    assert ended.code == 2, ended
    assert found in ended.err


def test_a_store_that_lets_nobody_in_is_told_of(far: Small, store: Store) -> None:
    store.fault("status", times=None, status=403)
    ended = far.run()
    assert ended.code == 2
    assert "can't be read (permission denied (403 AsAsked))" in ended.err
    far.pair["styles"] = [f"{URL}/styles/*.png"]
    assert f"'{URL}/styles/*.png' can't be read (permission denied (403" in far.run().err


def test_without_obstore_the_manifest_is_refused_with_what_installs_it(
    far: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylebatch.manifest.places.is_installed", lambda: False)
    ended = command("run", str(far.write()))
    assert ended.code == 2
    assert "pip install 'stylebatch[remote]'" in ended.err
