"""`stylize()`: images in, stylised images out, without a manifest or a data set."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import ValidationError

from stylebatch.device.canvas import Canvas, finish
from stylebatch.device.choice import choose_devices
from stylebatch.device.content import Content, decode_mask, make_content
from stylebatch.device.device import Device
from stylebatch.device.errors import within_memory
from stylebatch.device.forks import settle_after_fork
from stylebatch.device.recolor import ColorTransfer
from stylebatch.device.slots import Slots
from stylebatch.device.style_images import StyleImages
from stylebatch.device.tensors import to_pixels
from stylebatch.extractors.architectures import DEFAULT_ARCHITECTURE
from stylebatch.extractors.weights import Normalisation, check_layers, find_weights, layers_digest
from stylebatch.pictures.given import ImageLike, StylizeError, as_list, check_weights, read_image
from stylebatch.pictures.images import Picture, Pixels, decode
from stylebatch.plan import draw_noise_seed
from stylebatch.recipes import (
    Recipe,
    Settings,
    describe_field,
    make_settings,
    recipe_fields,
    recipe_names,
    recipe_on,
)
from stylebatch.records import Shape, Style, StyleImage
from stylebatch.system.bars import EvaluationsBar
from stylebatch.system.files import default_cache_folder, digest_bytes
from stylebatch.system.words import counted
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Result, Row, Status, StepReport

OnStep = Callable[[int, Row], None]


@dataclass(frozen=True, slots=True)
class _Item:
    """One content image, ready to be optimised at its work size."""

    index: int
    where: str
    digest: str
    content: Content
    width: int
    height: int


def stylize(
    contents: ImageLike | Iterable[ImageLike],
    style: ImageLike | Mapping[str, float],
    recipe: str = "balanced",
    *,
    weights: str | PathLike[str] | None = None,
    arch: str = DEFAULT_ARCHITECTURE,
    normalisation: Normalisation | None = None,
    strength: float | None = None,
    size_px: int | None = None,
    steps: int | None = None,
    override: Mapping[str, Any] | None = None,
    masks: ImageLike | Iterable[ImageLike | None] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    progress: bool = False,
    on_step: OnStep | None = None,
) -> list[Image.Image]:
    """Stylise images, several at a time, and return them in the order given.

    Args:
        contents: one image or several: paths, Pillow images or arrays (H, W[, 3 or 4]) in sRGB.
        style: one image, `library:NAME`, or a blend as path → weight.
        recipe: name of a shipped recipe; see `stylebatch recipes`.
        weights: a named set, a path, or `random`; None: `imagenet`, of `slim` its own.
        arch: the extractor's network, a key of `architectures.ARCHITECTURES`.
        normalisation: of a weights file that does not say it.
        strength, size_px, steps, override: fields of the recipe, where given.
        masks: one for each content or None, of its own size: white is stylised, black is kept.
        seed: of a noise start.
        device: `auto` (a GPU if there is one), `cuda:0`, `mps`, `cpu`.
        precision: of the convolutions: `auto`, `float32`, `bfloat16`.
        progress: show a bar: on stderr, in a notebook (which has ipywidgets) below the cell.
        on_step: called after each evaluation of each image with its index and its losses.

    Returns:
        RGB images (RGBA where the content has alpha) of the recipe's `output_size`; its progress
        and side-by-side pictures are made by `stylebatch run` only.

    Raises:
        UserError: an unreadable image, an unknown recipe or field, weights that lack a layer, a
            device that is not there, or an image that diverged.
    """
    fields = {"strength": strength, "size_px": size_px, "steps": steps, **(override or {})}
    settings = _settings(recipe, fields, arch, weights, normalisation, precision)
    if not settings.needs_network:
        return _recolored(contents, masks, style, settings)
    items = _items(contents, masks, settings)
    runner = _open(choose_devices(device)[0])
    loaded = _load_style(style, runner.targets.images)
    bar = EvaluationsBar(len(items), settings.recipe.max_evaluations, is_shown=progress)
    results: dict[int, Image.Image] = {}
    with bar:
        note = _noting(bar, on_step)
        for group in _by_size(items):
            for item, result in _solve(group, settings, loaded, runner, seed, note):
                results[item.index] = _image(item, result, settings.recipe)
                bar.finished(item.index)
    return [results[index] for index in range(len(items))]


def _open(device: str) -> Device:
    settle_after_fork(device)
    return Device(device, Path.cwd(), default_cache_folder())


def _recolored(
    contents: ImageLike | Iterable[ImageLike],
    masks: ImageLike | Iterable[ImageLike | None] | None,
    style: ImageLike | Mapping[str, float],
    settings: Settings,
) -> list[Image.Image]:
    """Transfer colours, which needs no device."""
    read, recipe = StyleImages(Path.cwd(), default_cache_folder()), settings.recipe
    transfer, loaded = ColorTransfer(read), _load_style(style, read)
    made = []
    for content, mask in _given(contents, masks):
        _, picture, told = _read_picture(content, mask)
        work = settings.work_size(*picture.rgb.shape[1::-1])
        one = transfer.of_picture(recipe, picture, told, work, loaded, recipe.strength)
        made.append(_as_image(finish(one.pixels, one.canvas, recipe), one.canvas))
    return made


def _given(
    contents: ImageLike | Iterable[ImageLike],
    masks: ImageLike | Iterable[ImageLike | None] | None,
) -> list[tuple[ImageLike, ImageLike | None]]:
    """Return each content with its mask."""
    given = as_list(contents)
    given_masks = [None] * len(given) if masks is None else as_list(masks)
    if len(given_masks) != len(given):
        found = f"{len(given_masks)} for {counted(len(given), 'content')}"
        raise StylizeError("masks", found, "one for each content, or None")
    return list(zip(given, given_masks, strict=True))


def _items(
    contents: ImageLike | Iterable[ImageLike],
    masks: ImageLike | Iterable[ImageLike | None] | None,
    settings: Settings,
) -> list[_Item]:
    return [
        _item(index, content, mask, settings)
        for index, (content, mask) in enumerate(_given(contents, masks))
    ]


def _noting(bar: EvaluationsBar, on_step: OnStep | None) -> OnStep:
    def note(index: int, row: Row) -> None:
        bar.evaluated(index)
        if on_step is not None:
            on_step(index, row)

    return note


def _settings(
    name: str,
    fields: Mapping[str, Any],
    arch: str,
    weights: str | PathLike[str] | None,
    normalisation: Normalisation | None,
    precision: str,
) -> Settings:
    given = {key: value for key, value in fields.items() if value is not None}
    recipe = make_recipe(name, given, arch)
    if not recipe.needs_network:
        return make_settings(recipe, None, "", precision)
    source = None if weights is None else fspath(weights)
    found = find_weights(arch, source, Path.cwd(), normalisation)
    check_layers(found, recipe.layers)
    return make_settings(recipe, found, layers_digest(found, recipe.layers), precision)


def make_recipe(name: str, fields: Mapping[str, Any], arch: str) -> Recipe:
    """Return a shipped recipe with some fields replaced, `default` layers by the architecture's.

    Raises:
        StylizeError: no such recipe, no such field, or a value that a field does not take.
    """
    if name not in recipe_names():
        allowed = f"one of {', '.join(recipe_names())}"
        raise StylizeError("recipe", f"no recipe '{name}'", allowed)
    known = recipe_fields(name)
    for field in fields:
        if field not in Recipe.model_fields:
            near = get_close_matches(field, Recipe.model_fields, n=1)
            todo = f"did you mean '{near[0]}'?" if near else f"see `stylebatch recipes {name}`"
            raise StylizeError("override", f"a recipe has no field '{field}'", "", todo)
    try:
        return recipe_on(arch, {**known, **fields})
    except ValidationError as error:
        raise _not_a_recipe(error) from error


def _not_a_recipe(error: ValidationError) -> StylizeError:
    first = error.errors(include_url=False)[0]
    if not first["loc"]:  # fields that don't fit together
        problem = first.get("ctx", {}).get("error", first["msg"])
        allowed, todo = (getattr(problem, name, "") for name in ("allowed", "todo"))
        return StylizeError("override", str(problem), allowed, todo)
    # The rest of the place is pydantic's name for one of several types.
    field = str(first["loc"][0])
    what = Recipe.model_fields[field].description or ""
    allowed = f"allowed is {describe_field(first['loc'])}"
    return StylizeError(field, f"{first['input']!r}", allowed, f"it is: {what}")


def _item(index: int, content: ImageLike, mask: ImageLike | None, settings: Settings) -> _Item:
    (where, data), picture, told = _read_picture(content, mask)
    height, width = picture.rgb.shape[:2]
    work = settings.work_size(width, height)
    ready = make_content(settings.recipe, picture, told, *work)
    return _Item(index, where, digest_bytes(data), ready, *work)


def _read_picture(
    content: ImageLike, mask: ImageLike | None
) -> tuple[tuple[str, bytes], Picture, Pixels | None]:
    """Return a content's name and bytes, what is on it, and its mask."""
    where, data = read_image(content)
    picture = decode(data, where)
    told = None
    if mask is not None:
        name, mask_data = read_image(mask)
        told = decode_mask(mask_data, name, picture.rgb)
    return (where, data), picture, told


