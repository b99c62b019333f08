"""Runs whose output is in an object store: the same data set as in a folder, and kept as one."""

import json
from pathlib import Path

import pytest
from support.runs import command
from support.stored import PREFIX, URL, Stored, rows, untimed
from support.stores import BUCKET, Store

from stylebatch.data import DataError, StylisedDataset

ALL = {"cats/a-s.png", "cats/a-t.png", "dogs/b-s.png", "dogs/b-t.png"}

pytestmark = pytest.mark.slow


@pytest.fixture
def stored(tmp_path: Path, store: Store) -> Stored:
    return Stored(tmp_path, store)


def puts(store: Store, folder: str = "images") -> list[str]:
    """Return the images, or other files, that were put since the last time."""
    found = [
        each.path.partition("?")[0].partition(f"{PREFIX}/{folder}/")[2]
        for each in store.requests
        if each.method == "PUT"
    ]
    store.requests.clear()
    return sorted(path for path in found if path and not path.endswith("metadata.jsonl"))


def test_a_run_puts_the_same_data_set_into_a_store_as_into_a_folder(
    tmp_path: Path, store: Store
) -> None:
    stored = Stored(tmp_path, store, is_optimised=True)
    stored.pair |= {"originals": "copy", "split": {"shares": {"train": 0.5, "val": 0.5}}}
    stored.pair["override"] |= {"side_by_side": True, "progress_every": 2}
    ended = stored.run()
    assert ended.code == 0, ended
    there, here = stored.there(), stored.here("one")
    assert there.keys() == here.keys()
    assert sum(path.startswith("images/") and path.endswith(".png") for path in here) == 4
    assert any(path.startswith("progress/") for path in here)
    for path, data in here.items():
        if path.endswith(".csv"):
            assert untimed(there[path]) == untimed(data)
        elif path.startswith("metadata"):
            assert rows(there[path]) == rows(data)
        elif path != "run.json":
            assert there[path] == data, path
    assert set(stored.all_there()) == set(there), "nothing is left of the run below .stylebatch"


def test_a_second_run_makes_and_puts_nothing(stored: Stored) -> None:
    assert stored.run().code == 0
    assert puts(stored.store) == sorted(ALL)
    ended = stored.run()
    assert "nothing to do" in ended.out
    assert URL in ended.out
    assert puts(stored.store) == []
    assert stored.summary()["done_before"] == 4


def test_what_a_change_replaces_lies_aside_and_is_taken_back(stored: Stored) -> None:
    assert stored.run().code == 0
    before = stored.images()
    stored.pair["strength"] = 0.5
    assert stored.run().code == 0
    after = stored.images()
    assert after.keys() == before.keys() == ALL
    assert all(after[path] != before[path] for path in ALL)
    assert stored.aside() == {f"images/{path}": before[path] for path in ALL}
    assert (stored.summary()["done"], stored.summary()["replaced"]) == (4, 4)
    del stored.pair["strength"]
    stored.store.requests.clear()
    assert stored.run().code == 0
    assert stored.images() == before
    assert stored.aside() == {f"images/{path}": after[path] for path in ALL}
    assert (stored.summary()["done"], stored.summary()["taken_back"]) == (0, 4)


def test_what_belongs_to_an_image_goes_with_it(tmp_path: Path, store: Store) -> None:
    stored = Stored(tmp_path, store, is_optimised=True)
    stored.pair["override"] |= {"side_by_side": True, "progress_every": 1}
    assert stored.run().code == 0
    before = stored.there()
    belonging = {
        path: before[path]
        for path in before
        if path.startswith(("images/", "losses/", "side_by_side/", "progress/"))
        and not path.endswith(".jsonl")
    }
    stored.pair["strength"] = 0.5
    del stored.pair["override"]["side_by_side"]
    assert stored.run().code == 0
    aside = {path: data for path, data in stored.aside().items() if not path.endswith("/.folder")}
    assert aside == belonging
    assert not any(path.startswith("side_by_side/") for path in stored.there())
    del stored.pair["strength"]
    stored.pair["override"]["side_by_side"] = True
    assert stored.run().code == 0
    again = stored.there()
    assert {path: again.get(path) for path in belonging} == belonging


