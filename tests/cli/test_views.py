"""The live view: its figures against sums by hand, and what it draws at several widths."""

import io
import random

import pytest
from rich.console import Console
from support.terminal import screen

from stylebatch.cli.durations import roughly
from stylebatch.cli.speed import LEAST_S, WINDOW_S, Speed
from stylebatch.cli.views import LineView, LiveView, QuietView, render
from stylebatch.manifest import Split
from stylebatch.plan import PlanSummary
from stylebatch.records import JobDone, JobFailed, Notice, Progress, Shape, WorkerLost
from stylebatch.run import Finishing, Pace, Stop, Tally

SHAPES = {"s": Shape("s", 16, 16), "t": Shape("t", 32, 16)}
MOST = {"s": 100, "t": 50}


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def done(evaluations: int) -> JobDone:
    return JobDone(0, "cats/a.png", "fingerprint", 1, {"evaluations": evaluations})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def speed(clock: Clock) -> Speed:
    return Speed(MOST, clock)


def test_speeds_are_the_last_minutes_sums(speed: Speed, clock: Clock) -> None:
    draw, pace = random.Random(0), Pace()
    pace.finished(SHAPES["s"], 30)
    pace.finished(SHAPES["s"], 50)
    told: list[tuple[float, int, str, int]] = []
    first: dict[int, float] = {}
    for _ in range(900):
        clock.now_s += draw.uniform(0, 0.4)
        worker, settings = draw.randrange(3), draw.choice("st")
        evaluations = draw.randrange(40)
        speed.progressed(Progress(worker, 4, evaluations, 0.1, SHAPES[settings]))
        if worker in first:
            told.append((clock.now_s, worker, settings, evaluations))
        else:
            first[worker] = clock.now_s
    latest = [each for each in told if each[0] > clock.now_s - WINDOW_S]
    assert len(told) > len(latest) > 100
    for worker in range(3):
        total = sum(each[3] for each in latest if each[1] == worker)
        assert speed.evaluations_per_second(worker) == pytest.approx(total / WINDOW_S)
    # Those of "s" took 40 evaluations in the mean; none of "t" is finished: 50 at most.
    images = sum(each[3] / {"s": 40, "t": 50}[each[2]] for each in latest)
    assert speed.images_per_minute(pace) == pytest.approx(images / WINDOW_S * 60)


def test_what_ends_an_interval_that_nobody_knows_does_not_count(speed: Speed, clock: Clock) -> None:
    speed.progressed(Progress(0, 1, 1_000_000))
    clock.now_s += 10
    speed.progressed(Progress(0, 1, 20))
    assert speed.evaluations_per_second(0) == pytest.approx(2)
    assert speed.images_per_minute(Pace()) == pytest.approx(60 * 2 / 100)
    speed.finished(done(10))
    speed.finished(done(30))
    assert speed.images_per_minute(Pace()) == pytest.approx(60 * 2 / 20)


def test_nothing_is_said_before_there_is_something_to_say(speed: Speed, clock: Clock) -> None:
    assert speed.images_per_minute(Pace()) is speed.evaluations_per_second(0) is None
    speed.progressed(Progress(0, 1, 5))
    clock.now_s += LEAST_S * 0.9
    speed.progressed(Progress(0, 1, 5))
    assert speed.images_per_minute(Pace()) is speed.evaluations_per_second(0) is None


def test_a_worker_that_reports_nothing_gets_slower_and_one_that_is_lost_begins_anew(
    speed: Speed, clock: Clock
) -> None:
    speed.progressed(Progress(0, 1, 0))
    clock.now_s += 10
    speed.progressed(Progress(0, 1, 100))
    assert speed.evaluations_per_second(0) == pytest.approx(10)
    clock.now_s += 30
    assert speed.evaluations_per_second(0) == pytest.approx(2.5)
    clock.now_s += 100
    assert speed.evaluations_per_second(0) == 0
    speed.progressed(Progress(0, 1, 100))
    speed.lost(0)
    assert speed.evaluations_per_second(0) is None


def test_images_in_slots_count_by_their_share(speed: Speed) -> None:
    tally = Tally(10, done=1, failed=1, evaluations=130, running={0: 3})
    speed.finished(done(40))
    # 90 evaluations on images that are in slots, of 40 each; as many as run at most.
    assert speed.images(tally) == pytest.approx(2 + 90 / 40)
    tally.running = {0: 2}
    assert speed.images(tally) == pytest.approx(4)
    tally.evaluations, tally.running = 10_000, {0: 100}
    assert speed.images(tally) == 10


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (42.4, "42 s"),
        (64, "1 min"),
        (203, "3 min 20 s"),
        (1430, "24 min"),
        (7600, "2 h 05 min"),
        (35_990, "10 h"),
        (46_000, "13 h"),
    ],
)
def test_an_estimate_is_told_no_finer_than_it_is_known(seconds: float, text: str) -> None:
    assert roughly(seconds) == text


# What is drawn


