"""Photographs with boxes drawn into them, annotations of these, and what is found in results.

What is told of a photograph and what is found in a result comes from pixels alone.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from support.runs import Small

# Left, top, right, bottom in continuous pixels of the upright photograph, by colour.
Edges = tuple[float, float, float, float]
WIDTH, HEIGHT = 64, 48
BOXES: dict[str, tuple[int, int, int, int]] = {
    "red": (0, 8, 5, 30),
    "green": (4, 34, 28, 44),
    "blue": (30, 10, 46, 30),
}
CHANNELS = {"red": 0, "green": 1, "blue": 2}
# From the upright image to the one that an EXIF orientation turns upright.
STORED: dict[int, Image.Transpose | None] = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def drawn() -> NDArray[np.uint8]:
    """Draw the boxes on grey: (HEIGHT, WIDTH, 3)."""
    pixels = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for name, (left, top, right, bottom) in BOXES.items():
        pixels[top:bottom, left:right] = 0
        pixels[top:bottom, left:right, CHANNELS[name]] = 255
    return pixels


def classes(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return which box each pixel is of, from 1; 0: none. By colour."""
    signed = pixels.astype(int)
    of_each = np.zeros(pixels.shape[:2], np.uint8)
    for name, channel in CHANNELS.items():
        others = np.delete(signed, channel, axis=2).max(axis=2)
        of_each[signed[..., channel] - others > 127] = list(CHANNELS).index(name) + 1
    return of_each


def boxes_in(found: NDArray[np.uint8]) -> dict[str, Edges]:
    """Return the edges of what is there of each box, from `classes` or a mask."""
    edges: dict[str, Edges] = {}
    for number, name in enumerate(BOXES, 1):
        rows, columns = np.nonzero(found == number)
        if len(rows):
            edges[name] = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return edges


class Drawn:
    """A project of such photographs, one for each EXIF orientation that is asked for."""

    def __init__(self, root: Path, orientations: Iterable[int] = (1,)) -> None:
        self.small = Small(root)
        self.root, self.out = root, self.small.out
        self.small.style("s.png", 3)
        self.small.pair |= {"strength": 0, "size_px": WIDTH}
        self.annotations: dict[str, Any] = {}
        self.small.pair["annotations"] = self.annotations
        self.stored: dict[str, NDArray[np.uint8]] = {}
        for orientation in orientations:
            self.photo(f"cats/o{orientation}.png", orientation)

    def photo(self, path: str, orientation: int = 1) -> None:
        """Write a photograph that is upright once it's turned."""
        image = Image.fromarray(drawn())
        if (turn := STORED[orientation]) is not None:
            image = image.transpose(turn)
        self.stored[path] = np.array(image)
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        target = self.root / "photos" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target, exif=exif)

    def told(self, path: str, is_stored: bool) -> tuple[dict[str, Edges], int, int]:
        """Return the boxes of a photograph, width and height: upright, or as it is stored."""
        pixels = self.stored[path] if is_stored else drawn()
        return boxes_in(classes(pixels)), pixels.shape[1], pixels.shape[0]

    def write_yolo(self) -> None:
        """Write YOLO's labels."""
        for path in self.stored:
            boxes, width, height = self.told(path, False)
            lines = (
                f"{number} {(a + c) / 2 / width:.6f} {(b + d) / 2 / height:.6f} "
                f"{(c - a) / width:.6f} {(d - b) / height:.6f}\n"
                for number, (a, b, c, d) in enumerate(boxes.values())
            )
            self.put(f"labels/{stem(path)}.txt", "".join(lines))
        self.annotations["yolo"] = "labels"

    def write_voc(self, is_stored: bool) -> None:
        """Write Pascal VOC."""
        for path in self.stored:
            boxes, width, height = self.told(path, is_stored)
            objects = "".join(
                f"<object><name>{name}</name><truncated>0</truncated><bndbox><xmin>{a + 1}</xmin>"
                f"<ymin>{b + 1}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
                for name, (a, b, c, d) in boxes.items()
            )
            size = f"<width>{width}</width><height>{height}</height><depth>3</depth>"
            text = (
                f"<annotation><folder>x</folder><filename>{path}</filename><path>/x/{path}</path>"
                f"<size>{size}</size>{objects}</annotation>"
            )
            self.put(f"Annotations/{stem(path)}.xml", text)
        self.annotations["voc"] = "Annotations"

    def write_coco(self, is_stored: bool) -> dict[str, Any]:
        """Write COCO: polygons, run lengths and keypoints in turn."""
        document: dict[str, Any] = {
            "info": {"year": 2026},
            "licenses": [{"id": 7, "name": "CC0"}],
            "categories": [
                {"id": 10 * number, "name": name} for number, name in enumerate(BOXES, 1)
            ],
            "images": [],
            "annotations": [],
        }
        for number, path in enumerate(self.stored, 100):
            boxes, width, height = self.told(path, is_stored)
            document["images"].append(
                {"id": number, "file_name": path, "width": width, "height": height, "license": 7}
            )
            mask = classes(self.stored[path] if is_stored else drawn())
            for order, (name, (a, b, c, d)) in enumerate(boxes.items(), 1):
                a, b, c, d = map(int, (a, b, c, d))
                document["annotations"].append(
                    {
                        "id": len(document["annotations"]) + 1,
                        "image_id": number,
                        "category_id": 10 * order,
                        "bbox": [a, b, c - a, d - b],
                        "area": (c - a) * (d - b),
                        "iscrowd": int(name == "blue"),
                        "note": name,
                        "segmentation": runs(mask == order)
                        if name == "blue"
                        else [[a, b, c, b, c, d, a, d]],
                        "keypoints": [a, b, 2, c - 1, d - 1, 1, 0, 0, 0],
                        "num_keypoints": 2,
                    }
                )
        self.put("instances.json", json.dumps(document, indent=1))
        self.annotations["coco"] = "instances.json"
        return document

    def write_masks(self, is_stored: bool) -> None:
        """Write segmentation masks with a palette."""
        for path in self.stored:
            mask = classes(self.stored[path] if is_stored else drawn())
            image = Image.fromarray(mask).convert("P")
            image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
            target = self.root / "seg" / f"{stem(path)}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            image.save(target)
        self.annotations["segmentation"] = "seg"

    def write_csv(self, is_stored: bool) -> None:
        """Write a table."""
        lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for path in self.stored:
            boxes, width, height = self.told(path, is_stored)
            lines += (
                f"{path},{width},{height},{name},{a},{b},{c},{d}"
                for name, (a, b, c, d) in boxes.items()
            )
        self.put("boxes.csv", "\n".join(lines) + "\n")
        self.annotations["csv"] = "boxes.csv"

    def write_all(self, is_stored: bool) -> None:
        """Write every kind."""
        self.write_yolo()
        self.write_voc(is_stored)
        self.write_coco(is_stored)
        self.write_masks(is_stored)
        self.write_csv(is_stored)

    def put(self, path: str, text: str) -> Path:
        """Write a text file below the project's folder."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def results(self) -> dict[str, NDArray[np.uint8]]:
        """Return the results' pixels, by path below images/."""
        found = {path: self.out / "images" / path for path in self.small.images()}
        return {path: np.array(Image.open(each).convert("RGB")) for path, each in found.items()}

    def seen(self) -> dict[str, dict[str, Edges]]:
        """Return the boxes that are to be seen in each result."""
        return {path: boxes_in(classes(pixels)) for path, pixels in self.results().items()}