def test_what_the_plan_no_longer_has_is_set_aside(stored: Stored) -> None:
    assert stored.run().code == 0
    before = stored.there()
    stored.remove_photo("dogs/b.png")
    assert stored.run().code == 0
    gone = {"images/dogs/b-s.png", "images/dogs/b-t.png"}
    assert set(stored.images()) == {"cats/a-s.png", "cats/a-t.png"}
    assert stored.aside() == {path: before[path] for path in gone}
    assert stored.summary()["set_aside"] == 2
    assert [row["file_name"] for row in rows(stored.there()["metadata.jsonl"])] == [
        "images/cats/a-s.png",
        "images/cats/a-t.png",
    ]


def test_a_store_whose_state_is_lost_is_known_again_by_its_metadata(stored: Stored) -> None:
    assert stored.run().code == 0
    before = stored.there()
    stored.forget()
    planned = stored.call("plan")
    assert planned.code == 2
    assert f"{URL}: holds images, and what this machine knows of it is not in" in planned.err
    assert not stored.state.exists()
    puts(stored.store)
    ended = stored.run()
    assert ended.code == 0, ended
    assert "4 images known again by metadata.jsonl" in ended.out
    assert puts(stored.store) == []
    after = stored.there()
    assert after.keys() == before.keys()
    assert rows(after["metadata.jsonl"]) == rows(before["metadata.jsonl"])
    assert stored.aside() == {}


def test_images_of_which_nothing_is_known_are_not_made_again_but_refused(stored: Stored) -> None:
    assert stored.run().code == 0
    for name in ("metadata.jsonl", "settings.json", "run.json"):
        stored.store.remove(f"{PREFIX}/{name}")
    stored.forget()
    before = stored.all_there()
    ended = stored.run()
    assert ended.code == 2
    assert f"{URL}/images/" in ended.err
    assert "exists, but stylebatch did not make it" in ended.err
    assert stored.all_there() == before
    assert not stored.state.exists()


def test_others_files_in_the_place_of_records_are_refused_and_stay(stored: Stored) -> None:
    stored.store.put(f"{PREFIX}/metadata.jsonl", b'{"file_name": "x.png"}\n')
    ended = stored.run()
    assert ended.code == 2
    assert f"{URL}/metadata.jsonl: exists, but stylebatch did not make it" in ended.err
    assert set(stored.all_there()) == {"metadata.jsonl"}


def test_a_record_that_somebody_has_edited_in_the_store_lies_aside(stored: Stored) -> None:
    assert stored.run().code == 0
    stored.store.put(f"{PREFIX}/metadata.jsonl", b"edited\n")
    stored.store.put(f"{PREFIX}/README.md", stored.there()["README.md"] + b"mine\n")
    stored.photo("cats/c.png", 3)
    assert stored.run().code == 0
    assert stored.aside() == {"metadata.jsonl": b"edited\n"}
    assert len(rows(stored.there()["metadata.jsonl"])) == 6
    assert stored.there()["README.md"].endswith(b"\nmine\n"), "what others write into it stays"
    assert b"| 6 |" in stored.there()["README.md"]
    assert any("metadata.jsonl was edited in the store" in each
               for each in stored.summary()["warnings"])  # fmt: skip


def test_records_that_are_over_leave_the_store(stored: Stored) -> None:
    (stored.root / "photos/cats/bad.png").write_bytes(b"no image")
    assert stored.run().code == 3
    assert "failures.jsonl" in stored.there()
    stored.remove_photo("cats/bad.png")
    assert stored.run().code == 0
    assert "failures.jsonl" not in stored.there()


def test_a_state_without_a_word_of_it_stands_beside_the_manifest(stored: Stored) -> None:
    del stored.document["run"]["state"]
    assert stored.run().code == 0
    (state,) = (stored.root / ".stylebatch-state").iterdir()
    assert state.name.startswith("bucket-sets-one-")
    assert (state / ".stylebatch/ledger.sqlite").exists()
    ended = command("verify", str(state))
    assert ended.code == 0, ended
    assert f"{URL}: 4 images" in ended.out


def test_a_state_is_of_one_output(stored: Stored) -> None:
    assert stored.run().code == 0
    stored.document["output"] = f"{URL}-other"
    for asked in ("run", "plan", "status", "verify", "clean"):
        ended = stored.call(asked)
        assert ended.code == 2
        assert f"{stored.state}: is the state of {URL}, not of {URL}-other" in ended.err


