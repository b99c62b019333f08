"""What fits into a device's memory, and what becomes of runs that get less than they need."""

from pathlib import Path

import torch

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.projects import Project, Watch, run_project
from benchmarks.gpu.task import Task
from stylebatch.device.from_recipe import solver_spec
from stylebatch.device.memory import Peaks, free_bytes, max_images, measure_peaks, run_once

MB = 2**20
EDGES = (256, 512, 1024)
# Of an image that is not to fit.
LARGE_PX = 1024
# Beyond what two images take: so that three or four fit, and not what the free memory promises.
ROOM_IMAGES = 2
# Of what is free, held by another process.
HELD = 0.85


def measure(task: Task) -> None:
    """Note what the probe says and what is taken, then run short of memory."""
    if not task.is_cuda:
        task.notes.leave_out("What fits by the probe", "no CUDA device: a CPU has a fixed budget")
        task.notes.leave_out(
            "Runs that lack memory", "a CPU's memory is the system's, which ends who takes too much"
        )
        project = Project(task.device, 2, 1, 32, 32, steps=2, executor="inline")
        _note_run(task, "enough memory", project, task.folder / "enough", is_scarce=False)
        return
    bench = task.bench()
    peaks = {edge: _note_fit(task, bench, edge) for edge in EDGES}
    _run_short(task, bench, peaks[EDGES[0]])
    _run_alone(task, bench)
    _run_beside(task, bench)


def _note_fit(task: Task, bench: Bench, edge: int) -> Peaks:
    """Note the probe's word and the truth; return the probe's."""
    settings = bench.settings()
    objective = bench.device.objective(settings)
    spec = solver_spec(settings.recipe, settings.weights.normalisation).optimizer
    measure_peaks(objective, spec, (edge, edge), is_masked=False)  # cuDNN's workspaces
    peaks = measure_peaks(objective, spec, (edge, edge), is_masked=False)
    free = free_bytes(bench.where)
    images = min(128, max_images(free, peaks))
    bench.free()
    before = torch.cuda.memory_allocated(bench.where)
    told = peaks.of_one + (images - 1) * (peaks.of_two - peaks.of_one)
    try:
        run_once(objective, spec, images, (edge, edge), is_masked=False)
    except torch.OutOfMemoryError:
        is_met, found = False, "out of memory"
    else:
        peak = torch.cuda.max_memory_allocated(bench.where) - before
        is_met, found = peak < free, f"{peak / MB:.0f} MB of {free / MB:.0f} free"
        task.notes.row(
            "What the probe says of `balanced`",
            px=edge,
            **{
                "one image, MB": round(peaks.of_one / MB, 1),
                "each more, MB": round((peaks.of_two - peaks.of_one) / MB, 1),
                "images that fit": images,
                "told, MB": round(told / MB),
                "taken, MB": round(peak / MB),
            },
        )
    task.notes.check(f"{images} images of {edge} px fit, as the probe says", is_met, found)
    bench.free()
    return peaks


def _limit(bench: Bench, more_bytes: float) -> None:
    """Let this process have so much more than it holds, whatever the card has."""
    bench.free()
    total = torch.cuda.get_device_properties(bench.where).total_memory
    held = torch.cuda.memory_reserved(bench.where)
    torch.cuda.set_per_process_memory_fraction(min(1.0, (held + more_bytes) / total), bench.where)


def _run_short(task: Task, bench: Bench, peaks: Peaks) -> None:
    """Run in this process with a limit that the probe of what is free knows nothing of."""
    each = peaks.of_two - peaks.of_one
    # The runs' own extractors come on top.
    _limit(bench, peaks.of_two + ROOM_IMAGES * each + 256 * MB)
    project = Project(task.device, 12, 1, EDGES[0], EDGES[0], steps=5, executor="inline")
    _note_run(task, "too little memory", project, task.folder / "short")
    torch.cuda.set_per_process_memory_fraction(1.0, bench.where)


def _run_alone(task: Task, bench: Bench) -> None:
    """Run an image for which there is no room at all."""
    _limit(bench, 64 * MB)
    watch = Watch()
    project = Project(
        task.device, 1, 1, LARGE_PX, LARGE_PX, steps=3, executor="inline", max_retries=0
    )
    try:
        run_project(project.write(task.folder / "alone"), watch)
        found = "; ".join(watch.failed) or "it was made"
    except Exception as error:  # the network alone may not fit: that is a message as well
        found = str(error)
    torch.cuda.set_per_process_memory_fraction(1.0, bench.where)
    is_told = "lower size_px" in found or "does not suffice" in found
    task.notes.check("An image that does not fit fails with a way out", is_told, found[:300])


def _run_beside(task: Task, bench: Bench) -> None:
    """Run in a process of its own while this one holds most of the card."""
    bench.free()
    held = torch.empty(int(HELD * free_bytes(bench.where)), dtype=torch.uint8, device=bench.where)
    project = Project(task.device, 8, 1, EDGES[0], EDGES[0], steps=5)
    watch = Watch()
    run_project(project.write(task.folder / "beside"), watch)
    found = f"{watch.done} of {project.num_images} images; {len(watch.reduced)} times fewer slots"
    what = f"A run beside a process that holds {HELD:.0%} of what was free is whole"
    task.notes.check(what, watch.done == project.num_images and bool(len(held)), found)


def _note_run(
    task: Task, why: str, project: Project, folder: Path, *, is_scarce: bool = True
) -> None:
    """Run a project in this process, and note what becomes of it."""
    watch = Watch()
    path = project.write(folder)
    told = run_project(path, watch)
    task.notes.row(
        "Runs in one process",
        run=why,
        px=project.size_px,
        images=project.num_images,
        made=watch.done,
        **{"slots, one after another": ", ".join(map(str, watch.reduced)) or "never reduced"},
    )
    for text in watch.notices:
        task.notes.say(text)
    if is_scarce:
        task.notes.check("Slots were reduced", bool(watch.reduced), f"{len(watch.reduced)} times")
    is_whole = watch.done == project.num_images and told["exit_code"] == 0
    found = f"{watch.done} of {project.num_images}, exit code {told['exit_code']}"
    task.notes.check(
        f"A run with {why} is whole", is_whole, "; ".join([found, *watch.failed])[:300]
    )