def stem(path: str) -> str:
    """Return a path without its suffix."""
    return path.rpartition(".")[0]


def runs(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return COCO's run lengths, one pixel after the other."""
    counts, before = [0], False
    for value in mask.T.reshape(-1).tolist():
        if value != before:
            counts.append(0)
            before = value
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


def read_yolo(path: Path, size: tuple[int, int]) -> dict[str, Edges]:
    """Read YOLO's labels."""
    edges = {}
    for line in path.read_text().splitlines():
        number, *values = line.split(" ")
        x, y, w, h = (float(v) * size[i % 2] for i, v in enumerate(values))
        edges[list(BOXES)[int(number)]] = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    return edges


def read_voc(path: Path) -> dict[str, Edges]:
    """Read Pascal VOC."""
    edges = {}
    for entry in ElementTree.parse(path).getroot().iter("object"):
        box = {each.tag: float(each.text or "") for each in entry.find("bndbox") or ()}
        edges[entry.findtext("name") or ""] = (
            box["xmin"] - 1,
            box["ymin"] - 1,
            box["xmax"],
            box["ymax"],
        )
    return edges


def read_coco(path: Path) -> dict[str, dict[str, Edges]]:
    """Read the boxes of COCO, by file name."""
    document = json.loads(path.read_bytes())
    names = {each["id"]: each["file_name"] for each in document["images"]}
    categories = {each["id"]: each["name"] for each in document["categories"]}
    edges: dict[str, dict[str, Edges]] = {name: {} for name in names.values()}
    for each in document["annotations"]:
        x, y, w, h = each["bbox"]
        edges[names[each["image_id"]]][categories[each["category_id"]]] = (x, y, x + w, y + h)
    return edges


def read_csv(path: Path) -> dict[str, dict[str, Edges]]:
    """Read a table's boxes, by file name."""
    edges: dict[str, dict[str, Edges]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            box = tuple(float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax"))
            edges.setdefault(row["filename"], {})[row["class"]] = box  # type: ignore[assignment]
    return edges


def check_near(found: Mapping[str, Edges], seen: Mapping[str, Edges], off_px: float) -> None:
    """Compare boxes; a sliver may be told that is hardly to be seen."""
    for name in found.keys() | seen.keys():
        if name not in seen or name not in found:
            left, top, right, bottom = (found if name in found else seen)[name]
            assert min(right - left, bottom - top) <= off_px, (name, found, seen)
            continue
        distances = [abs(a - b) for a, b in zip(found[name], seen[name], strict=True)]
        assert max(distances) <= off_px, (name, found[name], seen[name])


def read_all(drawn: Drawn) -> dict[str, Callable[[str], dict[str, Edges]]]:
    """Return a reader of each kind, which takes a result's path."""
    out = drawn.out
    sizes = {path: (each.shape[1], each.shape[0]) for path, each in drawn.results().items()}
    coco, table = read_coco(out / "annotations_coco.json"), read_csv(out / "annotations.csv")
    return {
        "yolo": lambda path: read_yolo(out / f"labels/{stem(path)}.txt", sizes[path]),
        "voc": lambda path: read_voc(out / f"annotations_voc/{stem(path)}.xml"),
        "coco": lambda path: coco.get(path, {}),
        "csv": lambda path: table.get(path, {}),
        "segmentation": lambda path: boxes_in(
            np.array(Image.open(out / f"masks/{stem(path)}.png"))
        ),
    }