def test_images_of_which_nothing_is_known_can_be_adopted_and_are_made_again(
    stored: Stored,
) -> None:
    assert stored.run().code == 0
    before = stored.images()
    for name in ("metadata.jsonl", "settings.json", "run.json"):
        stored.store.remove(f"{PREFIX}/{name}")
    stored.store.put(f"{PREFIX}/images/cats/mine.png", b"mine")
    stored.forget()
    ended = stored.call("adopt")
    assert ended.code == 0, ended
    assert "0 images adopted, 4 to be made again" in ended.out
    assert "1 file left that no run is known to have made" in ended.out
    assert stored.run().code == 0
    assert stored.images() == before | {"cats/mine.png": b"mine"}
    assert stored.summary()["done"] == 4


def test_images_whose_records_were_not_yet_there_when_the_state_was_lost_are_made_again(
    stored: Stored,
) -> None:
    assert stored.run().code == 0
    metadata = stored.there()["metadata.jsonl"]
    stored.photo("cats/c.png", 3)
    assert stored.run().code == 0
    before = stored.images()
    # As far as it was when the driver's machine was lost.
    stored.store.put(f"{PREFIX}/metadata.jsonl", metadata)
    stored.forget()
    ended = stored.run()
    assert ended.code == 0, ended
    assert (stored.summary()["adopted"], stored.summary()["done"]) == (4, 2)
    assert stored.images() == before
    assert stored.aside() == {}


def test_inputs_and_output_in_one_store_have_places_of_their_own(stored: Stored) -> None:
    stored.store.put_folder(stored.root / "photos", f"{PREFIX}-photos/")
    stored.pair["content"] = f"{URL}-photos"
    assert stored.run().code == 0
    images = stored.images()
    assert set(images) == ALL
    stored.document["output"] = f"{URL}-photos/out"
    assert f"is inside '{URL}-photos', which is read" in stored.run().err
    stored.document["output"] = URL
    stored.pair["content"] = f"{URL}/images"
    ended = stored.run()
    assert ended.code == 2
    assert f"'{URL}/images', which is read, is inside it, where results are made" in ended.err
    assert stored.images() == images


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (f"s3://{BUCKET}", "is a whole bucket; allowed is a place in it"),
        ("s3://", "names no bucket"),
        (f"{URL}/../two", "has a part that is empty, `.` or `..`"),
    ],
)
def test_a_url_that_is_no_place_is_refused_with_its_line(
    stored: Stored, output: str, message: str
) -> None:
    stored.document["output"] = output
    ended = stored.run()
    assert ended.code == 2
    assert "pipeline.yaml:2: output: " in ended.err
    assert message in ended.err


def test_a_bucket_that_is_not_there_and_one_that_may_not_be_written(stored: Stored) -> None:
    stored.document["output"] = "s3://no-such-bucket/one"
    ended = stored.run()
    assert ended.code == 2
    assert "no such bucket" in ended.err
    assert not stored.state.exists()
    stored.document["output"] = URL
    stored.store.fault("status", "^PUT", status=403, times=None)
    ended = stored.run()
    assert ended.code == 2
    assert f"{URL}: can't be written (permission denied" in ended.err
    assert stored.all_there() == {}
    assert not stored.state.exists()


def test_a_store_that_holds_nothing_of_it_is_another_one(stored: Stored) -> None:
    assert stored.run().code == 0
    for key in stored.store.objects():
        stored.store.remove(key)
    for asked in ("run", "metadata"):
        (stored.state / "metadata.jsonl").unlink(missing_ok=True)
        ended = stored.call(asked)
        assert ended.code == 2, ended
        assert f"{URL}: has none of the records that were put there" in ended.err
        assert "to make all of it anew, remove that folder" in ended.err
        assert stored.store.objects() == {}
    stored.forget()
    assert stored.run().code == 0
    assert set(stored.images()) == ALL