def drawn(tally: Tally, speed: Speed, width: int) -> list[str]:
    """Return the lines of the live part, each at most as wide as the terminal."""
    console = Console(width=width, file=io.StringIO(), force_terminal=True, record=True)
    console.print(render(tally, speed, width))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, lines)) <= width
    return lines


@pytest.fixture
def busy(speed: Speed, clock: Clock) -> Tally:
    """A large run on three devices, after two minutes."""
    for _ in range(121):
        clock.now_s += 1
        for worker in range(3):
            speed.progressed(Progress(worker, 16, 200))
    speed.finished(done(80))
    devices = {0: "cuda:0", 1: "cpu", 2: "cpu"}
    return Tally(1_000_000, 123_456, 1, 121 * 600, {0: 16, 1: 1}, devices, left_s=46_000.0)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_all_of_it_can_be_read_at_any_width(busy: Tally, speed: Speed, width: int) -> None:
    text = "\n".join(drawn(busy, speed, width))
    for part in (
        "123,457/1,000,000 images",
        "450 images/min",
        "about 13 h left",
        "cuda:0: 16 images at once, 200 evaluations/s",
        "cpu (worker 1): 1 image at once, 200 evaluations/s",
        "cpu (worker 2): idle",
    ):
        assert part in text
    assert ("images/min" in text.splitlines()[0]) == (width >= 80)


def test_a_run_that_was_stopped_says_so_and_tells_no_time(busy: Tally, speed: Speed) -> None:
    busy.stopped_by = Stop.DEADLINE
    text = "\n".join(drawn(busy, speed, 100))
    assert "deadline: finishing what has begun" in text
    assert "left" not in text


def test_what_is_being_finished_is_told_and_how_long_it_takes(busy: Tally, speed: Speed) -> None:
    busy.stopped_by, busy.finishing = Stop.SIGNAL, Finishing(17, 29.0, False)
    text = " ".join(" ".join(drawn(busy, speed, 60)).split())
    assert "signal: finishing 17 images, about 29 s; once more (Ctrl-C) stops at once" in text


def test_before_the_first_image_it_says_how_far_the_furthest_is(speed: Speed) -> None:
    tally = Tally(640, devices={0: "cpu"}, running={0: 6}, furthest=(23, 100))
    first, second, _ = drawn(tally, speed, 80)
    assert first.endswith("0/640 images  time left not known yet")
    assert second == "  furthest at evaluation 23 of at most 100"
    tally.done = 1
    assert "furthest" not in "".join(drawn(tally, speed, 80))


def test_without_a_terminal_ctrl_c_is_answered_where_somebody_reads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = Tally(4, stopped_by=Stop.SIGNAL, finishing=Finishing(2, None, True))
    for view in (LineView(), QuietView()):
        view.tick(tally)
    assert capsys.readouterr() == ("", ""), "stderr is no terminal here"


def test_what_is_not_known_is_not_told(speed: Speed) -> None:
    assert drawn(Tally(640), speed, 80)[0].strip("━╺╸ ") == "0/640 images"
    (line,) = drawn(Tally(640), speed, 80)[1:]
    assert line == "  starting workers …"
    (_, line) = drawn(Tally(8, 8, devices={0: "cpu"}, left_s=0.0), speed, 80)
    assert line == "  cpu: idle"


def test_trouble_stands_above_the_live_part(speed: Speed) -> None:
    written = io.StringIO()
    terminal = {"TERM": "xterm"}
    console = Console(width=80, file=written, force_terminal=True, _environ=terminal)
    with LiveView(MOST, console, speed) as view:
        view.tick(Tally(4, devices={0: "cpu"}, running={0: 2}))
        view.event(Notice(0, "out of memory on cpu: going on with 2 images at once"))
        view.event(JobFailed(0, "cats/a.png", "f", "no image that can be read"))
        view.event(WorkerLost(0, "its process 7 has ended"))
        view.tick(Tally(4, failed=1, devices={0: "cpu"}, running={0: 2}))
        view.say("the last")
        *told, bar, worker = screen(written.getvalue())
    assert told == [
        "out of memory on cpu: going on with 2 images at once",
        "failed: cats/a.png: no image that can be read",
        "a worker is lost, another takes its jobs: its process 7 has ended",
        "the last",
    ]
    assert bar.endswith("1/4 images  time left not known yet")
    assert worker == "  cpu: 2 images at once"
    assert screen(written.getvalue()) == told


def test_a_split_that_nobody_asked_for_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    summary = PlanSummary()
    for name, is_found in (("a:x=1", True), ("a:x=2", True), ("b", False)):
        split = Split("folders", ("train", "val"), ("train",), is_found=is_found)
        summary.of_pair(name).selected.split = split
    told = (
        "a: split by the content's folders: train stylised, not val "
        "(`split: none` takes no notice of them)\n"
    )
    console = Console(file=io.StringIO(), width=200)
    for view in (LineView(), QuietView(), LiveView({}, console)):
        view.planned({}, summary, 0)
    assert capsys.readouterr().out == told
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == told
