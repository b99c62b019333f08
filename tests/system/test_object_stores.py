"""Objects by URL, against moto's S3 behind a proxy: what is read, and what failures are called."""

import errno
import json
import sys
from pathlib import Path

import pytest
from support.runs import run_process
from support.stores import BUCKET, Store

from stylebatch.system import object_stores, object_writes
from stylebatch.system.object_stores import StoredObject
from stylebatch.system.read_ahead import is_transient
from stylebatch.system.store_errors import StoreError

URL = f"s3://{BUCKET}"
# They wait for servers that fail, and hardly compute.
pytestmark = pytest.mark.slow
# Signs that mean something in URLs, in XML or to obstore.
NAMES = ("a b.png", "ü%20#?*[x].png", "50%.png", "a+b&c<d>.png", "a\\xff.png", "~$.png", "日.png")


def test_a_path_is_remote_by_its_scheme() -> None:
    assert object_stores.is_remote("s3://b/photos")
    assert object_stores.is_remote("gs://b")
    assert object_stores.is_remote("az://c/x")
    for path in ("photos", "/s3/x", "s3:/b/x", "S3://b", "./s3://b", "https://b/x", "library:x"):
        assert not object_stores.is_remote(path)


def test_a_url_is_split_as_it_is_written() -> None:
    assert object_stores.split_url("s3://b/a b/%20#?.png") == ("s3", "b", "a b/%20#?.png")
    assert (
        object_stores.split_url("gs://b") == object_stores.split_url("gs://b/") == ("gs", "b", "")
    )
    assert object_stores.split_url("az://c/photos/") == ("az", "c", "photos")


@pytest.mark.parametrize("url", ["s3://", "s3:///key", "s3://b/a//c", "s3://b/../c", "s3://b/./c"])
def test_a_url_that_names_nothing_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=r"names no bucket|a part that is empty"):
        object_stores.split_url(url)


def test_objects_are_listed_with_size_and_etag_whatever_they_are_called(store: Store) -> None:
    for number, name in enumerate(NAMES):
        store.put(f"photos/{name}", b"1" * number)
        store.put(f"photos/in {name}/{name}", name.encode())
    found = object_stores.list_folder(f"{URL}/photos")
    told = store.client.list_objects_v2(Bucket=BUCKET, Prefix="photos/", Delimiter="/")
    assert found.objects == sorted(
        StoredObject(each["Key"], each["Size"], each["ETag"]) for each in told["Contents"]
    )
    assert found.folders == sorted(f"photos/in {name}" for name in NAMES)
    for name in NAMES:
        assert object_stores.read(f"{URL}/photos/in {name}/{name}") == name.encode()
    assert [each.key for each in object_stores.list_below(URL)] == sorted(store.objects())


def test_a_folder_of_thousands_is_listed_in_thousands(store: Store) -> None:
    for number in range(1001):
        store.put(f"many/{number:04}", b"")
    assert len(object_stores.list_folder(f"{URL}/many/").objects) == 1001
    assert store.counts() == {"list": 2}


def test_a_prefix_is_no_start_of_a_name(store: Store) -> None:
    store.put("photos/a.png", b"1")
    store.put("photos-old/b.png", b"1")
    # As consoles make folders.
    store.put("photos/", b"")
    found = object_stores.list_folder(f"{URL}/photos")
    assert [each.key for each in found.objects] == ["photos/a.png"]
    assert object_stores.list_folder(f"{URL}/phot") == ([], [])


def test_what_is_written_is_read_with_the_etag_that_was_told(store: Store, tmp_path: Path) -> None:
    etag = object_writes.put(f"{URL}/a", b"one")
    assert object_stores.head(f"{URL}/a") == StoredObject("a", 3, etag)
    large = tmp_path / "large"
    large.write_bytes(b"0123456789" * 1_200_000)
    object_writes.put(f"{URL}/large", large)
    object_writes.copy(f"{URL}/large", f"{URL}/copied")
    assert store.objects() == {key: large.read_bytes() for key in ("large", "copied")} | {
        "a": b"one"
    }
    object_writes.delete([f"{URL}/a", f"{URL}/never", f"{URL}/large", f"{URL}/copied"])
    assert store.objects() == {}


