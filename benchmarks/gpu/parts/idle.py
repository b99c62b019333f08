"""How long a device waits for something to do in whole runs of the local executor."""

import subprocess
import tempfile
import threading
from types import TracebackType

import torch

from benchmarks.gpu.projects import Project, Watch, run_project
from benchmarks.gpu.task import Task

TABLE = "Whole runs of the local executor, photographs of 512 px"


def projects(task: Task) -> dict[str, Project]:
    """Return what is run."""
    if task.is_small:
        return {"augment, slim": Project(task.device, 3, 1, 32, 64, "slim", "shipped", "augment")}
    return {
        "balanced, VGG-19": Project(task.device, 64, 2, 256, 512),
        "augment, slim": Project(task.device, 64, 8, 96, 512, "slim", "shipped", "augment"),
    }


def measure(task: Task) -> None:
    """Note idle time as `run.json` has it, and what the driver says of the card meanwhile."""
    for name, project in projects(task).items():
        # The manifest's folder is not to be the notes'.
        with tempfile.TemporaryDirectory(dir=task.folder) as folder:
            path = project.write(task.folder / folder / "project")
            watch = Watch()
            with Utilisation(task.device) as driver:
                told = run_project(path, watch)
        there_s = sum(worker["seconds"] for worker in told["workers"])
        busy_s = sum(worker["busy_seconds"] for worker in told["workers"])
        task.notes.row(
            TABLE,
            recipe=name,
            px=project.size_px,
            images=watch.done,
            **{
                "images/s": round(watch.done / max(watch.seconds, 1e-3), 2),
                "worker s": round(there_s, 2),
                "busy s": round(busy_s, 2),
                "idle, %": round(100 * (1 - busy_s / there_s), 2) if there_s else None,
                "driver's utilisation, %": driver.mean,
            },
        )
        is_whole = watch.done == project.num_images
        found = f"{watch.done} of {project.num_images}"
        task.notes.check(f"All images were made: {name}", is_whole, found)
    task.notes.say(
        "Busy is the time in the engine's steps and admissions, as the host sees it: on a GPU, "
        "whose work goes on after they return, the driver's figure is the one from outside."
    )
    if not task.is_cuda:
        task.notes.leave_out("The driver's utilisation of the card", "no CUDA device")


class Utilisation:
    """Asks the driver five times a second how busy a card is; None where it can't be asked.

    Of the whole run, the workers' start included.
    """

    def __init__(self, device: str) -> None:
        self._device, self._values = device, list[float]()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Utilisation":
        if self._device.startswith("cuda"):
            # By its own name: CUDA may number cards otherwise, or see some of them only.
            uuid = torch.cuda.get_device_properties(self._device).uuid
            command = ["nvidia-smi", "--query-gpu=utilization.gpu", "-lms", "200"]
            command += ["--format=csv,noheader,nounits", "-i", f"GPU-{uuid}"]
            try:
                self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            except OSError:
                return self
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
        return self

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.strip().isdigit():
                    self._values.append(float(line))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._thread.join()

    @property
    def mean(self) -> float | None:
        """Return the mean of those in which it did anything at all, in percent."""
        found = [value for value in self._values if value]
        return round(sum(found) / len(found), 1) if found else None
