"""Every recipe's images, taken out of the engine and put into another: the same bits."""

from pathlib import Path

import pytest
from support.pools import Work
from support.runs import Small
from support.suspending import alone, carried, check_same_result, finish, keep_busy, take_out

from stylebatch.device.content import read_content
from stylebatch.device.device import Device
from stylebatch.recipes import needs_network, recipe_names
from stylebatch.records import Job
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem, Result

pytestmark = pytest.mark.slow

NAMES = [name for name in recipe_names() if needs_network(name)]
STEPS = 9
# What recipes are asked for beside themselves: their second pass, and a mask.
OTHERWISE = {"gatys": {"second_pass": {"size_px": 48, "steps": 4}}}


class Bench:
    """Problems of each recipe, as a worker makes them, and engines for them."""

    def __init__(self, root: Path) -> None:
        small = Small(root)
        for number in range(3):
            small.photo(f"{number}.png", number, 64, 32)
        small.style("s.png", 11)
        small.document["pairs"] = [
            {
                "name": name,
                "into": name,
                "content": "photos",
                "styles": ["styles"],
                "recipe": name,
                "size_px": 32,
                "steps": STEPS,
                "override": OTHERWISE.get(name, {}),
            }
            for name in NAMES
        ]
        work = Work(small)
        self._settings, self._styles = work.spec.settings, work.spec.styles
        self._device, self._root = Device("cpu", root, work.spec.cache), root
        self._jobs = sorted(work.jobs, key=lambda job: job.output)

    def jobs(self, name: str) -> list[Job]:
        return [job for job in self._jobs if job.pair == name]

    def engine(self, job: Job, capacity: int) -> Engine:
        settings = self._settings[job.settings_id]
        return self._device.engine(settings, capacity, job.width, job.height)

    def problem(self, job: Job) -> Problem:
        settings = self._settings[job.settings_id]
        return self._device.problem(
            job.output,
            settings,
            self.engine(job, 1),
            pixels=read_content(self._root, job, settings).pixels,
            style=self._styles[job.style],
            strength=job.strength,
            noise_seed=job.noise_seed,
        )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize("name", NAMES)
def test_an_image_of_every_recipe_goes_on_with_the_same_bits(bench: Bench, name: str) -> None:
    job, *others = bench.jobs(name)
    assert len(others) == 2
    image, neighbours = bench.problem(job), [bench.problem(each) for each in others]
    wanted = alone(bench.engine(job, 1), image)
    for evaluations in (2, 7):
        before, after = bench.engine(job, 2), bench.engine(job, 3)
        keep_busy(before, neighbours[:1], 1)
        state = take_out(before, image, evaluations)
        assert not isinstance(state, Result)
        keep_busy(after, neighbours, evaluations)
        after.resume(image, carried(state))
        check_same_result(finish(after, image.key), wanted)
