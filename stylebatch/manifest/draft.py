"""A first manifest for folders that are there: sizes and styles chosen, every line explained."""

import os
import textwrap
from dataclasses import dataclass
from pathlib import Path

import yaml

from stylebatch.manifest.paths import is_inside, path_problem
from stylebatch.manifest.survey import Photographs, describe_classes
from stylebatch.output.layout import Dataset
from stylebatch.system.words import counted

# Up to so many styles each photograph gets all of them, of more a few: a set grows by as much.
MOST_STYLES, DRAWN_STYLES = 4, 2
# Longest edge while optimising, where photographs are as large; of smaller ones their own, in
# steps of what `balanced` rounds to.
USUAL_PX, STEP_PX = 256, 32
# `plan` warns of files enlarged more than twice, and edges are rounded: so with room to spare.
MOST_ENLARGED = 1.75
_WIDTH = 96

_TEMPLATE = """\
# A first manifest, by `stylebatch init`: change what you like. Paths are relative to this file.
# `stylebatch plan {name}` checks it; `stylebatch schema` has every key, for editors.
version: 1
output: {output}
seed: 0                       # decides which styles are drawn

extractor:
  # Comes with the package. For the last bit of likeness to the photographs, or for recipes of the
  # literature: `arch: vgg19`, about four times as slow, downloaded once (548 MiB).
  arch: slim

pairs:
  - name: {pair}
{about_content}
    content: {content}{split}
{about_styles}
    styles: {styles}
    assign: {assign}
    recipe: balanced          # `stylebatch recipes` lists them
    size_px: {size_px:<17}# longest edge while optimising: twice as much takes four times as long
{about_size}
    output_size: {output_size}
    strength: 1               # 0 the photograph, 2 much style; [0.5, 1.5] is drawn for each image
    # steps: 40               # evaluations at most; the recipe's are 100
    # override: {{color: content}}  # any field of the recipe, as the photographs' own colours
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """A manifest that is not written yet.

    Attributes:
        output: the data set's folder, as the manifest has it.
        size_px: longest edge while optimising.
        output_size: of the files: `content`, or their longest edge in pixels.
        of_each: styles that each photograph gets.
        images: that a run would make.
    """

    text: str
    output: str
    size_px: int
    output_size: str | int
    of_each: int
    images: int


def draft_manifest(path: Path, photographs: Photographs, styles: dict[Path, int]) -> Draft:
    """Write a manifest that is to stand at a path; nothing is written to the disk.

    Args:
        styles: entries of `styles:`, with how many images each of them has.
    """
    num_styles = sum(styles.values())
    of_each = num_styles if num_styles <= MOST_STYLES else DRAWN_STYLES
    size_px, output_size = _choose_sizes(photographs.longest_edges)
    root, output = path.parent, _choose_output(path.parent, photographs.folder)
    text = _TEMPLATE.format(
        name=path.name,
        output=_scalar(output),
        pair=_scalar(_pair_name(photographs.folder)),
        about_content=_comment(_about_content(photographs)),
        content=_scalar(_relative(root, photographs.folder)),
        split=_split(photographs),
        about_styles=_comment(counted(num_styles, "style") + ": files, folders, globs, or blends"),
        styles=f"[{', '.join(_scalar(_relative(root, entry)) for entry in styles)}]",
        assign=_assign(num_styles),
        size_px=size_px,
        about_size=_comment(_about_size(photographs, output_size)),
        output_size=output_size,
    )
    return Draft(text, output, size_px, output_size, of_each, photographs.count * of_each)


def _choose_sizes(longest_edges: list[int]) -> tuple[int, str | int]:
    if not longest_edges:
        return USUAL_PX, "content"
    median = sorted(longest_edges)[(len(longest_edges) - 1) // 2]
    size_px = min(USUAL_PX, max(STEP_PX, round(median / STEP_PX) * STEP_PX))
    if max(longest_edges) <= MOST_ENLARGED * size_px:
        return size_px, "content"
    return size_px, size_px


def _choose_output(root: Path, content: Path) -> str:
    """Return a folder for the data set, new or stylebatch's own, and outside of the photographs."""
    if is_inside(root, content):
        return _relative(root, content.resolve().with_name(f"{content.resolve().name}-stylised"))
    number, name = 1, "out"
    while (root / name).exists() and not Dataset(root / name).state.exists():
        number += 1
        name = f"out-{number}"
    return name


def _pair_name(folder: Path) -> str:
    name = folder.resolve().name
    return "photos" if path_problem(name) or ":" in name else name


def _about_content(photographs: Photographs) -> str:
    text = f"{counted(photographs.count, 'photograph')}; {describe_classes(photographs)}"
    if not photographs.others:
        return text
    others = ", ".join(f"{name} ({count:,})" for name, count in photographs.others.items())
    return (
        f"{text}, in {photographs.split}. Left as they are: {others}; what a model is judged by "
        "had better be photographs. `stylise:` names the folders that are stylised."
    )


def _split(photographs: Photographs) -> str:
    if photographs.split is None:
        return ""
    return f"\n    split: folders\n    stylise: [{_scalar(photographs.split)}]"


def _about_size(photographs: Photographs, output_size: str | int) -> str:
    width, height = photographs.median_size or (0, 0)
    found = f"The photographs have {width}×{height} px in the median. " if width else ""
    if output_size == "content":
        return f"{found}Files: `content` is the photograph's own size, 224 a longest edge."
    return (
        f"{found}Files: a longest edge in px; [224, 224] is cut from the centre; `content`, the "
        "photograph's own, keeps boxes and masks true."
    )


def _assign(num_styles: int) -> str:
    if num_styles <= MOST_STYLES:
        return f"{'all':<18}# or {{sample: 1}}: so many styles for each photograph, evenly drawn"
    sample = f"{{sample: {DRAWN_STYLES}}}"
    return f"{sample:<18}# so many styles for each photograph, evenly drawn; all: {num_styles}"


def _comment(text: str) -> str:
    # Names of folders are the user's: a line break in one must not end the comment.
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    lines = textwrap.wrap(plain, _WIDTH - len("    # "), break_on_hyphens=False)
    return "\n".join(f"    # {line}" for line in lines)


def _relative(root: Path, path: Path) -> str:
    """Return a path as a manifest in `root` names it: from there, or absolute if it was."""
    if path.is_absolute() and not is_inside(path, root):
        return path.as_posix()
    text = Path(os.path.relpath(path, root)).as_posix()
    return f"./{text}" if text.startswith("~") else text


def _scalar(text: str) -> str:
    """Write text as YAML, quoted where it has to be, also inside a list in brackets."""
    dumped = yaml.safe_dump([text], default_flow_style=True, allow_unicode=True, width=10_000)
    return dumped.strip()[1:-1]
