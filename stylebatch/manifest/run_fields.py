"""The `run:` section as it is written."""

from typing import Annotated, Any, Literal

from pydantic import Field

from stylebatch.manifest.section import Place, Positive, Section, key

DURATION = r"^([0-9]+(\.[0-9]+)?[wdhms])+$"
SHARE = r"^[0-9]+(\.[0-9]+)?%$"
DEVICE = r"^(cuda(:[0-9]+)?|mps|cpu)$"


class RayFields(Section):
    """Which Ray cluster, and what of it a worker gets."""

    address: str = key("head:6379", "auto")
    """auto: the one that `RAY_ADDRESS` or this machine tells of; local: one of its own, begun here;
    HOST:PORT: of its head"""
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=100_000)] = key(16, "auto")
    """auto: one for each GPU, and for each node without any, as nodes come and go; a number: so
    many are asked for, which is what an autoscaler sees"""
    cpus: Literal["auto"] | Annotated[float, Field(gt=0, le=1024)] = key(4, "auto")
    """cores of each worker; auto: all of its node's, shared by its GPUs; with a number of workers
    1"""
    gpus: Literal["auto"] | Annotated[float, Field(ge=0, le=64)] = key(1, "auto")
    """GPUs of each worker; auto: one where the node has any; with a number of workers 0"""
    runtime_env: dict[str, Any] = key({"env_vars": {"STYLEBATCH_CACHE": "/scratch/cache"}}, {})
    """of all workers, as Ray takes it"""


class Run(Section):
    """How and where it runs; decides no pixel but by `precision`."""

    executor: Literal["inline", "local", "ray"] = key("inline", "local")
    """inline: in the calling process; local: one process for each device; ray: on a Ray cluster
    (`pip install 'stylebatch[ray]'`)"""
    ray: RayFields | None = key({"address": "head:6379"}, otherwise="as below")
    """which cluster, and what of it a worker gets; only with `executor: ray`"""
    devices: (
        Literal["auto"]
        | Annotated[
            list[
                Annotated[
                    str,
                    Field(pattern=DEVICE, json_schema_extra={"examples": ["cuda:0", "mps", "cpu"]}),
                ]
            ],
            Field(min_length=1),
        ]
    ) = key(["cuda:0", "cuda:1"], "auto")
    """auto: every GPU, else the CPU; not with `executor: ray`, where each worker finds its own"""
    cpu_workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = key(4, "auto")
    """so many processes share the CPU's usable cores (affinity and control group's quota), each
    pinned to its own; auto: one for each core, but no more than images, than fit into free memory
    (.8 GB each, more for images above 256 px) and than 32 (8 where nothing needs a network), and
    one beside a GPU; not with `executor: ray`"""
    precision: Literal["auto", "float32", "bfloat16"] = key("float32", "auto")
    """of the convolutions; all else is float32; auto: bfloat16 where a device multiplies it"""
    deadline: (
        Positive
        | Annotated[
            str, Field(pattern=DURATION, json_schema_extra={"examples": ["8h", "90m", "1h30m"]})
        ]
        | None
    ) = key("8h")
    """stop after this time, to be continued; a plain number is in seconds"""
    cache: Place | None = key(
        "/scratch/stylebatch", otherwise="$STYLEBATCH_CACHE, else the platform's"
    )
    """folder for style targets, which can be made again, and for styles by name"""
    state: Place | None = key("/work/state", otherwise="below .stylebatch-state")
    """of an output in an object store: the folder on this machine that holds its ledger, its locks
    and half-made images; keep it between runs"""
    lease: (
        Positive
        | Annotated[str, Field(pattern=DURATION, json_schema_extra={"examples": ["60s", "5m"]})]
    ) = key("5m", "60s")
    """of an output in an object store: a run that has been silent there for so long may be taken
    over by another"""
    losses: Literal["csv", "parquet", "none"] = key("none", "csv")
    """of every evaluation: csv: a file for each image; parquet: one for some dozens, for very many
    images (`pip install 'stylebatch[export]'`); none: none"""
    report: bool = key(True, False)
    """write `report/index.html` when a run ends, as `stylebatch report` does at any time"""
    max_deaths: Annotated[int, Field(ge=1, le=100)] = key(3, 2)
    """an image that ends so many workers on its own is failed"""
    max_retries: Annotated[int, Field(ge=0, le=100)] = key(5, 2)
    """how often an image is tried again whose failure may pass (a network folder, memory)"""
    max_failures: (
        Annotated[int, Field(ge=1)]
        | Annotated[str, Field(pattern=SHARE, json_schema_extra={"examples": ["5%"]})]
        | None
    ) = key("5%")
    """begin nothing more after so many failed images, or such a share of those to make"""
    max_removals: (
        Annotated[int, Field(ge=0)]
        | Annotated[str, Field(pattern=SHARE, json_schema_extra={"examples": ["20%"]})]
    ) = key("100%", "20%")
    """where the photographs or styles of more images than that are gone, their images stay until a
    run is told `--allow-removals`"""
    image_timeout: (
        Positive
        | Annotated[str, Field(pattern=DURATION, json_schema_extra={"examples": ["30m", "90s"]})]
    ) = key("2h", "30m")
    """a worker that makes no evaluation for so long is ended and replaced"""
