"""A run into Azure's emulator, where it is installed: conditions and copies are its own there."""

from pathlib import Path

import pytest
from support.azurite import CONTAINER, Azurite
from support.runs import color_project, command, contents

from stylebatch.system import object_stores, object_writes

URL = f"az://{CONTAINER}/sets/one"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]


def there() -> dict[str, bytes]:
    found = [each.key for each in object_stores.list_below(URL)]
    return {
        key.removeprefix("sets/one/"): object_stores.read(f"az://{CONTAINER}/{key}")
        for key in found
    }


def images() -> dict[str, bytes]:
    return {path: data for path, data in there().items() if path.startswith("images/")
            and path.endswith(".png")}  # fmt: skip


def test_a_data_set_is_made_replaced_and_taken_back(azure: Azurite, tmp_path: Path) -> None:
    small = color_project(tmp_path)
    assert small.run().code == 0
    on_disk = contents(small.out)
    small.document["output"] = URL
    ended = small.run()
    assert ended.code == 0, ended
    before = images()
    assert before == {
        path: data
        for path, data in on_disk.items()
        if path.startswith("images/") and path.endswith(".png")
    }
    assert there().keys() == {path for path in on_disk if not path.startswith(".stylebatch/")}
    assert "nothing to do" in small.run().out
    small.pair["strength"] = 0.5
    assert small.run().code == 0
    after = images()
    assert all(after[path] != before[path] for path in before)
    aside = {path.partition("/images/")[2]: data for path, data in there().items()
             if path.startswith(".stylebatch/stale/")}  # fmt: skip
    assert aside == {path.removeprefix("images/"): data for path, data in before.items()}
    del small.pair["strength"]
    ended = small.run()
    assert "4 images taken back" in ended.out
    assert images() == before
    ended = command("verify", str(small.manifest))
    assert ended.code == 0, ended


def test_what_is_to_replace_one_object_replaces_no_other(azure: Azurite) -> None:
    url = f"az://{CONTAINER}/a"
    object_writes.put(url, b"one", is_new=True, attributes={"stylebatch": "x"})
    assert object_stores.read_attributes(url)["stylebatch"] == "x"
    with pytest.raises(FileExistsError):
        object_writes.put(url, b"two", is_new=True)
    seen = object_stores.head(url)
    object_writes.put(url, b"two", replaces=seen)
    with pytest.raises(OSError, match="another one meanwhile"):
        object_writes.put(url, b"three", replaces=seen)
    assert object_stores.read(url) == b"two"
