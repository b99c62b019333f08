"""A run from Azure's emulator, where it is installed."""

from pathlib import Path

import pytest
from support.azurite import CONTAINER, Azurite
from support.runs import small_project

URL = f"az://{CONTAINER}"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]


def test_images_are_the_same_from_azure_and_made_once(azure: Azurite, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    small = small_project(tmp_path / "project")
    assert small.run().code == 0
    on_disk = small.images()
    for path in sorted(small.root.glob("*/**/*.png")):
        key = path.relative_to(small.root).as_posix()
        if key.startswith(("photos", "styles")):
            azure.put(key, path.read_bytes())
    small.pair |= {"content": f"{URL}/photos", "styles": [f"{URL}/styles"]}
    # The same bytes elsewhere: nothing is made again.
    assert small.again() == set()
    small.document["output"] = "other"
    small.out = small.root / "other"
    assert small.run().code == 0
    assert small.images() == on_disk
    assert small.again() == set()


def test_a_container_that_is_not_there_is_refused(azure: Azurite, tmp_path: Path) -> None:
    small = small_project(tmp_path)
    for url in ("az://nothing/photos", f"{URL}/nothing"):
        small.pair["content"] = url
        ended = small.run()
        assert ended.code == 2
        assert f"'{url}' is not there (no such" in ended.err or "no object is below" in ended.err
