"""A large output as its records tell it: images, photographs and loss logs are few files linked."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

NUM_FILES, NUM_STYLES, NUM_CLASSES, PER_PHOTO, EVALUATIONS = 200, 40, 20, 4, 60
SETTINGS = "0123456789abcdef"


def make_output(root: Path, num_images: int) -> Path:
    """Write an output of so many images, and what it was made of; return its folder."""
    out = root / "out"
    for folder in ("images", "losses"):
        (out / folder).mkdir(parents=True)
    files = root / "files"
    files.mkdir()
    for number in range(NUM_FILES):
        draw(number, 224, 224).save(files / f"{number}.jpg", quality=88)
        draw(number, 720, 480).save(files / f"photo{number}.jpg", quality=94)
        (files / f"{number}.csv").write_text(loss_log(number), encoding="ascii")
    (root / "styles").mkdir()
    for number in range(NUM_STYLES):
        draw(1000 + number, 512, 400).save(root / "styles" / f"style{number:02}.jpg", quality=90)
    with (out / "metadata.jsonl").open("w", encoding="utf-8") as file:
        for row in rows(num_images):
            place(root, files, row)
            file.write(json.dumps(row) + "\n")
    recipe = {"title": "balanced", "steps": EVALUATIONS, "size_px": 224}
    settings = {SETTINGS: {"recipe": recipe, "extractor": {"arch": "slim"}, "versions": {}}}
    (out / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    run = {"run_id": "run", "manifest": "pipeline.yaml", "exit_code": 0, "seconds": 3600.0}
    run |= {"manifest_path": str(root / "pipeline.yaml"), "done": num_images}
    (out / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return out


def place(root: Path, files: Path, row: dict[str, object]) -> None:
    """Link an image, its photograph and its loss log."""
    number = int(str(row["digest"]), 16) % NUM_FILES
    name = str(row["file_name"]).removeprefix("images/")
    log = Path(root, "out/losses", name).with_suffix(".jpg.csv")
    of_row = {
        root / "out/images" / name: f"{number}.jpg",
        log: f"{number}.csv",
        root / str(row["content"]): f"photo{number}.jpg",
    }
    for path, source in of_row.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            os.link(files / source, path)


def rows(num_images: int) -> Iterator[dict[str, object]]:
    """Yield lines of the metadata."""
    chance = random.Random(0)
    for number in range(num_images):
        photo, style = number // PER_PHOTO, chance.randrange(NUM_STYLES)
        label = f"class{photo * 7 % NUM_CLASSES:02}"
        total = chance.lognormvariate(-1, 0.5)
        yield {
            "file_name": f"images/{label}/photo{photo:06}-style{style:02}-{number % PER_PHOTO}.jpg",
            "pair": "all",
            "label": label,
            "split": "val" if photo % 5 == 0 else "train",
            "kind": "stylised",
            "content": f"photos/{label}/photo{photo:06}.jpg",
            "style": f"styles/style{style:02}.jpg",
            "variant": 1,
            "strength": round(chance.uniform(0.5, 2), 4),
            "settings_id": SETTINGS,
            "digest": f"{chance.getrandbits(64):x}",
            "evaluations": EVALUATIONS,
            "losses": {"total": total, "content": 0.3 * total, "style": 0.6 * total, "tv": 0.05},
            "status": chance.choice(["converged", "budget_spent"]),
            "closed": round(chance.betavariate(9, 2), 4),
            "ssim": round(chance.betavariate(5, 4), 4),
            "saturation": round(chance.betavariate(3, 6), 4),
            "speckle": round(chance.lognormvariate(-0.5, 0.4), 4),
            "retries": 0,
            "accepted": True,
            "seconds": round(chance.uniform(2, 6), 3),
            "device": f"cuda:{number % 2}",
        }


def draw(number: int, width: int, height: int) -> Image.Image:
    """Draw a picture that costs about as many bytes as a photograph of its size."""
    chance = np.random.default_rng(number)
    coarse = chance.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    grain = chance.normal(0, 12, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def loss_log(number: int) -> str:
    """Return a loss log."""
    lines = ["evaluation,level,total,content,style,tv,accepted,seconds"]
    for at in range(1, EVALUATIONS + 1):
        style = (1 + number % 7) / at
        lines.append(f"{at},0,{style + 0.2:.6g},0.15,{style:.6g},0.05,1,{at / 10:.3f}")
    return "\n".join(lines) + "\n"
