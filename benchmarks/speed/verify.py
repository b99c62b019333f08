"""How long `stylebatch verify` takes, and how much memory: `python -m benchmarks.speed.verify`.

Makes outputs of drawn images with their loss logs and metadata, as a run leaves them, lets a ledger
know them, and looks at each as a whole and by names and sizes only.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.setting.inputs import random_square
from benchmarks.setting.machine import cpu_model
from stylebatch.output.layout import Dataset
from stylebatch.pictures.images import encode_png
from stylebatch.run import adopt_output
from stylebatch.system.cores import usable_cores
from stylebatch.system.files import digest_bytes
from stylebatch.verify import verify_output

IN_A_FOLDER, NUM_DRAWN, EVALUATIONS = 1000, 32, 60


def make_output(root: Path, count: int, edge_px: int) -> Dataset:
    """Write so many images of some hundred classes, of as many drawings, and let them be known."""
    dataset = Dataset(root)
    drawings = [encode_png(random_square(number, edge_px), None) for number in range(NUM_DRAWN)]
    totals = np.linspace(9, 1, EVALUATIONS)
    header = "evaluation,level,total,content,style,tv,accepted,seconds"
    rows = [f"{n},0,{t:.9g},0,{t:.9g},0,1,0.1" for n, t in enumerate(totals, 1)]
    log = "\n".join([header, *rows]) + "\n"
    dataset.make_folders()
    with dataset.metadata.open("w", encoding="utf-8") as metadata:
        for number in range(count):
            data, output = drawings[number % NUM_DRAWN], _output(number)
            for path, content in (
                (dataset.image_path(output), data),
                (dataset.log_path(output), log.encode()),
            ):
                if not number % IN_A_FOLDER:
                    path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            metadata.write(json.dumps(_line(output, number, data)) + "\n")
    dataset.settings.write_text(json.dumps({"s": {"recipe": {}, "extractor": {}, "versions": {}}}))
    adopted = adopt_output(dataset)
    assert adopted.proven == count, adopted
    return dataset


def _output(number: int) -> str:
    return f"c{number // IN_A_FOLDER:05}/{number % IN_A_FOLDER:04}-style.png"


def _line(output: str, number: int, data: bytes) -> dict[str, object]:
    losses = {"total": 1.0, "content": 0.0, "style": 1.0, "tv": 0.0}
    return {
        "file_name": f"images/{output}",
        **{"pair": "all", "label": output[:6], "split": None, "kind": "stylised"},
        **{"content": f"photos/{number}.png", "content_digest": f"{number:032x}"},
        **{"style": "style.png", "style_digest": "0" * 32, "variant": 1, "strength": 1.0},
        **{"seed": None, "settings_id": "s", "fingerprint": f"{number:032x}"},
        **{"digest": digest_bytes(data), "evaluations": EVALUATIONS, "losses": losses},
        **{"status": "budget_spent", "restored": False, "retried_with_adam": False},
        **{"seconds": 1.0, "device": "cpu", "precision": "float32"},
    }


def main() -> None:
    """Print a line for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--edge", type=int, default=64, help="of an image, in pixels")
    options = parser.parse_args()
    print(f"{cpu_model()}, {usable_cores()} cores")
    for count in options.images:
        with tempfile.TemporaryDirectory(prefix="verify-") as folder:
            dataset = make_output(Path(folder, "out"), count, options.edge)
            for is_quick in (False, True):
                began_s, began_cpu_s = time.perf_counter(), time.process_time()
                found = verify_output(dataset, lambda *_: None, is_quick=is_quick)
                took_s = time.perf_counter() - began_s
                cpu_s = time.process_time() - began_cpu_s
                assert not found.differences, found.differences[:3]
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
                how = f"{count:,} images of {options.edge} px{', --quick' * is_quick}"
                print(
                    f"{how}: {took_s:.1f} s ({cpu_s:.1f} s of CPU), "
                    f"{1e6 * took_s / count:.0f} µs an image, {memory} MB at most",
                    flush=True,
                )


if __name__ == "__main__":
    main()
