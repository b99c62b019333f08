"""Photographs in a store are fetched by more threads than decode, as those wait for answers."""

from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import pytest
from support.pools import Work
from support.runs import small_project, wait_until
from support.stores import BUCKET, Store

from stylebatch.worker.decode_ahead import DECODE_THREADS, FETCH_THREADS, DecodeAhead


@pytest.mark.slow
def test_more_are_fetched_at_once_than_decoded(store: Store, tmp_path: Path) -> None:
    small = small_project(tmp_path)
    for number in range(2 * FETCH_THREADS):
        small.photo(f"cats/{number}.png", 60 + number)
    work = Work(small)
    store.put_folder(tmp_path / "photos", "photos/")
    jobs = [replace(job, content=f"s3://{BUCKET}/{job.content}") for job in work.jobs]
    waiting = DecodeAhead(work.spec.root, work.spec.cache, work.spec.settings, work.spec.styles)
    waiting.put(jobs)
    waiting.begin(1)
    assert len(waiting._decoding) == DECODE_THREADS, "until it is known how large"
    wait(waiting._decoding.values())
    silent = store.fault("silence", "GET", times=None)
    waiting.begin(2 * FETCH_THREADS)
    wait_until(lambda: silent.happened == FETCH_THREADS, "requests at once")
    waiting.drop()
    waiting.close()
