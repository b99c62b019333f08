"""What it costs to evaluate large images tile by tile: time, and memory at its peak.

    python -m benchmarks.speed.tiles --shared ../shared
    python -m benchmarks.speed.tiles --random            # VGG-19 with random filters, no shared/
    python -m benchmarks.speed.tiles --random --quick    # a smoke test

Each line is a fresh process with one square image and `balanced`. "evaluation": CPU seconds of
losses and gradient, and by how much the resident set has grown at its peak. "steps": the largest
resident set of an image in its slot for so many evaluations, the optimiser and all.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.setting.inputs import WEIGHTS, add_shared_option, check_shared
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.memory import peak_bytes, resident_bytes
from benchmarks.setting.networks import Network, load_extractor
from stylebatch.device.choice import PRECISIONS
from stylebatch.device.from_recipe import objective_spec, solver_spec
from stylebatch.extractors.weights import find_weights
from stylebatch.recipes import recipe_fields, recipe_on
from stylebatch.system.heap import keep_freed_memory
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.objective import Objective
from stylebatch.transfer.problem import Problem
from stylebatch.transfer.sizes import at_scale
from stylebatch.transfer.statistics import num_rows
from stylebatch.transfer.tiled import TiledObjective
from stylebatch.transfer.tiles import Tiling


def main() -> None:
    """Print a line for each extractor, size and edge of tiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--random", action="store_true", help="random filters instead of VGG-19's")
    parser.add_argument("--arch", nargs="+", default=["vgg19", "slim"])
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=PRECISIONS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--tiles", type=int, nargs="+", default=[0, 512, 1024], help="0: untiled")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--steps", type=int, default=0, help="measure this many steps instead")
    parser.add_argument("--optimizer", default="lbfgs")
    parser.add_argument("--quick", action="store_true", help="128 px, tiles of 64 px")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        keep_freed_memory()  # as workers do
        arch, weights, precision, edge, tile = options.one
        dtype, sizes = PRECISIONS[precision], (int(edge), int(tile))
        if options.steps:
            found = measure_steps(Network(arch, weights), dtype, *sizes, options)
        else:
            found = measure_evaluation(Network(arch, weights), dtype, *sizes, options.repeats)
        print(json.dumps(found))
        return
    if options.quick:
        options.sizes, options.tiles, options.repeats = [128], [0, 64], 1
    vgg = "random" if options.random else str(check_shared(options.shared) / WEIGHTS)
    print(describe_machine(torch.float32))
    for arch in options.arch:
        for precision in options.precision:
            for edge in options.sizes:
                for tile in options.tiles:
                    if tile < edge:
                        weights = "shipped" if arch == "slim" else vgg
                        run_one([arch, weights, precision, str(edge), str(tile)], options)


def run_one(arguments: list[str], options: argparse.Namespace) -> None:
    """Measure in a process of its own, and print what it found."""
    command = [sys.executable, "-m", "benchmarks.speed.tiles", "--one", *arguments]
    command += ["--repeats", str(options.repeats), "--steps", str(options.steps)]
    command += ["--optimizer", options.optimizer]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    arch, _, precision, edge, tile = arguments
    name = f"{arch:<6} {precision:<9} {edge:>5} px, tiles {tile if int(tile) else 'none':>5}"
    if done.returncode:
        print(f"{name}: ended with {done.returncode}", done.stderr[-200:], flush=True)
        return
    print(f"{name}: {json.loads(done.stdout)}", flush=True)


def make_objective(network: Network, dtype: torch.dtype, tile_px: int) -> Objective:
    """Return the objective of the recipe on a network; `tile_px` 0: untiled."""
    recipe = recipe_on(network.arch, recipe_fields(network.recipe))
    weights = find_weights(network.arch, network.weights, Path.cwd())
    extractor, spec = load_extractor(weights, recipe, dtype), objective_spec(recipe)
    if not tile_px:
        return Objective(spec, extractor)
    return TiledObjective(spec, extractor, Tiling(tile_px, tile_px**2))


def draw(edge: int) -> tuple[Tensor, Tensor]:
    """Return a content, and an image that is on its way: (1, 3, edge, edge) each."""
    image = torch.rand(1, 3, edge, edge, generator=torch.Generator().manual_seed(0))
    return image, image * 0.9


def statistics_of(objective: Objective, edge: int) -> dict[str, Tensor]:
    """Return something of the shape of a style's statistics; its numbers mean nothing."""
    spec, extractor = objective.spec, objective.extractor
    found = {}
    for layer in spec.style_layers:
        channels = extractor.num_channels(layer)
        for scale in spec.style_scales_at(edge, edge, extractor.smallest_edge_px):
            found[at_scale(layer, scale)] = torch.eye(num_rows(spec.statistic, channels))
    return found


def measure_evaluation(
    network: Network, dtype: torch.dtype, edge: int, tile_px: int, repeats: int
) -> dict[str, float]:
    """Return CPU seconds of an evaluation, the least of `repeats`, and its memory in MB."""
    # What is evaluated at once is met first, so that the targets don't decide the peak.
    objective = make_objective(network, dtype, tile_px)
    careful = make_objective(network, dtype, min(512, edge // 2))
    content, image = draw(edge)
    targets = careful.targets(content, statistics_of(objective, edge), 1.0)
    del careful
    before, seconds = resident_bytes(), []
    for _ in range(repeats):
        started = time.process_time()
        objective.evaluate(image, targets)
        seconds.append(time.process_time() - started)
    return {"cpu_s": round(min(seconds), 2), "peak_mb": round((peak_bytes() - before) / 1e6)}


def measure_steps(
    network: Network, dtype: torch.dtype, edge: int, tile_px: int, options: argparse.Namespace
) -> dict[str, float]:
    """Return CPU seconds of a step of the engine, and the largest resident set in MB."""
    objective = make_objective(network, dtype, tile_px)
    recipe = recipe_on(network.arch, recipe_fields(network.recipe))
    told = find_weights(network.arch, network.weights, Path.cwd()).normalisation
    spec = solver_spec(recipe, told)
    spec = replace(spec, optimizer=replace(spec.optimizer, optimizer=options.optimizer))
    engine = Engine(objective, spec, 1, edge, edge)
    content, _ = draw(edge)
    bare = resident_bytes()
    engine.admit(Problem("image", content, (statistics_of(objective, edge),)))
    started = time.process_time()
    for _ in range(options.steps):
        engine.step()
    seconds = (time.process_time() - started) / options.steps
    peak = peak_bytes()
    return {
        "cpu_s": round(seconds, 2),
        "peak_mb": round(peak / 1e6),
        "bytes_per_pixel": round((peak - bare) / edge**2),
    }


if __name__ == "__main__":
    main()