def test_what_is_new_takes_no_place(store: Store) -> None:
    object_writes.put(f"{URL}/a", b"one", is_new=True)
    with pytest.raises(FileExistsError):
        object_writes.put(f"{URL}/a", b"two", is_new=True)
    assert store.objects() == {"a": b"one"}


def test_many_objects_are_read_at_once_and_come_in_order(store: Store) -> None:
    keys = [f"{number:03}" for number in range(60)]
    for key in keys:
        store.put(key, key.encode())
    store.remove("007")
    store.delay_s = 0.05
    found = list(object_stores.read_each(f"{URL}/{key}" for key in keys))
    assert [each for each in found if isinstance(each, bytes)] == [
        key.encode() for key in keys if key != "007"
    ]
    assert isinstance(found[7], FileNotFoundError)
    assert store.most_at_once > 8


def test_a_store_that_answers_nobody_is_not_asked_for_every_object(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(object_stores._RETRIES, "max_retries", 1)
    object_stores.opened.cache_clear()
    store.put("a", b"1")
    store.fault("status", times=None)
    found = list(object_stores.read_each([f"{URL}/a"] * 500))
    assert len(found) == 500
    assert all(isinstance(each, OSError) and is_transient(each) for each in found)
    assert store.counts()["read"] <= 2 * 2 * object_stores.AT_ONCE


def test_whoever_waits_for_an_object_may_give_it_up(store: Store) -> None:
    store.put("a", b"1")
    store.fault("silence", times=None)

    def tick() -> None:
        if store.requests:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(object_stores.read_each([f"{URL}/a"], tick))


@pytest.mark.parametrize("kind", ["status", "cut", "reset"])
def test_what_fails_once_or_twice_is_asked_again(store: Store, kind: str) -> None:
    store.put("photos/a", b"0123456789" * 1000)
    fault = store.fault(kind, times=2)
    assert len(object_stores.list_folder(f"{URL}/photos").objects) == 1
    assert fault.happened == 2
    fault = store.fault(kind, times=2)
    assert object_stores.read(f"{URL}/photos/a") == b"0123456789" * 1000
    assert fault.happened == 2


def test_a_cut_upload_is_sent_again(store: Store) -> None:
    fault = store.fault("cut upload", "^PUT", times=2)
    object_writes.put(f"{URL}/a", b"0123456789" * 1000)
    assert fault.happened == 2
    assert store.objects() == {"a": b"0123456789" * 1000}


def test_an_object_of_which_a_body_is_cut_is_never_read_in_half(store: Store) -> None:
    store.put("a", b"0123456789" * 1000)
    store.fault("cut", times=None)
    with pytest.raises(OSError, match=r"reached|time") as caught:
        object_stores.read(f"{URL}/a")
    assert is_transient(caught.value)


def test_a_store_that_is_silent_is_given_up_and_may_be_asked_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_READ_TIMEOUT", "200ms")
    object_stores.opened.cache_clear()
    store.put("a", b"1")
    store.fault("silence", times=2)
    assert object_stores.read(f"{URL}/a") == b"1"
    store.fault("silence", times=None)
    with pytest.raises(TimeoutError) as caught:
        object_stores.read(f"{URL}/a")
    assert caught.value.errno == errno.ETIMEDOUT
    assert is_transient(caught.value)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_store_that_fails_for_long_may_be_asked_later(store: Store, status: int) -> None:
    store.fault("status", times=None, status=status)
    with pytest.raises(OSError, match=str(status)) as caught:
        object_stores.list_folder(f"{URL}/photos")
    assert is_transient(caught.value)


def test_what_is_not_there_or_not_ours_is_said_as_of_files(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="no such object"):
        object_stores.read(f"{URL}/never")
    with pytest.raises(FileNotFoundError, match="no such object"):
        object_stores.head(f"{URL}/never")
    for ask in (object_stores.list_folder, object_stores.read):
        with pytest.raises(FileNotFoundError, match="no such bucket"):
            ask("s3://no-bucket/x")
    store.fault("status", times=None, status=403)
    for ask in (object_stores.list_folder, object_stores.read):
        with pytest.raises(PermissionError, match="permission denied") as caught:
            ask(f"{URL}/x")
        assert not is_transient(caught.value)


def test_objects_of_google_are_found_and_read_by_its_xml_interface(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is S3's for these requests, so moto answers them; signatures it does not look at."""
    account = {"gcs_base_url": f"http://127.0.0.1:{store.port}", "disable_oauth": True}
    account |= {"client_email": "", "private_key": "", "private_key_id": ""}
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "true")
    for name in NAMES:
        store.client.put_object(
            Bucket=BUCKET, Key=f"photos/{name}", Body=name.encode(), ACL="public-read"
        )
    found = object_stores.list_folder(f"gs://{BUCKET}/photos")
    assert found == object_stores.list_folder(f"{URL}/photos")
    assert len(found.objects) == len(NAMES)
    fault = store.fault("status", "GET /bucket/photos", times=2)
    for name in NAMES:
        assert object_stores.read(f"gs://{BUCKET}/photos/{name}") == name.encode()
    assert fault.happened == 2
    with pytest.raises(FileNotFoundError, match="no such object"):
        object_stores.read(f"gs://{BUCKET}/never")
    with pytest.raises(FileNotFoundError, match="no such bucket"):
        object_stores.list_folder("gs://no-bucket")


def test_a_key_that_no_path_can_be_is_named_as_such(store: Store) -> None:
    store.put("photos/a//b.png", b"1")
    with pytest.raises(OSError, match="key of which a part is empty"):
        object_stores.list_folder(f"{URL}/photos/a")


def test_an_azure_without_an_account_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("obstore")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    object_stores.opened.cache_clear()
    with pytest.raises(StoreError, match=r"Account must be specified.*AZURE_.*az://photos"):
        object_stores.list_folder("az://photos/x")


def test_without_obstore_the_line_that_installs_it_is_told() -> None:
    code = (
        "import importlib.util; importlib.util.find_spec = lambda name: None\n"
        "from stylebatch.system import object_stores\n"
        "try: object_stores.list_folder('s3://b')\n"
        "except OSError as error: print(error.strerror)"
    )
    told = run_process(code).out
    assert told == "needs obstore, which is not installed: pip install 'stylebatch[remote]'\n"


def test_obstore_is_loaded_where_it_is_called_only() -> None:
    code = "import stylebatch.system.object_stores, sys; print('obstore' in sys.modules)"
    assert run_process(code).out == "False\n", sys.path


def test_what_is_to_replace_one_object_replaces_no_other(store: Store) -> None:
    object_writes.put(f"{URL}/a", b"one")
    seen = object_stores.head(f"{URL}/a")
    object_writes.put(f"{URL}/a", b"two", replaces=seen)
    with pytest.raises(OSError, match="another one meanwhile") as caught:
        object_writes.put(f"{URL}/a", b"three", replaces=seen)
    assert caught.value.errno == errno.ESTALE
    assert store.objects() == {"a": b"two"}
    store.remove("a")
    with pytest.raises(FileNotFoundError):
        object_writes.put(f"{URL}/a", b"four", replaces=seen)


def test_what_an_object_was_put_with_is_told_of_it_and_of_its_copy(store: Store) -> None:
    told = {"Content-Type": "image/png", "stylebatch": "abc"}
    object_writes.put(f"{URL}/a", b"one", is_new=True, attributes=told)
    object_writes.copy(f"{URL}/a", f"{URL}/b")
    for key in "ab":
        assert object_stores.read_attributes(f"{URL}/{key}") == told
        found = store.client.head_object(Bucket=BUCKET, Key=key)
        assert (found["ContentType"], found["Metadata"]) == ("image/png", {"stylebatch": "abc"})


def test_when_an_object_was_written_is_told_by_the_store(store: Store) -> None:
    object_writes.put(f"{URL}/a", b"one")
    told = store.client.head_object(Bucket=BUCKET, Key="a")["LastModified"]
    assert object_stores.changed_s(f"{URL}/a") == told.timestamp()
