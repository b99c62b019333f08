"""What a pair may say of its photographs' annotations, as it is written."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from stylebatch.manifest.section import Place, Section, key

SIDE_SUFFIX = r"^\.[^/\\]*[^./\\]$"


class TableFields(Section):
    """A table in CSV whose columns are named."""

    file: Place = Field(examples=["boxes.csv"])
    """a CSV file with a header"""
    image: str | None = key("filename", otherwise="found")
    """the column with each image's path below content, or its name where only one is called so"""
    box: tuple[str, str, str, str] | None = key(["x1", "y1", "x2", "y2"], otherwise="found")
    """columns of a box's left, top, right and bottom edges, in pixels"""


class AnnotationFields(Section):
    """Annotations of the photographs, which come out for each result."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    yolo: Place | None = key("labels")
    """folder of YOLO's text files, each at the path of its image below content"""
    voc: Place | None = key("Annotations")
    """folder of Pascal VOC's XML files, likewise"""
    coco: Place | None = key("instances.json")
    """a JSON file of COCO: objects, keypoints or captions; file_name is a path below content"""
    segmentation: Place | None = key("seg")
    """folder of images whose pixels are classes, each at the path of its image below content"""
    csv: Place | TableFields | None = key("boxes.csv")
    """a table in CSV with rows by file name"""
    files: (
        Annotated[list[Annotated[str, Field(pattern=SIDE_SUFFIX)]], Field(min_length=1)] | None
    ) = key([".json", ".txt"])
    """suffixes of any files beside the images, which are copied as they are"""
    malformed: Literal["fail", "warn"] = key("warn", "fail")
    """what is wrong in them: fail: told in failures.jsonl, and the run ends with exit code 3; warn:
    left out and counted in a warning"""
