"""Workers that put files into a store: what stands there then, whoever else puts meanwhile."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.stored import PREFIX, URL
from support.stores import Store

from stylebatch.output.errors import LostOutputError
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock
from stylebatch.output.store import Store as Place
from stylebatch.records import JobDone, JobFailed
from stylebatch.worker import placing_in_store
from stylebatch.worker.placing_in_store import StoredImage, StoreWriter

RUN = "run"
KEY = f"{PREFIX}/images/cats/a.png"
pytestmark = pytest.mark.slow


@pytest.fixture
def dataset(tmp_path: Path, store: Store) -> Iterator[Dataset]:
    found = Dataset(tmp_path / "state", store=Place(URL))
    found.make_folders()
    with OutputLock(found, RUN):
        yield found


def writer(dataset: Dataset, worker: int = 0, incarnation: int = 0) -> StoreWriter:
    assert dataset.stored
    folder = dataset.worker_folder(RUN, worker, incarnation)
    return StoreWriter(dataset, dataset.stored, RUN, folder)


def image(dataset: Dataset, data: bytes, *, is_replacement: bool = False) -> StoredImage:
    event = JobDone(0, "cats/a.png", "print", len(data), {})
    files = {dataset.log_path("cats/a.png"): b"log", dataset.image_path("cats/a.png"): data}
    return StoredImage(event, files, is_replacement)


def place(
    writer: StoreWriter, dataset: Dataset, data: bytes, *, is_replacement: bool = False
) -> JobDone | JobFailed:
    (event,) = writer.place([image(dataset, data, is_replacement=is_replacement)], {})
    return event


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let something happen once, between a worker's last look and what it puts then."""

    def let(happen: Callable[[], object]) -> None:
        waiting = [happen]

        def reached(name: str) -> None:
            if name == "owner-checked" and waiting:
                waiting.pop()()

        monkeypatch.setattr(placing_in_store, "reached", reached)

    return let


def test_an_image_says_of_what_type_it_is_and_that_a_run_has_made_it(
    dataset: Dataset, store: Store
) -> None:
    assert isinstance(place(writer(dataset), dataset, b"first"), JobDone)
    found = store.client.head_object(Bucket="bucket", Key=KEY)
    assert (found["ContentType"], found["Metadata"]) == ("image/png", {"stylebatch": "print"})
    assert store.objects()[f"{PREFIX}/losses/cats/a.csv"] == b"log"


def test_a_worker_that_was_given_up_puts_nothing(dataset: Dataset, store: Store) -> None:
    dataset.shut_out(RUN, 0, 0)
    with pytest.raises(LostOutputError, match="this worker was given up"):
        place(writer(dataset), dataset, b"late")
    assert KEY not in store.objects()
    place(writer(dataset, 0, 1), dataset, b"successor's")
    assert store.objects()[KEY] == b"successor's"


@pytest.mark.parametrize("is_replacement", [False, True])
def test_a_worker_that_is_given_up_after_its_last_look_replaces_nothing_of_its_successors(
    dataset: Dataset,
    store: Store,
    meanwhile: Callable[[Callable[[], object]], None],
    is_replacement: bool,
) -> None:
    if is_replacement:
        store.put(KEY, b"old")

    def succeed() -> None:
        dataset.shut_out(RUN, 0, 0)
        successor = writer(dataset, 0, 1)
        place(successor, dataset, b"successor's", is_replacement=is_replacement)

    meanwhile(succeed)
    with pytest.raises(LostOutputError, match="this worker was given up"):
        place(writer(dataset), dataset, b"late", is_replacement=is_replacement)
    assert store.objects()[KEY] == b"successor's"
    aside = f"{PREFIX}/.stylebatch/stale/{RUN}/images/cats/a.png"
    assert store.objects().get(aside) == (b"old" if is_replacement else None)


def test_a_worker_whose_run_was_taken_over_after_its_last_look_replaces_nothing(
    dataset: Dataset, store: Store, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    def take_over() -> None:
        store.put(f"{PREFIX}/.stylebatch/holder.json", b'{"run_id": "next"}')
        store.put(KEY, b"the next run's")

    meanwhile(take_over)
    with pytest.raises(LostOutputError, match="this run no longer holds the output"):
        place(writer(dataset), dataset, b"late")
    assert store.objects()[KEY] == b"the next run's"


def test_what_a_killed_run_has_put_is_found_or_replaced(dataset: Dataset, store: Store) -> None:
    store.put(KEY, b"the same")
    assert isinstance(place(writer(dataset), dataset, b"the same"), JobDone)
    assert isinstance(place(writer(dataset), dataset, b"another"), JobDone)
    assert store.objects()[KEY] == b"another"


def test_an_object_that_does_not_come_there_is_put_again_and_then_given_up(
    dataset: Dataset, store: Store
) -> None:
    # As of a store in between that forgets what it has taken.
    putting = store.fault("status", rf"^HEAD .*{KEY}", status=404, times=None)
    event = place(writer(dataset), dataset, b"first")
    assert isinstance(event, JobFailed)
    assert event.is_transient
    assert "nothing is there, not 5" in event.reason
    assert putting.happened >= 3
    store.forget()
    assert isinstance(place(writer(dataset), dataset, b"first"), JobDone)
