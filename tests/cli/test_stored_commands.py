"""Every command on an output that is in an object store: it works, or says what to do."""

import json
from pathlib import Path

import pytest
from support.runs import command, lines
from support.stored import PREFIX, URL, Stored
from support.stores import Store

ALL = {"cats/a-s.png", "cats/a-t.png", "dogs/b-s.png", "dogs/b-t.png"}

pytestmark = pytest.mark.slow


@pytest.fixture
def stored(tmp_path: Path, store: Store) -> Stored:
    """A project that was run."""
    found = Stored(tmp_path, store)
    assert found.run().code == 0
    return found


def test_status_tells_of_it_by_manifest_state_and_url(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in (stored.manifest, stored.state):
        ended = command("status", str(at), "--json")
        told = json.loads(ended.out)
        assert told["output"] == URL
        assert told["pairs"]["all"]["done"] == 4
    ended = command("status", URL)
    assert ended.code == 2
    assert f"{URL}: what this machine knows of it is not in .stylebatch-state/" in ended.err
    assert "aws s3 sync s3://bucket/sets/one out" in ended.err
    # The usual state is found by the URL from where the manifest is.
    del stored.document["run"]["state"]
    assert stored.run().code == 0
    monkeypatch.chdir(stored.root)
    assert URL in command("status", URL).out
    assert command("verify", f"{URL}/").code == 0
    with monkeypatch.context():
        assert command("status", f"{URL}-other").code == 2
    assert not (stored.root / "s3:").exists()


def test_a_plan_and_a_dry_run_tell_what_is_there(stored: Stored) -> None:
    assert "nothing to do" in stored.call("plan").out
    stored.photo("cats/c.png", 3)
    before = stored.all_there()
    planned = stored.call("plan")
    assert planned.code == 0, planned
    ended = stored.call("run", "--dry-run")
    assert ended.code == 0, ended
    assert "images: 2" in ended.out
    assert "are free at" not in ended.out
    assert stored.all_there() == before


def test_a_preview_stands_beside_the_manifest_and_touches_nothing(stored: Stored) -> None:
    before = stored.all_there()
    ended = stored.call("run", "--preview", "2")
    assert ended.code == 0, ended
    assert (stored.root / "one-preview.png").exists()
    assert stored.all_there() == before


@pytest.mark.parametrize("options", [(), ("--quick",)])
def test_verify_finds_what_is_otherwise(stored: Stored, options: tuple[str, ...]) -> None:
    found = stored.call("verify", *options)
    assert (found.code, found.err) == (0, "")
    assert f"{URL}: 4 images" in found.out
    image = f"{PREFIX}/images/cats/a-s.png"
    stored.store.put(image, stored.store.objects()[image][:60])
    stored.store.remove(f"{PREFIX}/images/cats/a-t.png")
    stored.store.put(f"{PREFIX}/images/cats/mine.png", b"mine")
    stored.store.put(f"{PREFIX}/settings.json", b"{}")
    stored.store.remove(f"{PREFIX}/README.md")
    found = stored.call("verify", "--json", *options)
    assert found.code == 3
    told = {(each["kind"], each["path"]) for each in json.loads(found.out)["differences"]}
    assert told == {
        ("unreadable" if not options else "changed", "images/cats/a-s.png"),
        ("missing", "images/cats/a-t.png"),
        ("extra", "images/cats/mine.png"),
        ("records", "images/metadata.jsonl"),
        ("records", "settings.json"),
        ("records", "README.md"),
    }


def test_what_verify_repairs_the_next_run_makes_again(stored: Stored) -> None:
    before = stored.there()
    image = f"{PREFIX}/images/cats/a-s.png"
    stored.store.put(image, b"retouched")
    stored.store.remove(f"{PREFIX}/images/cats/a-t.png")
    stored.store.remove(f"{PREFIX}/README.md")
    assert stored.call("verify", "--repair").code == 3
    assert stored.run().code == 0
    assert stored.summary()["done"] == 2
    assert stored.images() == {
        path.removeprefix("images/"): data for path, data in before.items() if ".png" in path
    }
    assert stored.aside() == {"images/cats/a-s.png": b"retouched"}
    assert stored.there()["README.md"] == before["README.md"]
    assert stored.call("verify").code == 0


def test_what_lies_aside_is_listed_restored_and_removed(stored: Stored) -> None:
    before = stored.images()
    stored.pair["strength"] = 0.5
    assert stored.run().code == 0
    listed = stored.call("clean")
    assert listed.code == 0, listed
    assert f"{URL}/.stylebatch/stale: 4 files" in listed.out
    assert "4 images put back (4 in place of others" in stored.call("restore", "--replace").out
    assert stored.images() == before
    assert lines(stored.state / "metadata.jsonl")[0]["strength"] == 1
    assert stored.there()["metadata.jsonl"] == (stored.state / "metadata.jsonl").read_bytes()
    removed = stored.call("clean", "--all")
    assert removed.code == 0, removed
    assert stored.aside() == {}
    assert stored.images() == before
    assert "nothing lies there" in stored.call("clean").out


def test_metadata_are_written_again_into_the_store(stored: Stored) -> None:
    before = stored.there()
    stored.store.remove(f"{PREFIX}/metadata.jsonl")
    (stored.state / "metadata.jsonl").unlink()
    ended = stored.call("metadata")
    assert ended.code == 0, ended
    assert f"{URL}/metadata.jsonl: 4 images" in ended.out
    assert stored.there() == before


def test_judge_reads_images_from_the_store(stored: Stored) -> None:
    ended = stored.call("judge", "--json")
    assert ended.code == 0, ended
    assert json.loads(ended.out)["images"] == 4


@pytest.mark.parametrize(
    "asked",
    [
        ("report",),
        ("merge",),
        ("status", "--watch", "--html"),
        ("export", "yolo", "exported"),
        ("export", "webdataset", "exported"),
    ],
)
def test_what_takes_a_folder_says_how_to_get_one(stored: Stored, asked: tuple[str, ...]) -> None:
    before = stored.all_there()
    for at in (stored.manifest, stored.state):
        number = 2 if asked[0] == "export" else 1
        ended = command(*asked[:number], str(at), *asked[number:])
        assert ended.code == 2, ended
        assert "is in an object store, and `stylebatch" in ended.err
        assert "download it (`aws s3 sync s3://bucket/sets/one out`" in ended.err
    assert stored.all_there() == before


def test_shards_and_a_report_of_every_run_are_refused(stored: Stored) -> None:
    ended = stored.run("--shard", "0/2")
    assert ended.code == 2
    assert "which shards can't share" in ended.err
    stored.document["run"]["report"] = True
    ended = stored.run()
    assert ended.code == 2
    assert "run.report" in ended.err


def test_a_downloaded_output_is_one_in_a_folder(stored: Stored) -> None:
    for key, data in stored.all_there().items():
        path = stored.root / "copy" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    copy = str(stored.root / "copy")
    assert "4 images adopted" in command("adopt", copy).out
    assert command("verify", copy).code == 0
    assert command("report", copy).code == 0
    exported = command("export", "coco", copy, str(stored.root / "exported"))
    assert exported.code == 0, exported
    # A run of the same manifest goes on there.
    stored.document["output"] = "copy"
    del stored.document["run"]["state"], stored.document["run"]["lease"]
    ended = command("run", str(stored.write()))
    assert ended.code == 0, ended
    assert "nothing to do" in ended.out


def test_a_state_is_no_output_of_its_own(stored: Stored) -> None:
    stored.document["output"] = "state"
    del stored.document["run"]["state"], stored.document["run"]["lease"]
    ended = command("run", str(stored.write()))
    assert ended.code == 2
    assert f"is the state of {URL}" in ended.err


def test_two_manifests_do_not_share_a_prefix(stored: Stored) -> None:
    other = stored.root / "other.yaml"
    text = stored.write().read_text()
    other.write_text(text.replace("state: state", "state: other"))
    ended = command("run", str(stored.manifest), str(other))
    assert ended.code == 2
    assert f"its output, {URL}, is that of" in ended.err


def test_a_store_that_does_not_answer_is_named(stored: Stored) -> None:
    stored.store.fault("status", times=None, status=403)
    for name in ("plan", "verify", "clean", "restore", "adopt"):
        ended = stored.call(name)
        assert ended.code in (2, 3), (name, ended)
        assert "permission denied" in ended.err + ended.out, (name, ended)
    assert stored.call("status").code == 0