def _load_style(style: ImageLike | Mapping[str, float], read: StyleImages) -> Style:
    # A Pillow image is no key of a dict.
    weighted: list[tuple[ImageLike, float]] = (
        list(style.items()) if isinstance(style, Mapping) else [(style, 1.0)]
    )
    check_weights([weight for _, weight in weighted])
    images = []
    for image, weight in weighted:
        where, digest = read.take(image)
        images.append(StyleImage(where, weight, digest))
    digest = digest_bytes(repr([(image.digest, image.weight) for image in images]).encode())
    return Style("style", "style", tuple(images), digest)


def _by_size(items: list[_Item]) -> Iterator[list[_Item]]:
    groups: dict[tuple[object, ...], list[_Item]] = {}
    for item in items:
        # Images with masks and without don't share a batch.
        key = (item.width, item.height, item.content.mask is None)
        groups.setdefault(key, []).append(item)
    yield from groups.values()


def _solve(
    items: list[_Item],
    settings: Settings,
    style: Style,
    runner: Device,
    seed: int,
    on_step: OnStep,
) -> Iterator[tuple[_Item, Result]]:
    """Optimise images of one size, refilling slots as images finish.

    Out of memory the rest starts again in half as many slots, a lone image in tiles.
    """
    width, height = items[0].width, items[0].height
    kind = (Shape(settings.id, width, height), items[0].content.mask is not None)
    memory = Slots(runner)
    slots = min(len(items), memory.count(settings, kind))
    engine = runner.engine(settings, slots, width, height)
    left: dict[Hashable, _Item] = {str(item.index): item for item in items}
    waiting = list(reversed(items))

    def advance() -> StepReport:
        while waiting and engine.running < engine.capacity:
            _admit(waiting.pop(), engine, settings, style, runner, seed)
        return engine.step()

    while left:
        report = within_memory(advance)
        if report is None:
            del engine
            slots = memory.halve(settings, kind, slots).slots
            if not slots:
                allowed = f"{runner.name} has no memory for {width}×{height} px"
                raise StylizeError(
                    items[0].where,
                    "out of memory with one image",
                    allowed,
                    "lower size_px or history",
                )
            waiting = list(reversed(left.values()))
            engine = runner.engine(settings, slots, width, height)
            continue
        for key, row in report.rows:
            on_step(left[key].index, row)
        for result in report.results:
            yield left.pop(result.key), result


def _admit(
    item: _Item, engine: Engine, settings: Settings, style: Style, runner: Device, seed: int
) -> None:
    content = item.content
    noise_seed = draw_noise_seed(seed, item.digest, style.digest, 1)
    engine.admit(
        runner.problem(
            str(item.index),
            settings,
            engine,
            pixels=content.pixels,
            style=style,
            strength=settings.recipe.strength,
            noise_seed=noise_seed,
            mask=content.mask,
        )
    )


def _image(item: _Item, result: Result, recipe: Recipe) -> Image.Image:
    if result.status is Status.DIVERGED:
        todo = "lower `strength`, or take another recipe"
        raise StylizeError(item.where, "diverged: its loss was no number or climbed", "", todo)
    canvas = item.content.canvas
    return _as_image(finish(to_pixels(result.image, recipe.rounding), canvas, recipe), canvas)


def _as_image(pixels: Pixels, canvas: Canvas) -> Image.Image:
    return Image.fromarray(pixels if canvas.alpha is None else np.dstack([pixels, canvas.alpha]))