def test_two_machines_take_turns(stored: Stored) -> None:
    assert stored.run().code == 0
    stored.document["run"]["state"] = "elsewhere"
    stored.photo("cats/c.png", 3)
    assert stored.run().code == 0
    assert (stored.summary()["adopted"], stored.summary()["done"]) == (4, 2)
    stored.photo("dogs/b.png", 9)
    assert stored.run().code == 0
    assert (stored.summary()["done"], stored.summary()["replaced"]) == (2, 2)
    before = stored.images()
    aside = stored.aside()
    # The first one's state does not know of that, and does not spoil it.
    stored.document["run"]["state"] = "state"
    (stored.state / "metadata.jsonl").unlink()
    ended = stored.call("metadata")
    assert ended.code == 2
    assert "has gone on there since; `stylebatch run` takes in what it has made" in ended.err
    puts(stored.store)
    ended = stored.run()
    assert ended.code == 0, ended
    assert puts(stored.store) == []
    assert stored.summary()["adopted"] == 4
    assert (stored.images(), stored.aside()) == (before, aside)
    assert len(rows(stored.there()["metadata.jsonl"])) == 6
    assert stored.call("verify").code == 0


def test_records_are_not_put_there_while_a_run_with_another_state_is_writing(
    stored: Stored,
) -> None:
    assert stored.run().code == 0
    holder = {"run_id": "x", "pid": 7, "host": "far", "since": "noon", "state": "other"}
    stored.store.put(f"{PREFIX}/.stylebatch/holder.json", json.dumps(holder).encode())
    before = stored.all_there()
    (stored.state / "metadata.jsonl").unlink()
    ended = stored.call("metadata")
    assert ended.code == 10
    assert f"{URL}: process 7 on far (run x, since noon) is writing there" in ended.err
    assert stored.all_there() == before


def test_a_holder_that_somebody_has_spoilt_is_a_run_of_which_nothing_is_known(
    stored: Stored,
) -> None:
    stored.store.put(f"{PREFIX}/.stylebatch/holder.json", b"[1")
    ended = stored.run()
    assert ended.code == 10
    assert "another run is writing there, heard of " in ended.err


def test_names_are_the_same_in_a_store_as_in_a_folder(stored: Stored) -> None:
    stored.store.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}-2/images/x", Body=b"")
    for number, name in enumerate(("ü %20#x", "a+b&c=d", "50%", "日本", "~$x", "a'b"), 3):
        stored.photo(f"{name}/{name}.png", number)
    assert stored.run().code == 0
    before = stored.images()
    assert before == {
        path.removeprefix("images/"): data
        for path, data in stored.here().items()
        if path.endswith(".png")
    }
    assert len(before) == 16
    assert "nothing to do" in stored.run().out
    stored.pair["strength"] = 0.5
    assert stored.run().code == 0
    assert stored.aside() == {f"images/{path}": data for path, data in before.items()}
    assert stored.call("verify").code == 0
    stored.forget()
    assert stored.run().code == 0
    assert stored.summary()["adopted"] == 16


def test_annotations_and_tables_of_losses_come_into_the_store(tmp_path: Path, store: Store) -> None:
    stored = Stored(tmp_path, store, is_optimised=True)
    for path in ("cats/a", "dogs/b"):
        label = stored.root / "labels" / f"{path}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("0 0.5 0.5 0.25 0.5\n")
    stored.pair["annotations"] = {"yolo": "labels"}
    stored.pair["output_size"] = [16, 24]
    assert stored.run().code == 0
    there, here = stored.there(), stored.here("one")
    assert there.keys() == here.keys()
    labels = {path for path in here if path.startswith("labels/") and path.endswith(".txt")}
    assert len(labels) == 4
    assert {path: there[path] for path in labels} == {path: here[path] for path in labels}
    (stored.root / "labels/cats/a.txt").unlink()
    assert stored.run().code == 0
    assert "labels/cats/a-s.txt" not in stored.there()


def test_tables_of_losses_come_into_the_store(tmp_path: Path, store: Store) -> None:
    pytest.importorskip("pyarrow")
    stored = Stored(tmp_path, store, is_optimised=True)
    stored.document["run"]["losses"] = "parquet"
    assert stored.run().code == 0
    there = stored.there()
    tables = {row["loss_log"] for row in rows(there["metadata.jsonl"])}
    assert {path for path in there if path.startswith("losses/")} == {f"losses/{t}" for t in tables}
    found = stored.call("verify")
    assert found.code == 0, found
    assert "4 loss logs" in found.out


def test_a_data_set_for_training_is_one_that_was_downloaded(stored: Stored) -> None:
    with pytest.raises(DataError, match="aws s3 sync"):
        StylisedDataset(URL)
